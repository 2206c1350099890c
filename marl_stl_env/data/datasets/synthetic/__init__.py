"""The embedded data set, generated from a stated model."""

"""A training run, its callbacks and its end."""

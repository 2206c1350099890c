"""A trained team behind a growing log: decisions as the log is written, across restarts."""

"""Splitting a table into training, validation and test rows."""

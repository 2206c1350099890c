"""The commands: train, evaluate, compare, export, sweep."""

"""Robustness one sample at a time, all lanes at once."""

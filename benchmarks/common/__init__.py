"""Shared parts of benchmarks."""

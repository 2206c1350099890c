"""Training on a Ray cluster with RLlib."""

"""Training with RLlib on a Ray cluster."""

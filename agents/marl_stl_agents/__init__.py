"""Training and evaluation teams of sensors on the environment."""

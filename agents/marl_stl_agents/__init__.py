"""Training and judging teams of sensors on the environment."""

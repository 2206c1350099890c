"""PPO and what it is trained for: rewards, shaped rewards, constraints."""

"""Stable-Baselines3's PPO: its share of the time, and a whole training by parts."""

"""Views of the engine with attackers; ``sb3`` needs Stable-Baselines3."""

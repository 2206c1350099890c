"""PPO whose environment, rollouts and updates stay on one torch device."""

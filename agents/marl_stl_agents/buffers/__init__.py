"""What a rollout leaves behind: masks, credit, normalised returns."""

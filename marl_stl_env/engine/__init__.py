"""The batched engine behind every view of the environment."""

"""How fast: engines, views, trainers, data."""

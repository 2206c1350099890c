"""Speed of engines, views, trainers and data."""

"""The leaderboard: tracks, entries, checks."""

"""Attackers that learn: training in turns, best responses, and what they can do to a team."""

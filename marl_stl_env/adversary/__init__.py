"""Attackers that disguise their own events: constraints, disguises, the engine with attackers."""

"""Attacks nobody has seen: the choice of the preset ``unseen``, its test, and known attacks."""

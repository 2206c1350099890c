"""Decisions that survive Byzantine sensors: the rule, agreement protocols, faults."""

"""Team decisions with Byzantine sensors: decision rules, reliability weights and faults."""

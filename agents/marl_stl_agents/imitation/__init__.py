"""Learning to act as a rule does, before learning from rewards."""

"""Several runs that differ in their seed alone: their folder, and what they show together."""

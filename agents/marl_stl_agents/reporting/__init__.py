"""The pages about runs: a report of an evaluation, and runs side by side."""

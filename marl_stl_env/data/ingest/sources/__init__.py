"""What sensors of the network write, read as the columns of a run."""

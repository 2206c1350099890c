"""Files of each kind, read as batches of rows."""

"""How each sensor writes: one file a sensor."""

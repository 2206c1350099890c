"""Tables printed in a terminal."""

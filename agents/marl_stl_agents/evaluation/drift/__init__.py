"""Whether new traffic is still what a team was trained and measured on."""

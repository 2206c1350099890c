"""What attackers that disguise their events take from teams, trained with and without them."""

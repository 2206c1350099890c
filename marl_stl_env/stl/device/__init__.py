"""What monitors need besides on a device, where no value can be looked at."""

"""How good: trained teams over seeds."""

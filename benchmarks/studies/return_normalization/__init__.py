"""Study of return normalisation."""

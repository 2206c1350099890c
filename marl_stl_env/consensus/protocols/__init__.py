"""Agreement protocols (EIG, Phase King), for studies and tests."""

"""The networks: encodings of the features, shared and independent policies."""

"""From files to columns: reading, decoding, caching."""

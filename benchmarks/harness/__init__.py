"""How a comparison is timed and shown."""

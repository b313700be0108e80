"""Scenes joined into one batch: offsets of their tables, padded rows."""

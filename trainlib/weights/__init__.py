"""Weight files of other programs, read as data."""

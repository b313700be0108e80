"""The compiled loops, one file per operation."""

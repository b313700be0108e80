"""The comparisons, one file each."""

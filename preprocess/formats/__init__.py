"""Mesh files: `readers` is the door, one file or folder per format behind it."""

"""Wavefront OBJ files and their materials."""

"""PLY files."""

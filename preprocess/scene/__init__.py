"""The scene: mesh hierarchy, tables, and the file that holds them."""

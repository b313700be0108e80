"""The networks, their layers and the names of their weights."""

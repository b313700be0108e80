"""Tables of a triangle mesh: faces, one-rings, rings of a radius, vertex clustering."""

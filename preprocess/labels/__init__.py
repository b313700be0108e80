"""Label maps, raw ids of meshes, and the choice between them."""

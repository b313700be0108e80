"""Sparse convolution, one-ring attention and mesh simplification: pure functions on arrays."""

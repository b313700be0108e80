"""Sparse convolution: the public functions (`api`, `strided`) and their forms (`xla`, `pallas`)."""

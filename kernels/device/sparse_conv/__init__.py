"""Sparse convolution: the public functions (`api`) and their forms (`xla`, `pallas`)."""

"""Numba kernels that XLA calls on CPU as foreign functions: JAX functions (`bind`), loops, and what runs them."""

"""JAX functions that call the loops, one file per operation."""

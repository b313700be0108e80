"""What every package may import: neither JAX nor NumPy is needed to import it, nor any other package of the project."""

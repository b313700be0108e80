"""Timings of the kernels; `python -m benchmarks` runs them all."""

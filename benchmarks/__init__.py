"""The project timed against other programs: `make bench`, or `python -m benchmarks.NAME` for one of them."""

"""The peers' side; runs in their environment and imports nothing of the project but `benchmarks.harness.worker`."""

"""A training run: flags, folder, checkpoints, loop, metrics, devices, processes, signals."""

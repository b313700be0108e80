"""Training step, losses, optimiser, metrics; restoring and running a network."""

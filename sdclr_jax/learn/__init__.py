"""Training step, masks of the pruned branch, losses, optimisers; restoring a network."""

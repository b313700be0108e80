"""What is computed from trained networks and finished runs: pruning, studies, plots."""

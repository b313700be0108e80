"""Evaluation of features: probes, balancedness, forgetting, corrupted images."""

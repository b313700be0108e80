"""Quadric edge collapse (Garland and Heckbert, 1997), with the trace of every vertex."""

"""Sparse voxels: Morton order, hash map, neighbours, coarser levels, trilinear weights."""

"""The index tables that the device kernels read, as pytrees. Built by `kernels.host`, joined and padded there.

All indices are int32. An absent entry is the index of the last row of the array it points into; that row is padding.
"""

from typing import NamedTuple

import jax


class Rings(NamedTuple):
    """The one-ring of every vertex of a symmetric graph.

    A directed edge runs from a source (whose key and value are read) to a target (which attends). Its flat edge id is
    `target * K + slot` in `ring`, and `V * K + o` for overflow entry o.
    """

    ring: jax.Array
    """int32 [V, K], sources of the edges into each vertex; absent V-1."""
    reverse: jax.Array
    """int32 [V, K], flat id of the opposite edge; absent (V-1)*K, a slot that is itself absent."""
    overflow_target: jax.Array
    """int32 [O], ascending: the vertices with more than K neighbours; padding V-1."""
    overflow_source: jax.Array
    """int32 [O], padding V-1."""
    overflow_reverse: jax.Array
    """int32 [O], flat id of the opposite edge; padding (V-1)*K."""


class Trilinear(NamedTuple):
    """The eight voxels around every vertex."""

    corners: jax.Array
    """int32 [V, 8], voxel rows, octant 4dx+2dy+dz; absent P-1."""
    weights: jax.Array
    """float [V, 8], renormalised over the voxels that exist; absent 0."""
    order: jax.Array
    """int32 [V*8], stable argsort of corners.ravel()."""
    sorted: jax.Array
    """int32 [V*8], corners.ravel()[order]."""


class Trace(NamedTuple):
    """Which coarse vertex every fine vertex collapsed into."""

    trace: jax.Array
    """int32 [V_fine], rows of the coarse level; padding V_coarse-1."""
    order: jax.Array
    """int32 [V_fine], stable argsort of trace."""
    sorted: jax.Array
    """int32 [V_fine], trace[order]."""

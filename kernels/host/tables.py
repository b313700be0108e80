"""The tables that device kernels gather along: NumPy arrays on the host, JAX arrays on the device.

An absent entry is -1 in the tables of one scene. `kernels.host.batch.padding` joins and pads those of several scenes.
After it, an absent entry is the index of the last row of the array that it points into, which is always padding.
"""

from typing import NamedTuple

import numpy as np


class Rings(NamedTuple):
    """The one-ring of every vertex of a symmetric graph: rows of K slots, and a list of the edges that exceed them.

    A directed edge runs from a source, whose key and value are read, to a target, which attends. Its flat id is
    `target * K + slot` in the rows, or `V * K + o` for overflow entry o.

    Attributes:
        ring: int32 [V, K], sources of the first K edges into each vertex, ascending; padded, absent is V - 1.
        reverse: int32 [V, K], flat id of the opposite edge; padded, absent is (V - 1) * K, a slot that is absent too.
        overflow_target: int32 [O], ascending: vertices with more than K neighbours; padding V - 1.
        overflow_source: int32 [O], ascending within a target; padding V - 1.
        overflow_reverse: int32 [O], flat id of the opposite edge; padding (V - 1) * K.
        degree: int32 [V], number of neighbours; None on the device, where nothing reads it.
    """

    ring: np.ndarray
    reverse: np.ndarray
    overflow_target: np.ndarray
    overflow_source: np.ndarray
    overflow_reverse: np.ndarray
    degree: np.ndarray | None = None


class Trilinear(NamedTuple):
    """The eight voxels around every vertex, real and padding, for the read-out of voxel features and its transpose.

    Attributes:
        corners: int32 [V, 8], rows of voxels, octant `4 dx + 2 dy + dz`; an absent corner is P - 1.
        weights: float [V, 8], zero for absent corners, summing to one over the others.
        order: int32 [V * 8], stable argsort of `corners.ravel()`; the backward pass sums along it.
        sorted_corners: int32 [V * 8], `corners.ravel()[order]`.
    """

    corners: np.ndarray
    weights: np.ndarray
    order: np.ndarray
    sorted_corners: np.ndarray


class Trace(NamedTuple):
    """The coarse vertex into which every fine vertex, real or padding, collapsed.

    Attributes:
        trace: int32 [V_fine], rows of the coarser level; padding V_coarse - 1.
        order: int32 [V_fine], stable argsort of `trace`.
        sorted_trace: int32 [V_fine], `trace[order]`.
    """

    trace: np.ndarray
    order: np.ndarray
    sorted_trace: np.ndarray

"""Vertices at the same place become one."""

from typing import NamedTuple

import numpy as np

from kernels.host.jit import compiled


class Weld(NamedTuple):
    """Merged vertices. Exporters split vertices along seams; those at exactly the same place are one of the surface.

    Attributes:
        first: int32 [U], ascending, the lowest input row of each distinct position.
        inverse: int32 [V], the welded row of each input row, so that vertices == vertices[first][inverse].
    """

    first: np.ndarray
    inverse: np.ndarray


def weld(vertices: np.ndarray) -> Weld:
    """Merges rows with equal coordinates; -0.0 equals 0.0 and nothing else is rounded.

    Welded rows are numbered by their first appearance.

    Args:
        vertices: float64 [V, 3], finite.
    """
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"vertices must have shape [V, 3], not {list(vertices.shape)}")
    # Adding 0.0 turns -0.0 into 0.0, after which equal numbers have equal bits.
    bits = np.ascontiguousarray(vertices.astype(np.float64, copy=False) + 0.0).view(np.uint64)
    capacity = 1 << max(int(2 * len(bits)), 2).bit_length()
    slots = np.full(capacity, -1, np.int32)
    first, inverse = np.empty(len(bits), np.int32), np.empty(len(bits), np.int32)
    count = _weld(bits, slots, first, inverse)
    return Weld(first[:count].copy(), inverse)


@compiled
def _weld(bits, slots, first, inverse):
    """Open addressing with linear probing; the load stays under one half."""
    mask = np.uint64(len(slots) - 1)
    one, shift = np.uint64(1), np.uint64(29)
    mix = np.uint64(0x9E3779B97F4A7C15)
    count = 0
    for row in range(len(bits)):
        key = bits[row, 0] * mix
        key = (key ^ (key >> shift) ^ bits[row, 1]) * mix
        key = (key ^ (key >> shift) ^ bits[row, 2]) * mix
        slot = (key ^ (key >> shift)) & mask
        while True:
            found = slots[slot]
            if found < 0:
                slots[slot] = count
                first[count] = row
                inverse[row] = count
                count += 1
                break
            other = first[found]
            if bits[other, 0] == bits[row, 0] and bits[other, 1] == bits[row, 1] and bits[other, 2] == bits[row, 2]:
                inverse[row] = found
                break
            slot = (slot + one) & mask
    return count

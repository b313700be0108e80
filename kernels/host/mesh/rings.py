"""One-rings of mesh vertices: who is joined to whom by an edge, as rows of neighbours and as a padded table."""

from typing import NamedTuple

import numpy as np

from kernels.host.jit import compiled
from kernels.host.tables import Rings

INT32_MAX = 2**31 - 1


class RingCSR(NamedTuple):
    """The neighbours of every vertex, one row after the other.

    Attributes:
        offsets: int32 [V + 1], the neighbours of vertex v are `neighbours[offsets[v]:offsets[v + 1]]`.
        neighbours: int32 [E], ascending within a vertex, each once, never the vertex itself.
    """

    offsets: np.ndarray
    neighbours: np.ndarray


def one_ring(faces: np.ndarray, num_vertices: int) -> RingCSR:
    """Vertices joined by an edge of a triangle. Repeated, degenerate and non-manifold faces are fine.

    Args:
        faces: int32 [F, 3].
        num_vertices: V; vertices of no face have an empty row.

    Returns:
        RingCSR, symmetric.

    Raises:
        ValueError: wrong shape, or a face with an index outside 0..V-1.
        TypeError: faces that are not integers.
    """
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"faces must have shape [F, 3], got {faces.shape}")
    faces = _checked_indices("face", faces, num_vertices)
    return _close(faces.ravel(), faces[:, [1, 2, 0]].ravel(), num_vertices)


def rings_from_edges(targets: np.ndarray, sources: np.ndarray, num_vertices: int) -> RingCSR:
    """Symmetric closure of a list of directed edges; repeated edges and loops are dropped.

    Args:
        targets: int32 [E].
        sources: int32 [E].
        num_vertices: V; vertices of no edge have an empty row.

    Returns:
        RingCSR, symmetric.

    Raises:
        ValueError: wrong shapes, or an edge with an index outside 0..V-1.
        TypeError: indices that are not integers.
    """
    targets, sources = np.asarray(targets), np.asarray(sources)
    if targets.ndim != 1 or targets.shape != sources.shape:
        raise ValueError(f"targets and sources must have one shape [E], got {targets.shape} and {sources.shape}")
    targets = _checked_indices("edge target", targets, num_vertices)
    sources = _checked_indices("edge source", sources, num_vertices)
    return _close(targets, sources, num_vertices)


def ring_table(csr: RingCSR, width: int = 16) -> Rings:
    """The padded form of one-rings.

    Args:
        csr: symmetric one-rings, as `one_ring` and `rings_from_edges` make them.
        width: K >= 1, slots of a vertex.

    Returns:
        Rings with -1 in absent slots.

    Raises:
        ValueError: width < 1, flat edge ids beyond int32, or one-rings that are not symmetric and
            ascending.
    """
    offsets, neighbours = (np.ascontiguousarray(array, np.int32) for array in csr)
    if width < 1:
        raise ValueError(f"a ring table has at least 1 slot, got {width}")
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(neighbours) or np.any(offsets[1:] < offsets[:-1]):
        raise ValueError(f"offsets must ascend from 0 to the {len(neighbours)} neighbours, got {offsets}")
    degree = np.diff(offsets)
    overflow_starts = np.zeros(len(offsets), np.int64)
    np.cumsum(np.maximum(degree - width, 0), out=overflow_starts[1:])
    num_vertices, num_overflow = len(degree), int(overflow_starts[-1])
    if num_vertices * width + num_overflow > INT32_MAX:
        raise ValueError(
            f"{num_vertices} vertices of {width} slots and {num_overflow} more edges exceed int32 edge ids"
        )
    ring, reverse = np.full((2, num_vertices, width), -1, np.int32)
    target, source, back = np.empty((3, num_overflow), np.int32)
    wrong = _fill_table((offsets, neighbours), overflow_starts, (ring, reverse), (target, source, back))
    if wrong >= 0:
        raise ValueError(f"one-rings are not symmetric, ascending and free of loops at vertex {wrong}")
    return Rings(ring, reverse, target, source, back, degree)


def edge_targets_sources(table: Rings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends of all slots and overflow entries by flat edge id, in the host and in the padded convention.

    Args:
        table: V vertices, K slots, O overflow entries.

    Returns:
        target int32 [V*K + O]; source int32 [V*K + O], as the table marks it where absent; valid bool [V*K + O],
        whether there is an edge.
    """
    num_vertices, width = table.ring.shape
    vertices = np.arange(num_vertices, dtype=np.int32)
    target = np.concatenate([np.repeat(vertices, width), table.overflow_target])
    source = np.concatenate([table.ring.ravel(), table.overflow_source])
    in_ring = np.arange(width) < table.degree[:, None]
    valid = np.concatenate([in_ring.ravel(), table.degree[table.overflow_target] > width])
    return target, source, valid


def _checked_indices(what: str, indices: np.ndarray, num_vertices: int) -> np.ndarray:
    if not 0 <= num_vertices <= INT32_MAX:
        raise ValueError(f"number of vertices must be in 0..{INT32_MAX}, got {num_vertices}")
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices of a {what} must be integers, got {indices.dtype}")
    if indices.size and (indices.min() < 0 or indices.max() >= num_vertices):
        number = int(np.argwhere((indices < 0) | (indices >= num_vertices))[0, 0])
        raise ValueError(f"{what} {number} is {indices[number].tolist()}, outside the {num_vertices} vertices")
    return np.ascontiguousarray(indices, np.int32)


def _close(targets: np.ndarray, sources: np.ndarray, num_vertices: int) -> RingCSR:
    """Symmetric closure: every vertex collects its partners, then hands itself to each of them in ascending order."""
    if 2 * len(targets) > INT32_MAX:
        raise ValueError(f"{len(targets)} edges in both directions exceed int32")
    partners, rows = np.empty((2, 2 * len(targets)), np.int32)
    offsets = np.zeros(num_vertices + 1, np.int32)
    _fill_rows(targets, sources, offsets, partners, rows)
    return RingCSR(offsets, rows[: offsets[-1]].copy())


@compiled
def _fill_rows(targets, sources, offsets, partners, rows):
    """Fills offsets and, up to the last of them, rows. `partners` is working memory."""
    num_vertices = offsets.shape[0] - 1
    starts = np.zeros(num_vertices + 1, np.int64)
    for edge in range(targets.shape[0]):
        if targets[edge] != sources[edge]:
            starts[targets[edge] + 1] += 1
            starts[sources[edge] + 1] += 1
    for vertex in range(num_vertices):
        starts[vertex + 1] += starts[vertex]
    ends = starts[:-1].copy()
    for edge in range(targets.shape[0]):
        one, other = targets[edge], sources[edge]
        if one != other:
            partners[ends[one]] = other
            ends[one] += 1
            partners[ends[other]] = one
            ends[other] += 1
    for vertex in range(num_vertices):
        ends[vertex] = starts[vertex]
    for vertex in range(num_vertices):
        for place in range(starts[vertex], starts[vertex + 1]):
            partner = partners[place]
            end = ends[partner]
            if end == starts[partner] or rows[end - 1] != vertex:  # a repeated edge adds nothing
                rows[end] = vertex
                ends[partner] = end + 1
    for vertex in range(num_vertices):
        first = offsets[vertex]
        offsets[vertex + 1] = first + ends[vertex] - starts[vertex]
        for place in range(first, offsets[vertex + 1]):
            rows[place] = rows[place + starts[vertex] - first]


@compiled
def _fill_table(csr, overflow_starts, slots, overflow):
    """Fills all outputs; returns the first vertex whose row has no counterpart, or -1.

    Vertices come in ascending order, so the k-th visit of a neighbour's row is to its k-th entry.
    """
    offsets, neighbours = csr
    ring, reverse = slots
    target, source, back = overflow
    num_vertices, width = ring.shape
    visits = np.zeros(num_vertices, np.int32)
    for vertex in range(num_vertices):
        for place in range(offsets[vertex], offsets[vertex + 1]):
            other = neighbours[place]
            if not 0 <= other < num_vertices or other == vertex:
                return vertex
            rank = visits[other]
            if offsets[other] + rank >= offsets[other + 1] or neighbours[offsets[other] + rank] != vertex:
                return vertex
            visits[other] = rank + 1
            opposite = other * width + rank
            if rank >= width:
                opposite = num_vertices * width + overflow_starts[other] + rank - width
            slot = place - offsets[vertex]
            if slot < width:
                ring[vertex, slot] = other
                reverse[vertex, slot] = opposite
            else:
                entry = overflow_starts[vertex] + slot - width
                target[entry], source[entry], back[entry] = vertex, other, opposite
    return -1

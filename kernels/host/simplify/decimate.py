"""Mesh simplification by quadric edge collapse (Garland and Heckbert 1997)."""

import math
from typing import NamedTuple

import numpy as np

from kernels.host.jit import compiled
from kernels.host.mesh.faces import checked_mesh, unique_faces
from kernels.host.simplify.greedy import collapse_by_heap
from kernels.host.simplify.mesh_state import CONTRADICTION, faces_of, new_mesh_state
from kernels.host.simplify.rounds import collapse_in_rounds
from kernels.host.voxel.morton import AXIS_BITS, box, inverse, morton_order

PLACEMENTS = ("half_edge", "optimal")
ORDERS = ("rounds", "heap")

_GREATEST_EXPONENT = 250
"""Fourth powers of lengths must stay within float64."""


class Decimation(NamedTuple):
    """A simplified mesh, the way from the finer one to it, and how it went.

    Attributes:
        vertices: float64[C, 3] in Morton order.
        faces: int32[G, 3], none degenerate, none repeated.
        trace: int32[V] the coarse vertex that every fine vertex collapsed into; total, surjective, and within the
            connected component.
        reached: whether at most `target_faces` faces are left, and at least one unless none was asked for. No collapse
            is forbidden, so this is False only if the mesh has no faces, or lost its last ones at once.
        error: sum over the coarse vertices of their quadric at their place: squared distances to the planes of the
            faces that they stand for, times areas (unit of length to the fourth).
        rounds: number of rounds; 0 for the order of the heap.
    """

    vertices: np.ndarray
    faces: np.ndarray
    trace: np.ndarray
    reached: bool
    error: float
    rounds: int


def decimate(
    vertices: np.ndarray,
    faces: np.ndarray,
    target_faces: int,
    placement: str = "half_edge",
    order: str = "rounds",
) -> Decimation:
    """Collapses edges until at most `target_faces` faces are left.

    Degenerate and repeated faces are dropped first. A component whose last face goes stays as one vertex; vertices
    without faces stay as they are. Vertices with equal coordinates are not merged. The mesh may be non-manifold. The
    result depends neither on the order of the faces nor, where positions differ, on that of the vertices, and comes
    out byte for byte the same on every call.

    Args:
        vertices: float64[V, 3] positions, any unit, anywhere.
        faces: int32[F, 3] rows of `vertices`.
        target_faces: >= 0.
        placement: "half_edge", the merged vertex is one of the two, so coarse vertices are fine vertices bit by bit; or
            "optimal", it is where its quadric is least.
        order: "rounds", the fast order, close to the exact one; or "heap", always the least (cost, vertex, partner),
            vertices compared by their place in Morton order.

    Returns:
        Decimation.

    Raises:
        ValueError: what `checked_mesh` refuses, a negative target, an unknown placement or order, an extent that
            float64 cannot hold.
    """
    vertices, faces = checked_mesh(vertices, faces)
    if target_faces < 0:
        raise ValueError(f"target_faces must be at least 0, got {target_faces}")
    if placement not in PLACEMENTS:
        raise ValueError(f"placement must be one of {PLACEMENTS}, got {placement!r}")
    if order not in ORDERS:
        raise ValueError(f"order must be one of {ORDERS}, got {order!r}")
    centre, scale = _frame(vertices)
    curve = _curve(vertices)
    positions = vertices.take(curve, axis=0)
    positions -= centre
    positions *= scale
    mesh = new_mesh_state(positions, unique_faces(inverse(curve).take(faces), len(vertices)))
    rounds = 0
    if order == "rounds":
        rounds = collapse_in_rounds(mesh, int(target_faces), placement == "optimal")
    else:
        collapse_by_heap(mesh, int(target_faces), placement == "optimal")

    kept, trace_along_curve = _settle(mesh.parent)
    if placement == "half_edge":
        coarse = vertices.take(curve[kept], axis=0)
    else:
        coarse = mesh.points[kept, :3] / scale + centre
    coarse_curve = _curve(coarse)
    coarse_rank = inverse(coarse_curve)
    trace = np.empty(len(vertices), np.int32)
    trace[curve] = coarse_rank[trace_along_curve]
    coarse_faces = coarse_rank[trace_along_curve].take(faces_of(mesh.vertex_fans, mesh.fan_blocks))
    coarse_faces = unique_faces(coarse_faces, len(coarse))
    error = float(np.maximum(mesh.points[kept, 3], 0.0).sum()) / scale**4
    reached = len(coarse_faces) <= target_faces and (len(coarse_faces) > 0 or target_faces == 0)
    return Decimation(coarse.take(coarse_curve, axis=0), coarse_faces, trace, reached, error, rounds)


def _frame(vertices: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and scale that bring the vertices into the unit cube about zero; the scale is a power of two.

    Quadrics then keep their digits far from the origin, and no constant depends on the unit of length.
    """
    if len(vertices) == 0:
        return np.zeros(3), 1.0
    low, high = box(vertices)
    extent = float(np.max(high * 0.5 - low * 0.5)) * 2
    if extent >= 2.0**_GREATEST_EXPONENT:
        raise ValueError(f"the mesh extends over {extent:.3g}, more than 2^{_GREATEST_EXPONENT}")
    exponent = max(math.frexp(extent)[1], -_GREATEST_EXPONENT)
    return low * 0.5 + high * 0.5, math.ldexp(1.0, -exponent)


def _curve(points: np.ndarray) -> np.ndarray:
    """int64[N] permutation of float64[N, 3] points into Morton order, 2^21 steps on the longest side of their box."""
    if len(points) == 0:
        return np.zeros(0, np.int64)
    low, high = box(points)
    extent = (high - low).max()
    steps = (2**AXIS_BITS - 1) / extent if extent > 0 else 0.0
    return morton_order(_steps_from(points, low, steps))


@compiled
def _steps_from(points, low, steps):
    """Whole steps of each point from the lowest corner of their box, int64[N, 3]."""
    cells = np.empty(points.shape, np.int64)
    for i in range(points.shape[0]):
        for axis in range(3):
            cells[i, axis] = np.int64((points[i, axis] - low[axis]) * steps)
    return cells


@compiled
def _settle(parent):
    """Living vertices int64[C], and for every vertex the number of the one that it ended in, int32[V]."""
    num_vertices = parent.shape[0]
    kept = np.empty(num_vertices, np.int64)
    number = np.full(num_vertices, -1, np.int32)
    count = 0
    for v in range(num_vertices):
        if parent[v] == v:
            number[v] = count
            kept[count] = v
            count += 1
    for v in range(num_vertices):
        end, steps = v, 0
        while number[end] < 0:
            if steps == num_vertices:
                raise RuntimeError(CONTRADICTION)
            end, steps = parent[end], steps + 1
        walk = v
        while number[walk] < 0:
            number[walk] = number[end]
            walk = parent[walk]
    return kept[:count].copy(), number

"""Edge collapses in rounds: each takes, in memory order, what costs less than a threshold drawn from a sample.

Close to the order of a heap, without one: neighbouring vertices are collapsed one after the other, while they are in
the cache, and penalties are computed only for a vertex whose bare error is under the threshold. Where the merged
vertex takes the place of one of the two, v -> u waits while u itself may go for less.

The cost of a vertex is its least error, or its exact cost once that was computed. A collapse only raises the errors
of existing pairs, so a vertex whose partner it touched keeps its cost as a bound from below, and is looked at again
when a round, or the sample, comes to it. The vertex with the minimum cost of all does not wait forever: each
round that collapses nothing puts more vertices under their exact cost, and the rounds end.
"""

from typing import NamedTuple

import numpy as np

from kernels.host.jit import borrowed, compiled, empty_together, prefetch
from kernels.host.simplify.cost import error, least_error, min_cost_neighbour
from kernels.host.simplify.mesh_state import BLOCK, CONTRADICTION, LOW, MeshState, collapse, new_scratch, vertex

_SAMPLE = 2048
_SHARE = 0.7
"""Part of the collapses still to do that a round may take, as a quantile of the costs, ..."""

_LEAST_SHARE = 0.05
"""... once that is less than this part of the living vertices, a round may take all of it."""

_GREATEST_SHARE = 0.9

_AHEAD = 6
"""The neighbours of a vertex are prefetched this many vertices before its turn, its own rows at twice the distance.
Without that a fourth of the time is waiting for memory."""

_ERROR, _BOUND, _EXACT = 0, 1, 2
"""What the cost of a vertex is: its least error, a bound of that from below, or the cost with its partner."""


class Costs(NamedTuple):
    """What is known of the cost of each vertex.

    Attributes:
        costs: float64[V] what the collapse of each vertex costs at least; inf for a vertex without faces.
        partners: int32[V] the neighbour with which it costs that, -1 before the first look.
        kinds: uint8[V] _ERROR, _BOUND or _EXACT.
    """

    costs: np.ndarray
    partners: np.ndarray
    kinds: np.ndarray


def collapse_in_rounds(mesh: MeshState, target: int, optimal: bool) -> int:
    """Collapses until at most `target` faces live.

    Args:
        mesh: changed in place.
        target: number of faces, >= 0.
        optimal: whether merged vertices move to the best place; otherwise they take the place of one of the two.

    Returns:
        Number of rounds.

    Raises:
        RuntimeError: the fans of the mesh contradict each other.
    """
    num_vertices = len(mesh.parent)
    dtypes = np.float64, np.int32, np.uint8, np.int32
    *known, alive = empty_together(*((num_vertices, dtype) for dtype in dtypes))
    known, scratch = Costs(*known), new_scratch(mesh)
    has_faces = mesh.fan_blocks[:-1, 2] > 0
    known.costs[:], known.partners[:], known.kinds[:] = np.where(has_faces, 0.0, np.inf), -1, _BOUND
    count = int(np.count_nonzero(has_faces))
    alive[:count] = np.flatnonzero(has_faces)
    rounds = idle = 0
    living = len(scratch.apexes)
    while living > target:
        if count == 0 or idle > count:  # each round collapses a vertex or computes an exact cost
            raise RuntimeError(CONTRADICTION)
        rounds += 1
        alive = alive[:count]
        threshold = _threshold(mesh, known, alive, living - target, optimal)
        removed, count = _round(mesh, scratch, known, alive, (living - target, threshold), optimal)
        living -= removed
        idle = 0 if removed > 0 else idle + 1
    return rounds


@compiled(error_model="numpy")
def _round(mesh, scratch, known, alive, limits, optimal):
    """One round: collapses what costs at most the threshold until at least `surplus` faces went (the two limits).

    Takes the dead out of the list of the living.

    Returns:
        (number of removed faces, number of living vertices).
    """
    surplus, threshold = limits
    mesh, scratch, known, alive = borrowed((mesh, scratch, known, alive))
    costs, partners, kinds = known
    kept = gone = 0
    for i in range(alive.shape[0]):
        v = np.int64(alive[i])
        alive[kept] = v
        _fetch(mesh, costs, alive, i, threshold)
        kept += costs[v] < np.inf
        if costs[v] > threshold:
            continue
        _look(mesh, known, v, optimal)
        u = np.int64(partners[v])
        if not optimal and costs[v] > costs[u]:
            _look(mesh, known, u, optimal)
        if costs[v] > threshold or (not optimal and costs[v] > costs[u]):
            continue
        cost, u, place = min_cost_neighbour(mesh, scratch, v, u, threshold, optimal)
        if cost > threshold or (not optimal and cost > costs[u]):
            costs[v], partners[v], kinds[v] = cost, u, _EXACT
            continue
        change = collapse(mesh, scratch.apexes, v, u, place)
        kept -= 1
        _renew(mesh, known, scratch.apexes, change, (v, u), optimal)
        gone += change[0]
        if gone >= surplus:
            break
    return gone, kept


@compiled(forceinline=True)
def _fetch(mesh, costs, alive, i, threshold):
    """Asks for what the vertices behind the i-th of the living will be looked at with; their turn comes soon."""
    points, quadrics, vertex_fans, fan_blocks, _ = mesh
    if i + 2 * _AHEAD < alive.shape[0]:
        v = np.int64(alive[i + 2 * _AHEAD])
        if costs[v] <= threshold:
            prefetch(vertex_fans, BLOCK * np.int64(fan_blocks[v, 0]))
            prefetch(quadrics, v)
            prefetch(quadrics, v + 1)
    if i + _AHEAD < alive.shape[0]:
        v = np.int64(alive[i + _AHEAD])
        if costs[v] <= threshold:
            first = BLOCK * np.int64(fan_blocks[v, 0])
            for j in range(first, first + fan_blocks[v, 2]):
                u = (vertex_fans[j] >> 32) & LOW
                prefetch(points, u)
                prefetch(quadrics, u)
                prefetch(quadrics, u + 1)
                prefetch(vertex_fans, BLOCK * np.int64(fan_blocks[u, 0]))


@compiled(error_model="numpy", forceinline=True)
def _look(mesh, known, v, optimal):
    """Replaces a bound by the least error."""
    costs, partners, kinds = known
    if kinds[v] == _BOUND:
        costs[v], partners[v] = least_error(mesh, v, optimal)
        kinds[v] = _ERROR


@compiled(error_model="numpy", forceinline=True)
def _renew(mesh, known, apexes, change, pair, optimal):
    """Costs after the collapse of the pair v -> u, which made the `change`.

    These are the costs of both, of the neighbours of u, some of which v brought, and of the apexes.
    """
    vertex_fans, fan_blocks = mesh.vertex_fans, mesh.fan_blocks
    costs, partners, kinds = known
    removed, begin, end = change
    v, u = pair
    costs[u] = min(costs[u], costs[v]) if kinds[u] != _EXACT and kinds[v] != _EXACT else 0.0
    costs[u] = costs[u] if fan_blocks[u, 2] > 0 else np.inf
    kinds[u] = _BOUND
    costs[v] = np.inf
    for i in range(removed):
        w = np.int64(apexes[i])
        _forget(known, w, v, u)
        if fan_blocks[w, 2] == 0:
            costs[w] = np.inf
    first = BLOCK * np.int64(fan_blocks[u, 0])
    for side in range(fan_blocks[u, 3]):
        for i in range(fan_blocks[u, 2]):
            w = vertex(vertex_fans[first + i], side)
            _forget(known, w, v, u)
            if begin <= i and i < end:
                cost = error(mesh, w, u, optimal)[0]
                if cost < costs[w]:
                    costs[w], partners[w] = cost, u
                    kinds[w] = _BOUND if kinds[w] == _BOUND else _ERROR


@compiled(forceinline=True)
def _forget(known, w, v, u):
    """Turns w's cost with v or u into a bound."""
    costs, partners, kinds = known
    if partners[w] == v or partners[w] == u:
        costs[w] = costs[w] if kinds[w] != _EXACT else 0.0
        kinds[w] = _BOUND


def _threshold(mesh: MeshState, known: Costs, alive: np.ndarray, surplus: int, optimal: bool) -> float:
    """Cost below which about a share of the collapses for `surplus` faces lies; at least the least cost."""
    stride = -(-len(alive) // _SAMPLE)
    sample = np.empty(-(-len(alive) // stride))
    _sample(mesh, known, alive, stride, sample, optimal)
    sample.sort()
    count = np.searchsorted(sample, np.inf)
    needed = 0.5 * surplus / len(alive)
    share = max(min(_SHARE * needed, _GREATEST_SHARE), min(needed, _LEAST_SHARE))
    return float(sample[min(int(share * count), count - 1)])


@compiled(error_model="numpy")
def _sample(mesh, known, alive, stride, sample, optimal):
    """Writes the cost of every stride-th of the living to `sample`, after a look at it."""
    for i in range(sample.shape[0]):
        v = np.int64(alive[i * stride])
        _look(mesh, known, v, optimal)
        sample[i] = known.costs[v]

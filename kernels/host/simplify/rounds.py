"""Edge collapses in rounds: each takes, in memory order, what is cheaper than a threshold drawn from a sample.

Close to the order of a heap, without one: neighbouring vertices are collapsed one after the other, while they are in
the cache, and a price is computed only for a vertex whose bare error is under the threshold. Where the merged vertex
takes the place of one of the two, v -> u waits while u itself may go for less.

The cost of a vertex is its least error, or its price once that was computed. A collapse only raises the errors of the
pairs that were there before, so a vertex whose partner it touched keeps its cost as a bound from below, and is looked
at again when a round, or the sample, comes to it. The vertex with the least price of all does not wait for ever: each
round that collapses nothing puts more vertices under their price, and the rounds end.
"""

import numpy as np

from kernels.host.jit import borrowed, compiled, prefetch
from kernels.host.memory import empty_together
from kernels.host.simplify.collapse import collapse
from kernels.host.simplify.cost import cheapest, error, least_error
from kernels.host.simplify.mesh_state import BLOCK, count_faces, vertex

_SAMPLE = 2048
_SHARE = 0.7
"""Part of the collapses still to do that a round may take, as a quantile of the costs, ..."""

_LEAST_SHARE = 0.05
"""... once that is less than this part of the living vertices, a round may take all of it."""

_GREATEST_SHARE = 0.9

_AHEAD = 6
"""So many vertices before its turn the neighbours of a vertex are asked for, and twice as many its own rows: without
that a fourth of the time is waiting for memory."""

_ERROR, _BOUND, _PRICE = 0, 1, 2
"""What the cost of a vertex is: its least error, a bound of that from below, or the price of its partner."""


def collapse_in_rounds(points, quadrics, fans, spans, parent, target, optimal):
    """Collapses until at most `target` faces live.

    Args:
      points, quadrics, fans, spans, parent: a `Surface`, changed in place.
      target: number of faces, >= 0.
      optimal: whether merged vertices move to the best place; they take the place of one of the two otherwise.

    Returns:
      Number of rounds.
    """
    num_vertices = len(parent)
    costs, mark, partners, alive, kinds, apexes, candidates, bounds = empty_together(
        (num_vertices, np.float64),
        (num_vertices + 1, np.int64),
        (num_vertices, np.int32),
        (num_vertices, np.int32),
        (num_vertices, np.uint8),
        (count_faces(spans), np.int32),
        (num_vertices, np.int32),
        (num_vertices, np.float64),
    )
    mark[:] = 0
    return _collapse(
        *(points, quadrics, fans, spans, parent, mark, apexes, candidates, bounds),
        *(costs, partners, kinds, alive, target, optimal),
    )


@compiled
def _collapse(
    points, quadrics, fans, spans, parent, mark, apexes, candidates, bounds,
    costs, partners, kinds, alive, target, optimal,
):  # fmt: skip
    living = apexes.shape[0]
    count = 0
    for v in range(parent.shape[0]):
        costs[v], partners[v], kinds[v] = np.inf, -1, _BOUND
        if spans[v, 2] > 0:
            costs[v] = 0.0
            alive[count] = v
            count += 1
    rounds = 0
    while living > target:
        rounds += 1
        alive = alive[:count]
        threshold = _threshold(points, quadrics, fans, spans, costs, partners, kinds, alive, living - target, optimal)
        living, count = _round(
            *(points, quadrics, fans, spans, parent, mark, apexes, candidates, bounds),
            *(costs, partners, kinds, alive, living, target, threshold, optimal),
        )
    return rounds


@compiled(error_model="numpy")
def _round(
    points, quadrics, fans, spans, parent, mark, apexes, candidates, bounds,
    costs, partners, kinds, alive, living, target, threshold, optimal,
):  # fmt: skip
    """One round. Takes the dead out of the list of the living; returns the numbers of living faces and vertices."""
    points, quadrics, fans, spans = borrowed(points), borrowed(quadrics), borrowed(fans), borrowed(spans)
    parent, mark, apexes = borrowed(parent), borrowed(mark), borrowed(apexes)
    candidates, bounds, costs = borrowed(candidates), borrowed(bounds), borrowed(costs)
    partners, kinds, alive = borrowed(partners), borrowed(kinds), borrowed(alive)
    kept = 0
    for i in range(alive.shape[0]):
        v = np.int64(alive[i])
        alive[kept] = v
        _fetch(points, quadrics, fans, spans, costs, alive, i, threshold)
        kept += costs[v] < np.inf
        if costs[v] > threshold:
            continue
        _look(points, quadrics, fans, spans, costs, partners, kinds, v, optimal)
        u = partners[v]
        if not optimal and costs[v] > costs[u]:
            _look(points, quadrics, fans, spans, costs, partners, kinds, u, optimal)
        if costs[v] > threshold or (not optimal and costs[v] > costs[u]):
            continue
        cost, u, x, y, z = cheapest(
            points, quadrics, fans, spans, mark, candidates, bounds, v, partners[v], threshold, optimal
        )
        if cost > threshold or (not optimal and cost > costs[u]):
            costs[v], partners[v], kinds[v] = cost, u, _PRICE
            continue
        removed, begin, end = collapse(points, quadrics, fans, spans, parent, apexes, v, u, x, y, z)
        kept -= 1
        _renew(points, quadrics, fans, spans, costs, partners, kinds, apexes, removed, begin, end, v, u, optimal)
        living -= removed
        if living <= target:
            break
    return living, kept


@compiled(inline="always")
def _fetch(points, quadrics, fans, spans, costs, alive, i, threshold):
    """Asks for what the vertices behind the i-th of the living will be looked at with; their turn comes soon."""
    if i + 2 * _AHEAD < alive.shape[0]:
        v = np.int64(alive[i + 2 * _AHEAD])
        if costs[v] <= threshold:
            prefetch(fans, BLOCK * np.int64(spans[v, 0]))
            prefetch(quadrics, v)
            prefetch(quadrics, v + 1)
    if i + _AHEAD < alive.shape[0]:
        v = np.int64(alive[i + _AHEAD])
        if costs[v] <= threshold:
            first = BLOCK * np.int64(spans[v, 0])
            for j in range(first, first + spans[v, 2]):
                u = vertex(fans[j], 0)
                prefetch(points, u)
                prefetch(quadrics, u)
                prefetch(quadrics, u + 1)
                prefetch(fans, BLOCK * np.int64(spans[u, 0]))


@compiled(error_model="numpy", inline="always")
def _look(points, quadrics, fans, spans, costs, partners, kinds, v, optimal):
    """Replaces a bound by the least error."""
    if kinds[v] == _BOUND:
        costs[v], partners[v] = least_error(points, quadrics, fans, spans, v, optimal)
        kinds[v] = _ERROR


@compiled(error_model="numpy", inline="always")
def _renew(points, quadrics, fans, spans, costs, partners, kinds, apexes, removed, begin, end, v, u, optimal):
    """Costs after the collapse v -> u: of both, of the neighbours of u, some of which the corners from `begin` to `end`
    brought, and of the third vertices of the removed faces."""
    costs[u] = min(costs[u], costs[v]) if kinds[u] != _PRICE and kinds[v] != _PRICE else 0.0
    costs[u] = costs[u] if spans[u, 2] > 0 else np.inf
    kinds[u] = _BOUND
    costs[v] = np.inf
    for i in range(removed):
        w = np.int64(apexes[i])
        _forget(costs, partners, kinds, w, v, u)
        if spans[w, 2] == 0:
            costs[w] = np.inf
    first = BLOCK * np.int64(spans[u, 0])
    for side in range(spans[u, 3]):
        for i in range(spans[u, 2]):
            w = vertex(fans[first + i], side)
            _forget(costs, partners, kinds, w, v, u)
            if begin <= i and i < end:
                cost = error(points, quadrics, w, u, optimal)[0]
                if cost < costs[w]:
                    costs[w], partners[w] = cost, u
                    kinds[w] = _BOUND if kinds[w] == _BOUND else _ERROR


@compiled(inline="always")
def _forget(costs, partners, kinds, w, v, u):
    """Leaves of w's cost with v or u no more than a bound."""
    if partners[w] == v or partners[w] == u:
        costs[w] = costs[w] if kinds[w] != _PRICE else 0.0
        kinds[w] = _BOUND


@compiled(error_model="numpy")
def _threshold(points, quadrics, fans, spans, costs, partners, kinds, alive, surplus, optimal):
    """Cost below which about a share of the collapses for `surplus` faces lies; at least the least cost."""
    stride = -(-alive.shape[0] // _SAMPLE)
    sample = np.empty(-(-alive.shape[0] // stride))
    for i in range(sample.shape[0]):
        v = np.int64(alive[i * stride])
        _look(points, quadrics, fans, spans, costs, partners, kinds, v, optimal)
        sample[i] = costs[v]
    sample = np.sort(sample)
    count = np.searchsorted(sample, np.inf)
    needed = 0.5 * surplus / alive.shape[0]
    share = max(min(_SHARE * needed, _GREATEST_SHARE), min(needed, _LEAST_SHARE))
    return sample[min(int(share * count), count - 1)]

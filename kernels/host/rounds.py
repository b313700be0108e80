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

from kernels.host.collapse import collapse
from kernels.host.jit import borrowed, compiled, prefetch
from kernels.host.pricing import cheapest, error, least_error
from kernels.host.surface import BLOCK, count_faces, gather, new_marks, next_stamp, vertex

_SAMPLE = 2048
_SHARE = 0.7
"""Part of the collapses still to do that a round may take, as a quantile of the costs, ..."""

_LEAST_SHARE = 0.02
"""... once that is less than this part of the living vertices, a round may take all of it."""

_GREATEST_SHARE = 0.9

_AHEAD = 6
"""So many vertices before its turn the neighbours of a vertex are asked for, and twice as many its own rows: without
that a fourth of the time is waiting for memory."""

_ERROR, _BOUND, _PRICE = 0, 1, 2
"""What the cost of a vertex is: its least error, a bound of that from below, or the price of its partner."""


@compiled
def collapse_in_rounds(points, quadrics, fans, spans, parent, target, optimal):
    """Collapses until at most `target` faces live.

    Args:
      points, quadrics, fans, spans, parent: a `Surface`, changed in place.
      target: number of faces, >= 0.
      optimal: whether merged vertices move to the best place; they take the place of one of the two otherwise.

    Returns:
      Number of rounds.
    """
    num_vertices, living = parent.shape[0], count_faces(spans)
    mark, ring, apexes = new_marks(num_vertices), np.empty(num_vertices, np.int32), np.empty(living, np.int32)
    candidates, bounds = np.empty(num_vertices, np.int32), np.empty(num_vertices)
    costs, partners = np.full(num_vertices, np.inf), np.full(num_vertices, np.int32(-1))
    kinds = np.full(num_vertices, np.uint8(_BOUND))
    alive, count = np.empty(num_vertices, np.int32), 0
    for v in range(num_vertices):
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
            *(points, quadrics, fans, spans, parent, mark, ring, apexes, candidates, bounds),
            *(costs, partners, kinds, alive, living, target, threshold, optimal),
        )
    return rounds


@compiled(error_model="numpy")
def _round(
    points, quadrics, fans, spans, parent, mark, ring, apexes, candidates, bounds,
    costs, partners, kinds, alive, living, target, threshold, optimal,
):  # fmt: skip
    """One round. Takes the dead out of the list of the living; returns the numbers of living faces and vertices."""
    points, quadrics, fans, spans = borrowed(points), borrowed(quadrics), borrowed(fans), borrowed(spans)
    parent, mark, ring, apexes = borrowed(parent), borrowed(mark), borrowed(ring), borrowed(apexes)
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
        known, count = _rings(fans, spans, mark, v, u, ring)
        removed = collapse(points, quadrics, fans, spans, parent, apexes, v, u, x, y, z)
        kept -= 1
        _renew(points, quadrics, spans, costs, partners, kinds, ring, known, count, v, u, optimal)
        for j in range(removed):
            if spans[apexes[j], 2] == 0:
                costs[apexes[j]] = np.inf
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
                prefetch(fans, BLOCK * np.int64(spans[u, 0]))


@compiled(error_model="numpy", inline="always")
def _look(points, quadrics, fans, spans, costs, partners, kinds, v, optimal):
    """Replaces a bound by the least error."""
    if kinds[v] == _BOUND:
        costs[v], partners[v] = least_error(points, quadrics, fans, spans, v, optimal)
        kinds[v] = _ERROR


@compiled(error_model="numpy", inline="always")
def _rings(fans, spans, mark, v, u, ring):
    """The neighbours of u but v, then the others of v; returns how many of the former, and of both."""
    stamp = next_stamp(mark)
    mark[v] = mark[u] = stamp
    known = gather(fans, spans, mark, stamp, u, ring, 0)
    return known, gather(fans, spans, mark, stamp, v, ring, known)


@compiled(error_model="numpy", inline="always")
def _renew(points, quadrics, spans, costs, partners, kinds, ring, known, count, v, u, optimal):
    """Costs after the collapse v -> u, for both and for the ring around them; u is new to it from `known` on."""
    costs[u] = min(costs[u], costs[v]) if kinds[u] != _PRICE and kinds[v] != _PRICE else 0.0
    costs[u] = costs[u] if spans[u, 2] > 0 else np.inf
    kinds[u] = _BOUND
    costs[v] = np.inf
    for i in range(count):
        w = np.int64(ring[i])
        if partners[w] == v or partners[w] == u:
            costs[w] = costs[w] if kinds[w] != _PRICE else 0.0
            kinds[w] = _BOUND
        if i >= known:
            cost = error(points, quadrics, w, u, optimal)[0]
            if cost < costs[w]:
                costs[w], partners[w] = cost, u
                kinds[w] = _BOUND if kinds[w] == _BOUND else _ERROR


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

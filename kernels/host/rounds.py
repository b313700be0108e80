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
from kernels.host.jit import borrowed, compiled
from kernels.host.pricing import cheapest, error, least_error
from kernels.host.surface import count_faces, gather, new_marks, next_stamp

_SAMPLE = 2048
_SHARE = 0.7
"""Part of the collapses still to do that a round may take, as a quantile of the costs, ..."""

_LEAST_SHARE = 0.02
"""... once that is less than this part of the living vertices, a round may take all of it."""

_GREATEST_SHARE = 0.9

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
    for v in range(num_vertices):
        if spans[v, 2] > 0:
            costs[v] = 0.0
    rounds = 0
    while living > target:
        rounds += 1
        threshold = _threshold(points, quadrics, fans, spans, costs, partners, kinds, living - target, optimal)
        living = _round(
            *(points, quadrics, fans, spans, parent, mark, ring, apexes, candidates, bounds),
            *(costs, partners, kinds, living, target, threshold, optimal),
        )
    return rounds


@compiled(error_model="numpy")
def _round(
    points, quadrics, fans, spans, parent, mark, ring, apexes, candidates, bounds,
    costs, partners, kinds, living, target, threshold, optimal,
):  # fmt: skip
    """One round; returns the number of living faces."""
    points, quadrics, fans, spans = borrowed(points), borrowed(quadrics), borrowed(fans), borrowed(spans)
    parent, mark, ring, apexes = borrowed(parent), borrowed(mark), borrowed(ring), borrowed(apexes)
    candidates, bounds, costs = borrowed(candidates), borrowed(bounds), borrowed(costs)
    partners, kinds = borrowed(partners), borrowed(kinds)
    for v in range(parent.shape[0]):
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
        _renew(points, quadrics, spans, costs, partners, kinds, ring, known, count, v, u, optimal)
        for i in range(removed):
            if spans[apexes[i], 2] == 0:
                costs[apexes[i]] = np.inf
        living -= removed
        if living <= target:
            break
    return living


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
def _threshold(points, quadrics, fans, spans, costs, partners, kinds, surplus, optimal):
    """Cost below which about a share of the collapses for `surplus` faces lies; at least the least cost."""
    living = 0
    for v in range(costs.shape[0]):
        living += costs[v] < np.inf
    stride = max(1, -(-living // _SAMPLE))
    sample = np.empty(min(living, _SAMPLE))
    count = seen = 0
    for v in range(costs.shape[0]):
        if costs[v] < np.inf:
            if seen % stride == 0:
                _look(points, quadrics, fans, spans, costs, partners, kinds, v, optimal)
                sample[count] = costs[v]
                count += 1
            seen += 1
    sample = np.sort(sample[:count])
    needed = 0.5 * surplus / living
    share = max(min(_SHARE * needed, _GREATEST_SHARE), min(needed, _LEAST_SHARE))
    return sample[min(int(share * count), count - 1)]

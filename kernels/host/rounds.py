"""Edge collapses in rounds: each takes, in memory order, what is cheaper than a threshold drawn from a sample.

Close to the order of a heap, without one: neighbouring vertices are collapsed one after the other, while they are in
the cache, and a price is computed only for a vertex whose bare error is under the threshold. Where the merged vertex
takes the place of one of the two, v -> u waits while u itself may go for less. The vertex with the least price of all
never waits, so each round that collapses nothing puts more vertices under their price, and the rounds end.
"""

import numpy as np

from kernels.host.collapse import affected, collapse
from kernels.host.jit import compiled
from kernels.host.pricing import cheapest, error, least_error
from kernels.host.surface import new_marks

_SAMPLE = 8192
_SHARE = 0.7
"""Part of the collapses still to do that a round may take, as a quantile of the costs, ..."""

_LEAST_SHARE = 0.02
"""... once that is less than this part of the living vertices, a round may take all of it."""

_GREATEST_SHARE = 0.9


@compiled(error_model="numpy")
def collapse_in_rounds(points, quadrics, faces, before, head, parent, target, optimal):
    """Collapses until at most `target` faces live.

    Args:
      points, quadrics, faces, before, head, parent: a `Surface`, changed in place.
      target: number of faces, >= 0.
      optimal: whether merged vertices move to the best place; they take the place of one of the two otherwise.

    Returns:
      Number of rounds.
    """
    num_vertices, living = head.shape[0], faces.shape[0]
    mark, ring, apexes = new_marks(num_vertices), np.empty(num_vertices, np.int32), np.empty(living, np.int32)
    candidates, bounds = np.empty(num_vertices, np.int32), np.empty(num_vertices)
    costs, partners = np.full(num_vertices, np.inf), np.full(num_vertices, np.int32(-1))
    for v in range(num_vertices):
        if head[v] >= 0:
            costs[v], partners[v] = least_error(points, quadrics, faces, head, mark, v, optimal)
    rounds = 0
    while living > target:
        rounds += 1
        threshold = _threshold(costs, living - target)
        for v in range(num_vertices):
            if costs[v] > threshold:
                continue
            cost, u, x, y, z = cheapest(
                points, quadrics, faces, head, mark, candidates, bounds, v, partners[v], threshold, optimal
            )
            if cost > threshold or (not optimal and cost > costs[u]):
                costs[v] = cost
                partners[v] = u
                continue
            removed = collapse(points, quadrics, faces, before, head, parent, apexes, v, u, x, y, z)
            costs[v] = np.inf
            neighbours, count = affected(faces, head, mark, apexes, removed, u, ring)
            _renew(points, quadrics, faces, head, mark, costs, partners, ring[:count], neighbours, v, u, optimal)
            living -= removed
            if living <= target:
                break
    return rounds


@compiled(error_model="numpy")
def _renew(points, quadrics, faces, head, mark, costs, partners, ring, neighbours, v, u, optimal):
    """Candidates after the collapse v -> u, for the vertices that it affected, neighbours of u first."""
    for i in range(ring.shape[0]):
        w = np.int64(ring[i])
        if head[w] < 0:
            costs[w] = np.inf
        elif i >= neighbours or partners[w] == v or partners[w] == u:
            costs[w], partners[w] = least_error(points, quadrics, faces, head, mark, w, optimal)
        else:
            cost = error(points, quadrics, w, u, optimal)[0]
            if cost < costs[w]:
                costs[w] = cost
                partners[w] = u


@compiled(error_model="numpy")
def _threshold(costs, surplus):
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
                sample[count] = costs[v]
                count += 1
            seen += 1
    sample = np.sort(sample[:count])
    needed = 0.5 * surplus / living
    share = max(min(_SHARE * needed, _GREATEST_SHARE), min(needed, _LEAST_SHARE))
    return sample[min(int(share * count), count - 1)]

"""What a collapse costs: the quadric's error, times penalties for what it would do to the faces around.

The functions in the innermost loops are inlined by Numba itself: around a call that is left to LLVM it counts the
references to every array in sight, a fifth of the whole time.
"""

import numpy as np

from kernels.host.jit import compiled
from kernels.host.simplify import quadrics as quadric
from kernels.host.simplify.mesh_state import BLOCK, LOW, next_stamp, vertex

QUALITY_THRESHOLD = 0.2
"""Faces whose 2 area / longest edge^2 falls below this multiply the cost by the ratio (equilateral: 0.87)."""

WORST_QUALITY = 1e-4
"""The ratio stops here: at most 2000 times the cost."""

FLIP_COSINE = 0.2
"""A face whose normal turns by more than this cosine counts as flipped."""

FLIP_PENALTY = 1e6
"""A flip costs much and is never forbidden: every target can be reached."""

LINK_PENALTY = 10.0
"""For a pair with more common neighbours than common faces: the collapse would pinch the surface."""

_TINY = 1e-30
"""Added to every error, so that penalties tell collapses without error apart."""


@compiled(error_model="numpy", forceinline=True)
def error(mesh, v, u, optimal):
    """Error of the collapse v -> u and the place of the merged vertex; never above its cost.

    Returns:
        (error, (x, y, z)), error > 0.
    """
    points, quadrics = mesh.points, mesh.quadrics
    if optimal:
        cost, x, y, z = quadric.best_place(quadrics, points, v, u)
    else:
        x, y, z = points[u, 0], points[u, 1], points[u, 2]
        cost = max(quadric.evaluate(quadric.load(quadrics, v), x, y, z) + points[u, 3], 0.0)
    return cost + _TINY, (x, y, z)


@compiled(error_model="numpy")
def least_error(mesh, v, optimal):
    """The neighbour with which v has the least error, ties go to the lowest; (inf, -1) without neighbours."""
    points, quadrics, vertex_fans, fan_blocks, _ = mesh
    q = quadric.load(quadrics, v)
    least, partner = np.inf, np.int64(-1)
    first = BLOCK * np.int64(fan_blocks[v, 0])
    for side in range(fan_blocks[v, 3]):
        for i in range(first, first + fan_blocks[v, 2]):
            u = vertex(vertex_fans[i], side)
            if optimal:
                cost = quadric.best_place(quadrics, points, v, u)[0]
            else:
                cost = max(quadric.evaluate(q, points[u, 0], points[u, 1], points[u, 2]) + points[u, 3], 0.0)
            if cost < least or (cost == least and u < partner):
                least, partner = cost, u
    return least + _TINY, partner


@compiled(error_model="numpy", forceinline=True)
def _change(mesh, v, u, place):
    """What becomes of the faces of v without u when v moves to `place`.

    Returns:
        (least squared quality, at most the threshold's; number of flipped faces; number of faces of v that hold u).
    """
    points, vertex_fans, fan_blocks = mesh.points, mesh.vertex_fans, mesh.fan_blocks
    x, y, z = place
    quality, flipped, shared = QUALITY_THRESHOLD * QUALITY_THRESHOLD, 0, 0
    vx, vy, vz = points[v, 0], points[v, 1], points[v, 2]
    first = BLOCK * np.int64(fan_blocks[v, 0])
    for i in range(first, first + fan_blocks[v, 2]):
        a, b = (vertex_fans[i] >> 32) & LOW, vertex_fans[i] & LOW
        if a == u or b == u:
            shared += 1
            continue
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        ex, ey, ez = points[b, 0] - ax, points[b, 1] - ay, points[b, 2] - az
        px, py, pz = ax - vx, ay - vy, az - vz
        qx, qy, qz = ax - x, ay - y, az - z
        ox, oy, oz = py * ez - pz * ey, pz * ex - px * ez, px * ey - py * ex
        nx, ny, nz = qy * ez - qz * ey, qz * ex - qx * ez, qx * ey - qy * ex
        old, new = ox * ox + oy * oy + oz * oz, nx * nx + ny * ny + nz * nz
        along = ox * nx + oy * ny + oz * nz
        if old > 0.0 and (along <= 0.0 or along * along < FLIP_COSINE * FLIP_COSINE * old * new):
            flipped += 1
        sx, sy, sz = qx + ex, qy + ey, qz + ez
        longest = max(ex * ex + ey * ey + ez * ez, qx * qx + qy * qy + qz * qz, sx * sx + sy * sy + sz * sz)
        if new < quality * longest * longest:
            quality = new / (longest * longest)
    return quality, flipped, shared


@compiled(error_model="numpy", forceinline=True)
def _common_neighbours(mesh, mark, v, u):
    vertex_fans, fan_blocks = mesh.vertex_fans, mesh.fan_blocks
    around_v, seen = next_stamp(mark), next_stamp(mark)
    first = BLOCK * np.int64(fan_blocks[v, 0])
    for side in range(fan_blocks[v, 3]):
        for i in range(first, first + fan_blocks[v, 2]):
            mark[vertex(vertex_fans[i], side)] = around_v
    mark[v] = seen
    mark[u] = seen
    count = 0
    first = BLOCK * np.int64(fan_blocks[u, 0])
    for side in range(fan_blocks[u, 3]):
        for i in range(first, first + fan_blocks[u, 2]):
            w = vertex(vertex_fans[i], side)
            count += mark[w] == around_v
            mark[w] = seen
    return count


@compiled(error_model="numpy", forceinline=True)
def _collapse_cost(mesh, mark, v, u, optimal):
    """Error times penalties of the collapse v -> u, and the place of the merged vertex."""
    cost, place = error(mesh, v, u, optimal)
    quality, flipped, shared = _change(mesh, v, u, place)
    if optimal:
        other_quality, other_flipped, shared = _change(mesh, u, v, place)
        quality = min(quality, other_quality)
        flipped += other_flipped
    if quality < QUALITY_THRESHOLD * QUALITY_THRESHOLD:
        cost *= max(QUALITY_THRESHOLD / max(np.sqrt(quality), WORST_QUALITY), 1.0)
    if flipped > 0:
        cost *= FLIP_PENALTY
    if _common_neighbours(mesh, mark, v, u) > shared:
        cost *= LINK_PENALTY
    return cost, place


@compiled(error_model="numpy", forceinline=True)
def min_cost_neighbour(mesh, scratch, v, first, accept_below, optimal):
    """The neighbour with which the collapse of v has the minimum cost; ties go to the lowest number.

    An error is never above its cost, so the cost is computed only for neighbours whose error is not above the minimum
    so far.

    Args:
        mesh: a `MeshState`.
        scratch: a `Scratch`, overwritten.
        v: number of the vertex.
        first: the neighbour to begin with.
        accept_below: `first` is taken at this cost or less, and the others are skipped.
        optimal: whether the merged vertex moves to the best place.

    Returns:
        (cost, neighbour, (x, y, z)).
    """
    candidates, bounds = scratch.candidates, scratch.bounds
    partner, best, place = first, np.inf, (0.0, 0.0, 0.0)
    candidates[0], bounds[0], count = first, 0.0, 1
    i = 0
    while i < count:
        u = candidates[i]
        if bounds[i] <= best:
            cost, place_with_u = _collapse_cost(mesh, scratch.mark, v, u, optimal)
            if cost < best or (cost == best and u < partner):
                best, partner, place = cost, u, place_with_u
        i += 1
        if i == 1 and best > accept_below:
            count = _add_candidates(mesh, scratch, v, first, best, optimal)
    return best, partner, place


@compiled(error_model="numpy", forceinline=True)
def _add_candidates(mesh, scratch, v, first, best, optimal):
    """Appends the neighbours of v whose error is not above `best`, with their errors, to `first`; returns the count."""
    vertex_fans, fan_blocks = mesh.vertex_fans, mesh.fan_blocks
    mark, candidates, bounds = scratch.mark, scratch.candidates, scratch.bounds
    stamp = next_stamp(mark)
    mark[v] = stamp
    mark[first] = stamp
    count = 1
    start = BLOCK * np.int64(fan_blocks[v, 0])
    for side in range(fan_blocks[v, 3]):
        for j in range(start, start + fan_blocks[v, 2]):
            u = vertex(vertex_fans[j], side)
            if mark[u] != stamp:
                mark[u] = stamp
                bound = error(mesh, v, u, optimal)[0]
                if bound <= best:
                    candidates[count] = u
                    bounds[count] = bound
                    count += 1
    return count

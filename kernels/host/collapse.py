"""The mesh that edge collapses work on, and the collapse itself.

The corner of face f at its k-th vertex has the number 4 f + k. The corners at one vertex form a doubly linked list, so
that a face leaves the list of a vertex with very many faces as fast as any other.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from kernels.host import quadrics as quadric


class Surface(NamedTuple):
    """A triangle mesh under collapse; every array is changed in place.

    Attributes:
      points: float64[V, 4] position, and the vertex's own quadric there.
      quadrics: float64[V, 10] see `kernels.host.quadrics`.
      faces: int32[F, 4] three vertices (the fourth column only makes the row a power of two); a removed face has -1
        in column 0.
      head: int32[V] first corner at a vertex, -1 for a vertex without faces.
      after: int32[4 F] next corner at the same vertex, -1 at the end.
      before: int32[4 F] previous corner at the same vertex, -1 at the head.
      parent: int32[V] the vertex that this one went into; itself while it lives.
    """

    points: np.ndarray
    quadrics: np.ndarray
    faces: np.ndarray
    head: np.ndarray
    after: np.ndarray
    before: np.ndarray
    parent: np.ndarray


class Scratch(NamedTuple):
    """Work space as large as the mesh, so that no vertex has too many neighbours for it.

    Attributes:
      mark: int64[V] stamp of the last visit.
      stamp: int64[1] the last stamp given out.
      ring: int32[V] vertices to look at again after a collapse.
      apexes: int32[F] third vertices of the faces that a collapse removed.
      partners: int32[V] candidates of one vertex, and
      prices: float64[V] what they cost at least.
    """

    mark: np.ndarray
    stamp: np.ndarray
    ring: np.ndarray
    apexes: np.ndarray
    partners: np.ndarray
    prices: np.ndarray


@njit(cache=True, nogil=True)
def new_scratch(num_vertices, num_faces):
    """Scratch for a mesh of this size; pages that are never touched cost nothing."""
    return Scratch(
        np.zeros(num_vertices, np.int64),
        np.zeros(1, np.int64),
        np.empty(num_vertices, np.int32),
        np.empty(num_faces, np.int32),
        np.empty(num_vertices, np.int32),
        np.empty(num_vertices, np.float64),
    )


@njit(cache=True, nogil=True)
def new_surface(positions, triangles):
    """Surface of float64[V, 3] positions and int32[F, 3] faces without degenerate or repeated ones."""
    num_vertices, num_faces = positions.shape[0], triangles.shape[0]
    points = np.zeros((num_vertices, 4))
    points[:, :3] = positions
    faces = np.zeros((num_faces, 4), np.int32)
    head = np.full(num_vertices, -1, np.int32)
    after = np.empty(4 * num_faces, np.int32)
    before = np.empty(4 * num_faces, np.int32)
    degree = np.zeros(num_vertices, np.int32)
    for f in range(num_faces - 1, -1, -1):
        for k in range(3):
            v = triangles[f, k]
            faces[f, k] = v
            degree[v] += 1
            corner = 4 * f + k
            after[corner] = head[v]
            before[corner] = -1
            if head[v] >= 0:
                before[head[v]] = corner
            head[v] = corner
    quadrics = np.zeros((num_vertices, 10))
    for f in range(num_faces):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        open_ab = _is_open(faces, head, after, degree, a, b)
        open_bc = _is_open(faces, head, after, degree, b, c)
        open_ca = _is_open(faces, head, after, degree, c, a)
        quadric.add_face(quadrics, points, a, b, c, open_ab, open_bc, open_ca)
    for v in range(num_vertices):
        points[v, 3] = quadric.evaluate(quadric.load(quadrics, v), points[v, 0], points[v, 1], points[v, 2])
    parent = np.arange(num_vertices).astype(np.int32)
    return Surface(points, quadrics, faces, head, after, before, parent)


@njit(cache=True, nogil=True)
def _is_open(faces, head, after, degree, v, u):
    """Whether one face alone has the edge (v, u)."""
    if degree[u] < degree[v]:
        v, u = u, v
    count = 0
    corner = head[v]
    while corner >= 0:
        f = corner >> 2
        if faces[f, 0] == u or faces[f, 1] == u or faces[f, 2] == u:
            count += 1
            if count > 1:
                return False
        corner = after[corner]
    return True


@njit(cache=True, nogil=True)
def collapse(surface, scratch, v, u, x, y, z):
    """Moves v into u and u to (x, y, z); faces that held both go.

    A third vertex that thereby loses its last face goes into u too, so that a component that runs out of faces ends
    as one vertex. The third vertices are left in `scratch.apexes`, one for each removed face.

    Returns:
      Number of removed faces.
    """
    points, quadrics, faces, head, after, before, parent = surface
    parent[v] = u
    for j in range(10):
        quadrics[u, j] += quadrics[v, j]
    removed = 0
    corner = head[v]
    head[v] = -1
    while corner >= 0:
        following = after[corner]
        f = corner >> 2
        if faces[f, 0] == u or faces[f, 1] == u or faces[f, 2] == u:
            for k in range(3):
                w = faces[f, k]
                if w != v:
                    _unlink(head, after, before, w, 4 * f + k)
                    if w != u:
                        scratch.apexes[removed] = w
            faces[f, 0] = -1
            removed += 1
        else:
            faces[f, corner & 3] = u
            first = head[u]
            after[corner] = first
            before[corner] = -1
            if first >= 0:
                before[first] = corner
            head[u] = corner
        corner = following
    for i in range(removed):
        w = scratch.apexes[i]
        if head[w] < 0 and parent[w] == w:
            parent[w] = u
            for j in range(10):
                quadrics[u, j] += quadrics[w, j]
    points[u, 0] = x
    points[u, 1] = y
    points[u, 2] = z
    points[u, 3] = quadric.evaluate(quadric.load(quadrics, u), x, y, z)
    return removed


@njit(cache=True, nogil=True)
def _unlink(head, after, before, v, corner):
    previous, following = before[corner], after[corner]
    if previous >= 0:
        after[previous] = following
    else:
        head[v] = following
    if following >= 0:
        before[following] = previous


@njit(cache=True, nogil=True)
def affected(surface, scratch, u, removed):
    """Vertices whose candidates a collapse into u may have changed, into `scratch.ring`.

    First the neighbours of u, then the third vertices of removed faces that are no longer its neighbours, then u.

    Returns:
      (number of neighbours of u, number of all).
    """
    faces, after, mark, ring = surface.faces, surface.after, scratch.mark, scratch.ring
    scratch.stamp[0] += 1
    stamp = scratch.stamp[0]
    mark[u] = stamp
    count = 0
    corner = surface.head[u]
    while corner >= 0:
        f = corner >> 2
        for k in range(3):
            w = faces[f, k]
            if mark[w] != stamp:
                mark[w] = stamp
                ring[count] = w
                count += 1
        corner = after[corner]
    neighbours = count
    for i in range(removed):
        w = scratch.apexes[i]
        if mark[w] != stamp:
            mark[w] = stamp
            ring[count] = w
            count += 1
    ring[count] = u
    return neighbours, count + 1

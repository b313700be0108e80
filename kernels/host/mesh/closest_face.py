"""The nearest point on the faces around a vertex, as barycentric weights: how values at mesh vertices reach points."""

import numpy as np

from kernels.host.jit import compiled


def closest_on_fans(
    points: np.ndarray, around: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each point the nearest place on the faces that meet at one vertex, as corners and weights.

    A field that is linear on a face is reproduced at its nearest place; equally near faces: the first one counts.

    Args:
        points: float64 [N, 3].
        around: int32 [N], rows of vertices; only faces with this corner are looked at.
        vertices: float64 [V, 3].
        faces: int32 [F, 3].

    Returns:
        corners int32 [N, 3] and weights float32 [N, 3], not negative, with sum one. A vertex without a face has
        itself three times, with the weights 1, 0, 0.

    Raises:
        ValueError: faces or `around` name a vertex outside 0..V-1, or shapes that do not fit.
    """
    points, vertices = np.ascontiguousarray(points, np.float64), np.ascontiguousarray(vertices, np.float64)
    around, faces = np.ascontiguousarray(around, np.int32), np.ascontiguousarray(faces, np.int32)
    if points.shape != (len(around), 3) or vertices.shape[1:] != (3,) or faces.shape[1:] != (3,):
        raise ValueError(
            f"points {points.shape}, around {around.shape}, vertices {vertices.shape}, faces {faces.shape}"
        )
    for name, rows in (("around", around), ("faces", faces)):
        if rows.size and (rows.min() < 0 or rows.max() >= len(vertices)):
            raise ValueError(f"{name} has rows {rows.min()} to {rows.max()}, outside the {len(vertices)} vertices")
    starts = np.zeros(len(vertices) + 1, np.int64)
    np.cumsum(np.bincount(faces.ravel(), minlength=len(vertices)), out=starts[1:])
    fans = (np.argsort(faces.ravel(), kind="stable") // 3).astype(np.int32)
    corners, weights = np.empty((len(points), 3), np.int32), np.empty((len(points), 3), np.float32)
    _closest(points, around, (vertices, faces), (starts, fans), corners, weights)
    return corners, weights


@compiled
def _closest(points, around, mesh, fans_of_vertices, corners, weights):
    vertices, faces = mesh
    starts, fans = fans_of_vertices
    found, best = np.empty(3), np.empty(3)
    for point in range(points.shape[0]):
        vertex = around[point]
        nearest, face = np.inf, -1
        for place in range(starts[vertex], starts[vertex + 1]):
            distance = _on_face(points[point], vertices, faces[fans[place]], found)
            if distance < nearest:
                nearest, face = distance, fans[place]
                best[:] = found
        for k in range(3):
            corners[point, k] = vertex if face < 0 else faces[face, k]
            weights[point, k] = (1.0 if k == 0 else 0.0) if face < 0 else best[k]


@compiled
def _on_face(point, vertices, face, found):
    """Squared distance of a point and a triangle; `found` gets the weights of the nearest place."""
    a, b, c = vertices[face[0]], vertices[face[1]], vertices[face[2]]
    uu, uv, vv, up, vp = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(3):
        u, v, p = b[k] - a[k], c[k] - a[k], point[k] - a[k]
        uu, uv, vv = uu + u * u, uv + u * v, vv + v * v
        up, vp = up + u * p, vp + v * p
    determinant = uu * vv - uv * uv
    if determinant > 1e-12 * uu * vv:
        s, t = (vv * up - uv * vp) / determinant, (uu * vp - uv * up) / determinant
        if s >= 0 and t >= 0 and s + t <= 1:
            found[0], found[1], found[2] = 1 - s - t, s, t
            return _distance(point, a, b, c, found)
    nearest, corner, share = np.inf, 0, 0.0
    for k in range(3):
        start, end = vertices[face[k]], vertices[face[(k + 1) % 3]]
        along, length = 0.0, 0.0
        for d in range(3):
            along += (point[d] - start[d]) * (end[d] - start[d])
            length += (end[d] - start[d]) ** 2
        part = min(max(along / length, 0.0), 1.0) if length > 0 else 0.0
        found[k], found[(k + 1) % 3], found[(k + 2) % 3] = 1 - part, part, 0.0
        distance = _distance(point, a, b, c, found)
        if distance < nearest:
            nearest, corner, share = distance, k, part
    found[corner], found[(corner + 1) % 3], found[(corner + 2) % 3] = 1 - share, share, 0.0
    return nearest


@compiled
def _distance(point, a, b, c, weights):
    total = 0.0
    for k in range(3):
        total += (weights[0] * a[k] + weights[1] * b[k] + weights[2] * c[k] - point[k]) ** 2
    return total

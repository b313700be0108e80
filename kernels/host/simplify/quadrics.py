"""Error quadrics: weighted sums of squared distances to planes (Garland and Heckbert 1997).

A quadric is q(p) = p^T A p + 2 b^T p + c, kept as the ten numbers (Axx, Axy, Axz, Ayy, Ayz, Azz, bx, by, bz, c) in
float64. In an array it is a row; in registers it is a tuple.
"""

import numpy as np

from kernels.host.jit import compiled

BOUNDARY_WEIGHT = 3.0
"""A boundary edge adds the plane through it, upright on its face, with this times its squared length."""

POINT_WEIGHT = 3e-5
"""A face adds its area times this as the squared distance to each of its corners: flat places keep a minimum."""

_SINGULAR = 1e-9
"""A system with det(A) at or below this times trace(A)^3 is not solved."""

_REACH = 2.0
"""A minimum further from the middle of the edge than this many of its lengths is not used."""


@compiled(error_model="numpy", forceinline=True)
def load(q, v):
    """Row v of float64 [V, 10] as a tuple."""
    return q[v, 0], q[v, 1], q[v, 2], q[v, 3], q[v, 4], q[v, 5], q[v, 6], q[v, 7], q[v, 8], q[v, 9]


@compiled(error_model="numpy", forceinline=True)
def evaluate(q, x, y, z):
    """Value of the quadric `q`, a tuple, at (x, y, z)."""
    xx, xy, xz, yy, yz, zz, bx, by, bz, c = q
    along_x = xx * x + 2.0 * (xy * y + xz * z + bx)
    along_y = yy * y + 2.0 * (yz * z + by)
    along_z = zz * z + 2.0 * bz
    return x * along_x + y * along_y + z * along_z + c


@compiled(error_model="numpy", forceinline=True)
def best_place(quadrics, points, v, u):
    """Least error of the merged vertex and its place: the minimum, or the best of middle and ends without one.

    Gives the same bits for (v, u) and (u, v) where the minimum exists; the error always agrees.

    Args:
        quadrics: float64 [V, 10].
        points: float64 [V, 4], x, y, z first.
        v, u: numbers of the two vertices that become one.

    Returns:
        (error, x, y, z), error >= 0.
    """
    q, r = load(quadrics, v), load(quadrics, u)
    xx, xy, xz, yy, yz, zz = q[0] + r[0], q[1] + r[1], q[2] + r[2], q[3] + r[3], q[4] + r[4], q[5] + r[5]
    bx, by, bz, c = q[6] + r[6], q[7] + r[7], q[8] + r[8], q[9] + r[9]
    vx, vy, vz = points[v, 0], points[v, 1], points[v, 2]
    ux, uy, uz = points[u, 0], points[u, 1], points[u, 2]
    mx, my, mz = 0.5 * (vx + ux), 0.5 * (vy + uy), 0.5 * (vz + uz)

    # Cramer's rule on A p = -b with the cofactors of the symmetric A.
    cxx, cxy, cxz = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    determinant = xx * cxx + xy * cxy + xz * cxz
    trace = xx + yy + zz
    if determinant > _SINGULAR * trace * trace * trace:
        cyy, cyz, czz = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
        scale = -1.0 / determinant
        x = (cxx * bx + cxy * by + cxz * bz) * scale
        y = (cxy * bx + cyy * by + cyz * bz) * scale
        z = (cxz * bx + cyz * by + czz * bz) * scale
        away = (x - mx) ** 2 + (y - my) ** 2 + (z - mz) ** 2
        if away <= _REACH * _REACH * ((vx - ux) ** 2 + (vy - uy) ** 2 + (vz - uz) ** 2):
            return max(bx * x + by * y + bz * z + c, 0.0), x, y, z

    merged = (xx, xy, xz, yy, yz, zz, bx, by, bz, c)
    at_v, at_u, at_middle = evaluate(merged, vx, vy, vz), evaluate(merged, ux, uy, uz), evaluate(merged, mx, my, mz)
    if at_middle <= at_v and at_middle <= at_u:
        return max(at_middle, 0.0), mx, my, mz
    if at_u <= at_v:
        return max(at_u, 0.0), ux, uy, uz
    return max(at_v, 0.0), vx, vy, vz


@compiled(error_model="numpy", forceinline=True)
def _add(quadrics, v, plane, weight, point, point_weight):
    """Adds weight * (n . p + d)^2 + point_weight * |p - point|^2 to row v, for plane = (n, d) with a unit vector n."""
    nx, ny, nz, d = plane
    x, y, z = point
    quadrics[v, 0] += weight * nx * nx + point_weight
    quadrics[v, 1] += weight * nx * ny
    quadrics[v, 2] += weight * nx * nz
    quadrics[v, 3] += weight * ny * ny + point_weight
    quadrics[v, 4] += weight * ny * nz
    quadrics[v, 5] += weight * nz * nz + point_weight
    quadrics[v, 6] += weight * nx * d - point_weight * x
    quadrics[v, 7] += weight * ny * d - point_weight * y
    quadrics[v, 8] += weight * nz * d - point_weight * z
    quadrics[v, 9] += weight * d * d + point_weight * (x * x + y * y + z * z)


@compiled(error_model="numpy", forceinline=True)
def add_face(quadrics, points, face, are_open):
    """Adds a face to the quadrics of its corners: its plane, their places, the uprights on its open edges.

    An upright is the plane through an edge that contains the normal of the face. Both ends of the edge get it.

    Args:
        quadrics: float64 [V, 10], changed in place.
        points: float64 [V, 4], x, y, z first.
        face: its three vertices (a, b, c).
        are_open: whether the edges (a, b), (b, c) and (c, a) are of this face alone.
    """
    a, b, c = face
    ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
    wx, wy, wz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
    nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if length == 0.0:
        return
    nx, ny, nz = nx / length, ny / length, nz / length
    d = -(nx * points[a, 0] + ny * points[a, 1] + nz * points[a, 2])
    area = 0.5 * length
    for v in face:
        _add(quadrics, v, (nx, ny, nz, d), area, (points[v, 0], points[v, 1], points[v, 2]), POINT_WEIGHT * area)
    for v, u, is_open in ((a, b, are_open[0]), (b, c, are_open[1]), (c, a, are_open[2])):
        ex, ey, ez = points[u, 0] - points[v, 0], points[u, 1] - points[v, 1], points[u, 2] - points[v, 2]
        squared = ex * ex + ey * ey + ez * ez
        if not is_open or squared == 0.0:
            continue
        scale = 1.0 / np.sqrt(squared)
        bx, by, bz = (ny * ez - nz * ey) * scale, (nz * ex - nx * ez) * scale, (nx * ey - ny * ex) * scale
        d = -(bx * points[v, 0] + by * points[v, 1] + bz * points[v, 2])
        for end in (v, u):
            _add(quadrics, end, (bx, by, bz, d), BOUNDARY_WEIGHT * squared, (0.0, 0.0, 0.0), 0.0)

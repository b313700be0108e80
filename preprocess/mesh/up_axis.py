"""Which of the six axes of a file points up: an estimate from the surface, and its explanation.

Rooms and camera scans show gravity in many ways: walls stand upright, level surfaces (floors, table tops) are low and
seen from above, undersides are rarely seen, rooms are wider than high, light comes from above, cameras look down a
little. Each cue is a number for each of the six axes, found by one formula, so a rotated mesh gets the rotated answer.
The score of an axis is a weighted sum of its cues, a multinomial logit. `benchmarks/up_axis.py` measures and fits it.
"""

from typing import NamedTuple

import numpy as np

from kernels.host.jit import compiled
from preprocess.mesh.up_estimate import UP_AXES, UpEstimate

FORMAT_UP = {".glb": "y"}  # axes that a format's standard has up, for meshes that do not show it
UP_NOTE = "--up="  # what every note about the axis contains

# Names and weights of the cues.
CUES = {
    "upright": 12.9,  # share of the surface that stands upright
    "low_level": 31.9,  # share that is level and faces up, times how far it is below the middle height
    "sloped_up": 7.6,  # of what is neither upright nor level: the part that faces up
    "sloping_down": -10.0,  # share that is sloped and faces down
    "sloping_up": -2.7,  # share that is sloped and faces up
    "one_sided": -9.7,  # squared mean of the normal along the axis: large where a camera looks along it
    "height": -6.9,  # logarithm of height over width
    "tilt": -32.1,  # one less the cosine between the axis and the vertical that fits best
    "leaning": 14.8,  # of that vertical towards where the surface faces: a camera that looks down
    "brightness": 3.2,  # correlation of brightness and height
    "mean_height": 8.6,  # of the surface, above the middle of its range
}

IMPLAUSIBLE = 0.03  # probability below which a given axis gets a warning, if another one would be chosen
DIRECTED = 0.5
"""Share of the surface that must be upright or level for one of the axes; a surface of all directions has 0.36."""

DIVISIONS = 48  # of the mesh's diagonal; faces are joined to patches of that size
TRIMMED = 0.005  # share of the faces at each end of an axis that do not count for the mesh's range
SAMPLED = 50_000  # faces that are looked at for the range
LEVEL, UPRIGHT = np.cos(np.radians(18.0)), np.sin(np.radians(18.0))  # of the normal along the vertical
ANGLES = np.radians([40.0, 30.0, 20.0, 12.0, 8.0])  # what counts as level and upright, while the vertical is refined
CONE = np.cos(np.radians(40.0))  # how far the vertical may lean from an axis; scans by camera are tilted
PULL = 0.05  # of the axis on the vertical, in shares of the surface
EPSILON = 1e-9
LEANING, LIGHT = 0.15, 0.5  # beyond these, leaning and brightness count no more
SHAPED = 0.05  # second principal value of the normals; a surface with less is a plane, whose outline shows nothing
MIN_PATCHES = 24  # fewer show nothing
MIN_PLANARITY = 0.2  # length of a patch's summed area over the area of its faces; lower is noise


def estimate_up(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray | None = None) -> UpEstimate:
    """Scores the six axes of a mesh as the direction up; a rotated mesh gets the rotated scores.

    Args:
        vertices: float64 [V, 3], any unit, in the file's frame.
        faces: int32 [F, 3], counter-clockwise seen from the side that was scanned; two-sided surfaces show nothing.
        colors: uint8 [V, 3], or None.
    """
    cues, shares = up_cues(vertices, faces, colors)
    directed = bool(shares.sum(axis=1).max() >= DIRECTED)
    return UpEstimate(cues @ np.array(list(CUES.values())), shares, directed)


def choose_up(estimate: UpEstimate, suffix: str = "") -> tuple[str, str]:
    """The axis that `--up=auto` takes, and a note that gives the reason.

    Args:
        suffix: ending of the file, ".glb"; if the estimate is undecided, the format's axis is taken, or z.
    """
    best = estimate.best
    if estimate.told:
        second = np.argsort(-estimate.probabilities, kind="stable")[1]
        order = f"{estimate.sure:.0%} sure, next {UP_AXES[second]} with {estimate.probabilities[second]:.0%}"
        note = f"--up=auto took {best}, {order}: {estimate.describe(best)}"
        if estimate.confidence is not None:
            listed = ", ".join(f"{axis} {value:.2f}" for axis, value in zip(UP_AXES, estimate.confidence))
            note += f"; network's confidence {listed}"
        return best, note
    fallback = FORMAT_UP.get(suffix.lower(), "z")
    reason = f"the most likely is {best} with {estimate.sure:.0%}"
    if not estimate.directed:
        reason = "the surface has too few faces, or no upright and level parts"
    return fallback, f"warning: --up=auto cannot decide which axis is up ({reason}); {fallback} is used. Give --up=AXIS"


def up_warning(estimate: UpEstimate, up: str) -> str | None:
    """The warning for a mesh that was read with `up`, where auto would clearly choose another axis; None otherwise."""
    given = float(estimate.probabilities[UP_AXES.index(up)])
    if not estimate.told or given >= IMPLAUSIBLE:
        return None
    best, seen = estimate.best, estimate.describe
    begin = f"warning: {best} seems to be up ({estimate.sure:.0%}), not {up} ({given:.1%})"
    return f"{begin}. With {best} up: {seen(best)}; with {up} up: {seen(up)}. Give --up={best}, or --up=auto"


def up_cues(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The cues float64 [6, len(CUES)] and the shares float64 [6, 3] of `UpEstimate`; arguments as in `estimate_up`."""
    patches = _patches(vertices, faces, colors)
    if patches is None:
        return np.zeros((6, len(CUES))), np.zeros((6, 3))
    spread = np.linalg.eigvalsh((patches.normals * patches.weights[:, None]).T @ patches.normals)
    shaped = min(1.0, spread[1] / SHAPED)
    directions = [(-1.0 if name[0] == "-" else 1.0) * np.eye(3)["xyz".index(name[-1])] for name in UP_AXES]
    cues, shares = zip(*(_axis_cues(patches, direction, shaped) for direction in directions))
    return np.array(cues), np.array(shares)


class _Patches(NamedTuple):
    """The surface in N small pieces, in the order in which the faces reach them.

    Attributes:
        normals: float64 [N, 3], unit length.
        weights: float64 [N], areas, their sum is 1.
        places: float64 [N, 3], in units of a patch, around the mesh's middle.
        brightness: float64 [N], 0 to 1, all 0 without colours.
    """

    normals: np.ndarray
    weights: np.ndarray
    places: np.ndarray
    brightness: np.ndarray


def _patches(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray | None) -> _Patches | None:
    """Joins faces by cells of a grid. Summed area vectors keep the direction of a noisy surface; None for too few.

    Nothing here depends on the names or signs of the axes: the grid has a cell around the middle of the range, and sums
    over the axes go from small to large.
    """
    if len(faces) == 0:
        return None
    vertices, faces = np.ascontiguousarray(vertices), np.ascontiguousarray(faces)
    corners = vertices[faces[:: len(faces) // SAMPLED + 1]].reshape(-1, 3)
    ordered = np.sort(corners, axis=0)
    cut = int(TRIMMED * len(ordered))
    lower, upper = ordered[cut], ordered[len(ordered) - 1 - cut]
    diagonal = np.sqrt(np.sort((upper - lower) ** 2).sum())
    if not diagonal > 0:
        return None
    size, middle = diagonal / DIVISIONS, (lower + upper) / 2
    half = np.ceil(0.6 * (upper - lower) / size).astype(np.int64) + 1
    luminance = np.zeros(len(vertices)) if colors is None else colors @ np.array([0.299, 0.587, 0.114]) / 255
    cell_of = np.full(tuple(2 * half + 1), -1, np.int32)
    sums = np.zeros((cell_of.size, 8))
    sums = sums[: _join_faces(vertices, faces, luminance, (middle, size, half), cell_of, sums)]
    length = np.sqrt(np.sort(sums[:, :3] ** 2, axis=1).sum(axis=1))
    kept = length > MIN_PLANARITY * sums[:, 6]
    if kept.sum() < MIN_PATCHES:
        return None
    sums, length = sums[kept], length[kept, None]
    means = sums / sums[:, 6:7]
    return _Patches(sums[:, :3] / length, length[:, 0] / length.sum(), means[:, 3:6], means[:, 7])


@compiled
def _join_faces(vertices, faces, luminance, grid, cell_of, sums):
    """Adds area vector, area times place, area and area times luminance of each face to its cell; number of cells."""
    middle, size, half = grid
    count = 0
    cross, place, cell, squares = np.empty(3), np.empty(3), np.empty(3, np.int64), np.empty(3)
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        inside = True
        for k in range(3):
            i, j = (k + 1) % 3, (k + 2) % 3
            ui, uj = vertices[b, i] - vertices[a, i], vertices[b, j] - vertices[a, j]
            vi, vj = vertices[c, i] - vertices[a, i], vertices[c, j] - vertices[a, j]
            cross[k] = (ui * vj - uj * vi) / (size * size)
            squares[k] = cross[k] * cross[k]
            place[k] = ((vertices[a, k] + vertices[b, k] + vertices[c, k]) / 3 - middle[k]) / size
            inside = inside and abs(place[k]) < half[k]
            cell[k] = half[k] + np.int64(np.rint(place[k])) if inside else 0
        if not inside:
            continue
        for k in range(3):  # sorts the three, so that the sum does not depend on the names of the axes
            if squares[k % 2] > squares[k % 2 + 1]:
                squares[k % 2], squares[k % 2 + 1] = squares[k % 2 + 1], squares[k % 2]
        area = np.sqrt(squares[0] + squares[1] + squares[2])
        row = cell_of[cell[0], cell[1], cell[2]]
        if row < 0:
            row = count
            cell_of[cell[0], cell[1], cell[2]] = row
            count += 1
        for k in range(3):
            sums[row, k] += cross[k]
            sums[row, 3 + k] += area * place[k]
        sums[row, 6] += area
        sums[row, 7] += area * (luminance[a] + luminance[b] + luminance[c]) / 3
    return count


def _vertical(patches: _Patches, direction: np.ndarray) -> np.ndarray:
    """The unit vector near an axis that most of the surface is upright or level to (float64 [3]).

    After Gupta, Arbelaez and Malik (CVPR 2013): the smallest eigenvector of the sum of n n^T over upright normals less
    the same over level ones, with stricter and stricter ideas of both.
    """
    normals, weights = patches.normals, patches.weights
    vertical = direction
    for angle in ANGLES:
        cosine = np.abs(normals @ vertical)
        signed = weights * ((cosine < np.sin(angle)) * 1.0 - (cosine > np.cos(angle)))
        matrix = (normals * signed[:, None]).T @ normals - PULL * np.outer(direction, direction)
        found = np.linalg.eigh(matrix)[1][:, 0]
        found = found if found @ direction > 0 else -found
        vertical = found if found @ direction > CONE else vertical
    return vertical


def _axis_cues(
    patches: _Patches, direction: np.ndarray, shaped: float
) -> tuple[list[float], tuple[float, float, float]]:
    """The cues of the axis with the unit vector `direction` [3], in the order of `CUES`, and its shares."""
    vertical, extent = _vertical(patches, direction), np.ptp(patches.places, axis=0)
    width, depth = np.sort(extent[direction == 0])
    height = np.log((extent @ np.abs(direction) + EPSILON) / (np.sqrt(width * depth) + EPSILON))
    weights, cosine = patches.weights, patches.normals @ vertical
    heights = patches.places @ vertical
    heights = (heights - heights.min()) / max(np.ptp(heights), EPSILON) - 0.5
    lean = vertical - (vertical @ direction) * direction
    light, above = patches.brightness - patches.brightness.mean(), heights - heights.mean()
    spread = np.sqrt((light @ light) * (above @ above))
    correlation = light @ above / spread if spread > EPSILON else 0.0

    def share(chosen: np.ndarray, value: np.ndarray | float = 1.0) -> float:
        return float((weights * chosen * value).sum())

    upright, up, down = np.abs(cosine) < UPRIGHT, cosine > LEVEL, cosine < -LEVEL
    sloping_up = share((cosine >= UPRIGHT) & ~up)
    sloping_down = share((cosine <= -UPRIGHT) & ~down)
    cues = {
        "upright": share(upright) + (1.0 - shaped) * share(up),  # a lone plane is a wall or a floor
        "low_level": shaped * share(up, -heights),
        "sloped_up": sloping_up / (sloping_up + sloping_down + 0.02),
        "sloping_down": sloping_down,
        "sloping_up": sloping_up,
        "one_sided": shaped * share(1.0, cosine) ** 2,
        "height": shaped * np.clip(height, -1.0, 1.0),
        "tilt": 1.0 - vertical @ direction,
        "leaning": np.clip(lean @ (patches.weights @ patches.normals), -LEANING, LEANING),
        "brightness": shaped * np.clip(correlation, -LIGHT, LIGHT),
        "mean_height": shaped * share(1.0, heights),
    }
    return [cues[name] for name in CUES], (share(upright), share(up), share(down))

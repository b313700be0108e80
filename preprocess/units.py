"""Length units, the up axis, and the warnings that go with a wrong guess of either."""

import numpy as np

# Metres per unit; None keeps the file's numbers as they are, for things that are not rooms.
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "foot": 0.3048, "angstrom": None, "none": None}

# Rotations that bring the named up axis to +z: for each new axis the file's axis and its sign.
UP_ROTATIONS = {
    "z": ((0, 1), (1, 1), (2, 1)),
    "-z": ((0, 1), (1, -1), (2, -1)),
    "y": ((0, 1), (2, -1), (1, 1)),
    "-y": ((0, 1), (2, 1), (1, -1)),
    "x": ((2, -1), (1, 1), (0, 1)),
    "-x": ((2, 1), (1, 1), (0, -1)),
}

# A scan of a room, a flat or a building floor has a bounding-box diagonal between these, in metres.
SMALLEST_SCAN, LARGEST_SCAN = 0.2, 200.0
# Share of the surface that has to face an axis, and its lead over z, before that axis is suggested as up.
LEVEL_COSINE, LEVEL_SHARE, LEVEL_LEAD = 0.95, 0.15, 2.0
SAMPLED_FACES = 20_000


def to_scene_frame(vertices: np.ndarray, units: str, up: str) -> np.ndarray:
    """File coordinates to scene coordinates: scaled to metres (unless the unit has no scale), z up.

    vertices: float64 [V, 3]. units: a key of METRES. up: a key of UP_ROTATIONS. Returns float64 [V, 3].
    """
    if units not in METRES:
        raise ValueError(f"unknown unit {units!r}; known: {', '.join(METRES)}")
    if up not in UP_ROTATIONS:
        raise ValueError(f"unknown up axis {up!r}; known: {', '.join(UP_ROTATIONS)}")
    scale = METRES[units] or 1.0
    return np.stack([vertices[:, axis] * (sign * scale) for axis, sign in UP_ROTATIONS[up]], axis=1)


def to_file_frame(vertices: np.ndarray, units: str, up: str) -> np.ndarray:
    """The inverse of `to_scene_frame`: scene coordinates float64 [V, 3] back to those of the file."""
    scale = METRES[units] or 1.0
    back = np.empty_like(vertices)
    for column, (axis, sign) in enumerate(UP_ROTATIONS[up]):
        back[:, axis] = vertices[:, column] / (sign * scale)
    return back


def plausibility_notes(vertices: np.ndarray, faces: np.ndarray, units: str, up: str) -> list[str]:
    """Warnings about a scan that is much too large or small, or that seems to lie on its side.

    vertices: float64 [V, 3] in the scene frame. faces: int32 [F, 3]. units, up: as they were given. Nothing is judged
    for units without a scale; the up axis only where it was left at z.
    """
    if METRES[units] is None:
        return []
    notes = []
    extent = np.ptp(vertices, axis=0)
    diagonal = float(np.linalg.norm(extent))
    if not SMALLEST_SCAN <= diagonal <= LARGEST_SCAN:
        size = " x ".join(f"{e:.3g}" for e in extent)
        notes.append(f"warning: {size} m is an unlikely size for a scan; is --units {units} right?")
    suggestion = _suggested_up(vertices, faces) if up == "z" else None
    if suggestion is not None:
        notes.append(f"warning: the largest level surfaces face {suggestion}, not z; should it be --up {suggestion}?")
    return notes


def _suggested_up(vertices: np.ndarray, faces: np.ndarray) -> str | None:
    """The signed axis that floors and table tops face, if it clearly is not z."""
    corners = vertices[faces[:: len(faces) // SAMPLED_FACES + 1]]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    total = area.sum()
    if total == 0:
        return None
    positive = [area[cross[:, k] > LEVEL_COSINE * area].sum() / total for k in range(3)]
    negative = [area[cross[:, k] < -LEVEL_COSINE * area].sum() / total for k in range(3)]
    share = np.add(positive, negative)
    axis = int(np.argmax(share))
    others = max(share[k] for k in range(3) if k != axis)
    if axis == 2 or share[axis] < LEVEL_SHARE or share[axis] < LEVEL_LEAD * others:
        return None
    return ("" if positive[axis] >= negative[axis] else "-") + "xyz"[axis]

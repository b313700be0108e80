"""Length units and the up axis: from the file's frame to the scene's and back."""

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


def to_scene_frame(vertices: np.ndarray, units: str, up: str) -> np.ndarray:
    """File coordinates to scene coordinates: scaled to metres (unless the unit has no scale), z up.

    Args:
        vertices: float64 [V, 3].
        units: a key of METRES.
        up: a key of UP_ROTATIONS.

    Returns:
        float64 [V, 3].
    """
    if units not in METRES:
        raise ValueError(f"unknown unit {units!r}; known: {', '.join(METRES)}")
    if up not in UP_ROTATIONS:
        raise ValueError(f"unknown up axis {up!r}; known: {', '.join(UP_ROTATIONS)}")
    scale = METRES[units] or 1.0
    return np.stack([vertices[:, axis] * (sign * scale) for axis, sign in UP_ROTATIONS[up]], axis=1)


def to_file_frame(vertices: np.ndarray, units: str, up: str) -> np.ndarray:
    """The inverse of `to_scene_frame`: scene coordinates float64 [V, 3] back to file coordinates."""
    scale = METRES[units] or 1.0
    back = np.empty_like(vertices)
    for column, (axis, sign) in enumerate(UP_ROTATIONS[up]):
        back[:, axis] = vertices[:, column] / (sign * scale)
    return back


def plausibility_notes(vertices: np.ndarray, units: str) -> list[str]:
    """Warnings about a scan that is much too large or small.

    Args:
        vertices: float64 [V, 3] in the scene frame.
        units: as given. Nothing is judged for units without a scale.
    """
    diagonal = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    if METRES[units] is None or SMALLEST_SCAN <= diagonal <= LARGEST_SCAN:
        return []
    size = " x ".join(f"{e:.3g}" for e in np.ptp(vertices, axis=0))
    return [f"warning: {size} m is an unlikely size for a scan; is --units {units} right?"]

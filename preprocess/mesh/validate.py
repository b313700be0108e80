"""From a file's numbers to a mesh that the rest of the program can trust."""

import pathlib

import numpy as np

from preprocess.formats.colors import GREY, color_scale
from preprocess.mesh.diagnostics import diagnostics, precision_notes
from preprocess.mesh.mesh import Mesh, MeshError, RawMesh
from preprocess.mesh.normals import vertex_normals
from preprocess.mesh.units import METRES, plausibility_notes, to_scene_frame
from preprocess.mesh.up_axis import choose_up, estimate_up, up_warning
from preprocess.mesh.up_estimate import AUTO
from preprocess.mesh.weld import weld
from trainlib.core.text import pluralize

NO_COLORS = "warning: no colours, grey is used"
LARGEST = 1e12  # coordinates beyond this are garbage, and their areas would leave float64


def validated_mesh(path: pathlib.Path, raw: RawMesh, units: str = "m", up: str = "z", repair: bool = False) -> Mesh:
    """Checks numbers and indices, triangulates, adds the diagnostics, converts to the scene frame.

    Args:
        path: for messages, and for the axis that its format has up if `up` is "auto" and the surface is undecided.
        up: a key of `units.UP_ROTATIONS`, or "auto".
        repair: give non-finite vertices the place of their predecessor and drop their faces, instead of refusing; the
            vertex count stays, so labels still fit.

    Raises:
        MeshError: a mesh without vertices or faces, for non-finite numbers and for face indices out of range.
    """
    notes = list(raw.notes)
    if len(raw.vertices) == 0:
        raise MeshError(path, "the file has no vertices", "Give a mesh with vertices and faces.")
    _check_indices(path, raw)
    faces = _triangulated(raw, notes)
    vertices, faces = _without_broken(path, raw.vertices, faces, repair, notes)
    if len(faces) == 0:
        cause = "the file has no faces" + (f": {raw.instead}" if raw.instead else "")
        raise MeshError(path, cause, "This program needs a mesh; make one of the point cloud first.")
    notes += precision_notes(vertices, faces, units, raw.float32)
    color_notes: list[str] = []
    colors = _colors_to_uint8(path, raw.colors, repair, color_notes)
    estimate = estimate_up(vertices, faces, colors)
    up_note = None
    if up == AUTO:
        up, up_note = choose_up(estimate, path.suffix)
    elif METRES.get(units) is not None:
        up_note = up_warning(estimate, up)
    vertices = to_scene_frame(vertices, units, up)
    welded = weld(vertices)
    surface = welded.inverse[faces]
    notes += diagnostics(vertices, faces, surface, len(welded.first)) + plausibility_notes(vertices, units)
    notes += ([] if up_note is None else [up_note]) + color_notes
    normals = vertex_normals(vertices[welded.first], surface)[welded.inverse]
    labels = None if raw.labels is None else np.clip(raw.labels, -(2**31), 2**31 - 1).astype(np.int32)
    return Mesh(vertices, faces, colors, normals, labels, notes, up=up, up_estimate=estimate)


def _check_indices(path: pathlib.Path, raw: RawMesh) -> None:
    """Checks that every face index is in [0, V)."""
    wrong = np.flatnonzero((raw.corners < 0) | (raw.corners >= len(raw.vertices)))
    if len(wrong):
        face = int(np.searchsorted(np.cumsum(raw.counts), wrong[0], side="right")) + raw.first
        value, last = int(raw.corners[wrong[0]]) + raw.first, len(raw.vertices) - 1 + raw.first
        cause = f"face {face} names vertex {value}, but the vertices are {raw.first} to {last} ({len(wrong)} in all)"
        raise MeshError(path, cause, "The file is damaged or was cut; export it again.")


def _triangulated(raw: RawMesh, notes: list[str]) -> np.ndarray:
    """Polygons as fans around their first corner; int32 [F, 3]."""
    too_small = int((raw.counts < 3).sum())
    if too_small:
        notes.append(pluralize(too_small, "face", "with fewer than three corners skipped"))
    polygons = int((raw.counts > 3).sum())
    if not too_small and not polygons:
        return raw.corners.reshape(-1, 3).astype(np.int32)
    triangles = np.maximum(raw.counts - 2, 0)
    starts = np.cumsum(raw.counts) - raw.counts
    apex = np.repeat(starts, triangles)
    step = np.arange(len(apex)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    if polygons:
        rest = f"with more than three corners split into fans, {pluralize(len(apex), 'triangle')} in all"
        notes.append(pluralize(polygons, "face", rest))
    return raw.corners[np.stack([apex, apex + step + 1, apex + step + 2], axis=1)].astype(np.int32)


def _without_broken(
    path: pathlib.Path, vertices: np.ndarray, faces: np.ndarray, repair: bool, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Refuses non-finite vertices, or moves them to a finite neighbour in file order and drops their faces."""
    broken = ~(np.abs(vertices) <= LARGEST).all(axis=1)
    rows = np.flatnonzero(broken)
    if len(rows) == 0:
        return vertices, faces
    cause = f"{len(rows)} of {len(vertices)} vertices are not finite or beyond {LARGEST:g}, the first is {rows[0]}"
    if not repair:
        raise MeshError(path, cause, "Mend the file, or give --repair to drop the faces that touch them.")
    if len(rows) == len(vertices):
        raise MeshError(path, f"no vertex is finite and below {LARGEST:g}", "Export the file again.")
    source = np.maximum.accumulate(np.where(broken, -1, np.arange(len(vertices))))
    source[source < 0] = np.flatnonzero(~broken)[0]
    keep = ~broken[faces].any(axis=1)
    notes.append(f"repaired: {cause}; {pluralize(int((~keep).sum()), 'face')} dropped")
    return vertices[source], faces[keep]


def _colors_to_uint8(
    path: pathlib.Path, colors: np.ndarray | None, repair: bool, notes: list[str]
) -> np.ndarray | None:
    """Colours of any number type as uint8 [V, 3]; the range is inferred from type and values, and reported."""
    if colors is None:
        notes.append(NO_COLORS)
        return None
    if colors.dtype == np.uint8:
        return colors
    bad = ~np.isfinite(colors).all(axis=1) | (colors < 0).any(axis=1)
    if bad.any():
        number = pluralize(int(bad.sum()), "vertex")
        cause = f"{number} with a negative or non-finite colour, the first is {np.argmax(bad)}"
        if not repair:
            raise MeshError(path, cause, "Mend the file, or give --repair to make them grey.")
        notes.append(f"repaired: {cause}; made grey")
    found = color_scale(colors[~bad])
    if found is None:
        cause = f"colours reach {float(colors[~bad].max()):g}, which is none of 0 to 1, 0 to 255 or 16 bit"
        raise MeshError(path, cause, "Export the colours as bytes.")
    scale, kind = found
    notes.append(f"colours of type {colors.dtype.name} read as {kind}")
    scaled = np.where(bad[:, None], GREY, np.rint(np.where(bad[:, None], 0, colors) * scale))
    return scaled.astype(np.uint8)

"""Synthetic labelled indoor scans: `python -m preprocess.rooms --output DIR --count N --seed S`.

Each room is NAME.ply (x, y, z, red, green, blue, faces; metres, z up) and NAME.labels.ply (the same vertices with the
property `label`, NYU40 ids, 0 unlabelled). Room i comes from seed S + i alone, and its kind is that number modulo 8, so
eight consecutive rooms hold every one of the 20 ScanNet classes at least three times. PREFIX.txt lists the names.
"""

import argparse
import pathlib

import numpy as np

from preprocess.formats.writer import color_columns, triangle_elements, write_elements, write_labels_ply
from preprocess.mesh.mesh import Mesh, vertex_normals
from preprocess.synthetic.fittings import WALL
from preprocess.synthetic.palettes import FLOORING, PAINT, pick
from preprocess.synthetic.plans import PLANS, WALL_HEIGHT, RoomLayout, arrange
from preprocess.synthetic.scan import grow, hole_mask, keep_pieces, light, place_cameras, seen_from, smooth_noise
from preprocess.synthetic.solids import DistanceGrid, Part, box, move_parts, rotation
from preprocess.synthetic.surface_nets import surface_nets
from trainlib.core import cli
from trainlib.core.errors import UserError
from trainlib.core.files import write_atomic
from trainlib.core.outputs import require_folder
from trainlib.core.progress import ItemProgress
from trainlib.core.text import pluralize

FLOOR = 2
CAMERAS = 14


def make_room(seed: int, resolution: float = 0.05) -> Mesh:
    """One room as a scan: the same seed and resolution give the same mesh.

    Vertices are exact in float32. Labels are NYU40 ids, 0 unlabelled.

    Args:
        seed: any integer >= 0; seed % 8 chooses the kind of room.
        resolution: spacing of the samples in metres, about the length of the triangles' edges.
    """
    if seed < 0 or not 0.02 <= resolution <= 0.08:
        raise ValueError(f"a room needs a seed >= 0 and a resolution of 0.02 to 0.08 m, got {seed} and {resolution}")
    rng = np.random.default_rng(seed)
    plan = PLANS[seed % len(PLANS)]
    layout = arrange(rng, plan)
    yaw = rng.uniform(0, 2 * np.pi)
    parts = move_parts(_shell(rng, layout) + layout.parts, yaw, (0, 0, 0))
    grid = _fill_grid(parts, layout, yaw, resolution)
    vertices, faces, tags = surface_nets(grid.distance, grid.part)
    vertices = grid.lower + vertices * grid.step
    normals = vertex_normals(vertices, faces).astype(np.float64)

    colors = np.array([part.color for part in parts])[tags]
    colors = light(rng, grid, vertices, normals, colors)
    labels = np.array([part.label for part in parts], np.int32)[tags]
    turn, room = rotation(yaw)[:2, :2], np.array([layout.width, layout.depth])
    cameras = place_cameras(rng, grid, lambda rng: turn @ (rng.uniform(0.08, 0.92, 2) * room), CAMERAS)
    seen = grow(seen_from(grid, vertices, normals, cameras), faces)
    kept = _scanned_faces(rng, vertices, faces, seen)
    rough = 0.003 * smooth_noise(rng, vertices, 0.08) + 0.004 * smooth_noise(rng, vertices, 0.4)
    vertices = vertices + normals * (rough + rng.normal(0, 0.0015, len(vertices)))[:, None]
    used, kept = np.unique(kept, return_inverse=True)
    vertices = (vertices[used] - vertices[used].min(0)).astype(np.float32).astype(np.float64)
    faces = kept.reshape(-1, 3).astype(np.int32)
    notes = [f"synthetic {plan.name}, seed {seed}"]
    return Mesh(vertices, faces, colors[used], vertex_normals(vertices, faces), labels[used], notes)


def _shell(rng: np.random.Generator, layout: RoomLayout) -> list[Part]:
    """Floor, often with a rug, and four walls, one of them often in another colour; thick, so nothing is behind."""
    width, depth, thick = layout.width, layout.depth, 6.0
    paint = pick(rng, PAINT)
    parts = [box(FLOOR, pick(rng, FLOORING), (width / 2, depth / 2, -1.0), (30.0, 30.0, 2.0))]
    if rng.random() < 0.5:
        size = rng.uniform(0.4, 0.7, 2) * (width, depth)
        parts.append(box(FLOOR, pick(rng, FLOORING), (width / 2, depth / 2, -0.98), (*size, 1.99)))
    for x, y in ((-thick, 0), (width + thick, 0), (0, -thick), (0, depth + thick)):
        color = pick(rng, PAINT) if rng.random() < 0.25 else paint
        centre = (x or width / 2, y or depth / 2, 1.0)
        size = (2 * thick, 30.0, 10.0) if x else (30.0, 2 * thick, 10.0)
        parts.append(box(WALL, color, centre, size))
    return parts


def _fill_grid(parts: list[Part], layout: RoomLayout, yaw: float, resolution: float) -> DistanceGrid:
    corners = np.array([[x, y, 0.0] for x in (-0.3, layout.width + 0.3) for y in (-0.3, layout.depth + 0.3)])
    corners = corners @ rotation(yaw).T
    lower = np.append(corners[:, :2].min(0), -0.12)
    upper = np.append(corners[:, :2].max(0), WALL_HEIGHT)
    grid = DistanceGrid(lower, upper, resolution)
    for index, part in enumerate(parts):
        grid.add(part, index)
    return grid


def _scanned_faces(rng: np.random.Generator, vertices: np.ndarray, faces: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Faces that the scan recorded: seen by a camera, not in a hole, below the uneven edge, in no small component."""
    flat = vertices * (1, 1, 0)
    edge = WALL_HEIGHT - 0.12 - 0.1 * np.abs(smooth_noise(rng, flat, 0.9)) - 0.03 * np.abs(smooth_noise(rng, flat, 0.1))
    seen = seen & (vertices[:, 2] < edge) & ~hole_mask(rng, vertices, count=22)
    return keep_pieces(faces[seen[faces].all(1)], len(vertices), smallest=12)


def write_room(directory: pathlib.Path, name: str, room: Mesh) -> None:
    """Writes NAME.ply and NAME.labels.ply into an existing directory."""
    vertices = room.vertices.astype(np.float32)
    colored = triangle_elements(vertices, room.faces, color_columns(room.colors))
    write_elements(directory / f"{name}.ply", colored, room.notes)
    write_labels_ply(directory / f"{name}.labels.ply", vertices, room.faces, room.labels)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m preprocess.rooms", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for the PLY files; made if missing")
    parser.add_argument("--count", type=int, required=True, help="how many rooms")
    parser.add_argument("--seed", type=int, required=True, help="room i comes from seed + i")
    parser.add_argument("--resolution", type=float, default=0.05, help="edge length in metres (default 0.05)")
    parser.add_argument("--prefix", default="room", help="files are PREFIX_0000.ply and so on (default room)")
    options = cli.parse(parser, arguments)
    if options.count < 1:
        parser.error(f"--count must be at least 1, got {options.count}")
    if options.seed < 0 or not 0.02 <= options.resolution <= 0.08:
        parser.error(f"--seed must be >= 0 and --resolution in 0.02..0.08, got {options.seed}, {options.resolution}")
    try:
        require_folder(options.output)
    except UserError as error:
        parser.error(str(error))
    with ItemProgress(options.count, "room") as progress:
        for index in range(options.count):
            room = make_room(options.seed + index, options.resolution)
            write_room(options.output, f"{options.prefix}_{index:04d}", room)
            progress.advance()
    names = [f"{options.prefix}_{index:04d}" for index in range(options.count)]
    write_atomic(options.output / f"{options.prefix}.txt", "\n".join(names) + "\n")
    print(f"{pluralize(options.count, 'room')} in {options.output}, listed in {options.output / options.prefix}.txt")


if __name__ == "__main__":
    cli.set_up_logging()
    cli.run(main)

"""The inputs of the benchmarks.

BENCH_DATA names a folder that holds voxels_100k.npz (voxels of a room), bench_scene.npz (a batch of the original
network) and scans/room150k.ply. Where it is not set, inputs of about the same size are made from `preprocess.rooms`;
the records show which were used. Generated inputs are saved to .bench-data.
"""

import os
import pathlib
from typing import NamedTuple

import numpy as np

from kernels.host.voxel.voxels import unique_voxels
from preprocess.formats.readers import read_mesh
from preprocess.mesh.mesh import Mesh
from preprocess.synthetic.room import make_room, write_room

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / ".bench-data"
GIVEN = ("voxels_100k.npz", "bench_scene.npz", "scans/room150k.ply")
ROOM_SEED, SCENE_SEED, VOXEL_SEED = 4, 0, 1
FINEST = 0.02
APARTMENT_SEEDS = (4, 5, 7, 12, 13, 15)
GAP = 0.4
"""Metres between the rooms of the apartment."""


class Inputs(NamedTuple):
    """The folder of the inputs, and their source, "given" or "made"."""

    source: str
    folder: pathlib.Path

    @property
    def room(self) -> pathlib.Path:
        """A room as a PLY file, about 175,000 vertices."""
        return self.folder / "scans" / "room150k.ply"

    @property
    def scene(self) -> pathlib.Path | None:
        """A stored batch of the original network, or None."""
        return self.folder / "bench_scene.npz" if self.source == "given" else None

    @property
    def voxels(self) -> pathlib.Path:
        """l0: int32 [P, 3], the voxels of a room, about 100,000."""
        return self.folder / "voxels_100k.npz"


def prepare_inputs() -> Inputs:
    """Finds the inputs, or makes what is missing."""
    if named := os.environ.get("BENCH_DATA"):
        folder = pathlib.Path(named)
        missing = [name for name in GIVEN if not (folder / name).is_file()]
        if missing:
            raise SystemExit(f"BENCH_DATA={named} lacks {', '.join(missing)}; unset it to make the inputs")
        return Inputs("given", folder.resolve())
    inputs = Inputs("made", FOLDER)
    if not inputs.room.is_file():
        inputs.room.parent.mkdir(parents=True, exist_ok=True)
        write_room(inputs.room.parent, inputs.room.stem, make_room(ROOM_SEED, FINEST))
    if not inputs.voxels.is_file():
        room = make_room(VOXEL_SEED, FINEST)
        np.savez(inputs.voxels, l0=unique_voxels((room.vertices - room.vertices.min(0)) / FINEST).coords)
    return inputs


def open_inputs(data: str) -> Inputs:
    """From "source:folder", as the cases receive it."""
    source, _, folder = data.partition(":")
    return Inputs(source, pathlib.Path(folder))


def read_room(data: str) -> Mesh:
    """The room."""
    return read_mesh(open_inputs(data).room)


def apartment() -> Mesh:
    """Six rooms in two rows of three, more than a million vertices at 2 cm; made once, then read."""
    path = FOLDER / "apartment" / "apartment.ply"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_room(path.parent, path.stem, join_rooms([make_room(seed, FINEST) for seed in APARTMENT_SEEDS]))
    return read_mesh(path)


def join_rooms(rooms: list[Mesh]) -> Mesh:
    """Rooms side by side in two rows, one mesh."""
    widths = np.max([np.ptp(room.vertices, axis=0) for room in rooms], axis=0) + GAP
    columns = -(-len(rooms) // 2)
    vertices, faces, first = [], [], 0
    for index, room in enumerate(rooms):
        place = np.array([index % columns * widths[0], index // columns * widths[1], 0.0])
        vertices.append(room.vertices - room.vertices.min(0) + place)
        faces.append(room.faces + first)
        first += len(room.vertices)
    parts = {name: np.concatenate([getattr(room, name) for room in rooms]) for name in ("colors", "normals", "labels")}
    return Mesh(
        np.concatenate(vertices), np.concatenate(faces).astype(np.int32), **parts, notes=["synthetic apartment"]
    )


def smooth_scan(around: int = 540, across: int = 248) -> tuple[np.ndarray, np.ndarray]:
    """A smooth closed surface like the scan of a statue: a torus with waves of several lengths and 0.1 mm of noise.

    `around` and `across` are samples of the large and of the small circle. Returns vertices float64 [around * across,
    3] in metres, with edges of about 15 mm at the defaults, and faces int32 [2 around * across, 3].
    """
    u, v = np.meshgrid(*(np.arange(n) * (2 * np.pi / n) for n in (around, across)), indexing="ij")
    waves = (
        0.06 * np.sin(3 * u + np.sin(2 * v)) + 0.03 * np.cos(7 * v + 2 * u) + 0.012 * np.sin(19 * u) * np.cos(17 * v)
    )
    radius = 0.55 + waves + np.random.default_rng(0).normal(0, 1e-4, u.shape)
    ring = 1.1 + radius * np.cos(v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), radius * np.sin(v)], axis=-1).reshape(-1, 3)
    row, column = np.divmod(np.arange(around * across), across)
    below, beside = (row + 1) % around * across, (column + 1) % across
    own, right = row * across + column, row * across + beside
    faces = np.concatenate(
        [np.stack([own, below + column, below + beside], 1), np.stack([own, below + beside, right], 1)]
    )
    return vertices, faces.astype(np.int32)

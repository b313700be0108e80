"""The scene file: a preprocessed mesh with its levels, traces, one-ring tables and voxels, ready for training."""

import errno
import json
import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from kernels.host.tables import Rings
from kernels.host.voxel.hash_map import VoxelHash
from kernels.host.voxel.voxels import VoxelPyramid
from trainlib.core.errors import InputError
from trainlib.core.files import atomic_file

FORMAT_VERSION = 2


class SceneError(InputError):
    """A scene file cannot be used."""


class SceneHeader(NamedTuple):
    """The header of a scene file: enough to decide whether it is up to date.

    Attributes:
        params: hierarchy, reading and labelling parameters, plain JSON values.
        source_hash: of the mesh and label files.
        notes: what was found in the mesh.
        reached: per level, whether it got down to its number of faces.
        sizes: {"vertices", "level_vertices", "level_faces", "voxels"}: counts, the latter three a list of seven.
    """

    version: int
    name: str
    params: dict
    source_hash: str
    has_colors: bool
    notes: list[str]
    reached: list[bool]
    sizes: dict


@dataclass(eq=False)
class Scene:
    """A preprocessed mesh; a scene is equal to itself alone.

    V file vertices, level l has V_l vertices, F_l faces and P_l voxels; absent entries are -1.

    Attributes:
        vertices: float64 [V, 3], file order, scene frame.
        faces: int32 [F, 3].
        colors: uint8 [V, 3], grey 128 if the file has none (`has_colors` False).
        normals: float32 [V, 3].
        labels: int32 [V] class index, -1 ignored; or None.
        level_vertices: 7 x float64 [V_l, 3].
        level_faces: 7 x int32 [F_l, 3].
        rings: 7 x Rings.
        traces: traces[0] int32 [V], file vertex to level 0; traces[l] int32 [V_{l-1}], level l-1 to level l.
        labels_l0: int32 [V_0] or None.
        voxels: the pyramid of floor((vertices - vertices.min(0)) * (1 / voxel_size)).
        hash: of its level 0.
        voxel_first: int32 [P_0], the lowest file vertex in a voxel.
        voxel_inverse: int32 [V], the voxel of a file vertex.
    """

    name: str
    params: dict
    source_hash: str
    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray
    has_colors: bool
    normals: np.ndarray
    labels: np.ndarray | None
    level_vertices: tuple[np.ndarray, ...]
    level_faces: tuple[np.ndarray, ...]
    rings: tuple[Rings, ...]
    traces: tuple[np.ndarray, ...]
    labels_l0: np.ndarray | None
    voxels: VoxelPyramid
    voxel_first: np.ndarray
    voxel_inverse: np.ndarray
    hash: VoxelHash
    notes: list[str] = field(default_factory=list)
    reached: tuple[bool, ...] = ()

    def header(self) -> SceneHeader:
        """The part that is written as JSON."""
        levels = {"level_vertices": self.level_vertices, "level_faces": self.level_faces, "voxels": self.voxels.coords}
        sizes = {"vertices": len(self.vertices)} | {kind: [len(a) for a in arrays] for kind, arrays in levels.items()}
        fields = {name: getattr(self, name) for name in _IN_HEADER}
        fields |= {"params": json.loads(json.dumps(self.params)), "reached": [bool(r) for r in self.reached]}
        return SceneHeader(version=FORMAT_VERSION, sizes=sizes, **fields)


_IN_HEADER = ("name", "params", "source_hash", "has_colors", "notes", "reached")
_PLAIN = ("vertices", "faces", "colors", "normals", "voxel_first", "voxel_inverse")
_OPTIONAL = ("labels", "labels_l0")
_PER_LEVEL = ("level_vertices", "level_faces", "traces")


def write_scene(path: str | pathlib.Path, scene: Scene) -> None:
    """Writes an uncompressed .npz under a temporary name and renames it: never half a file. Raises OSError."""
    arrays = scene_arrays(scene)
    with atomic_file(pathlib.Path(path), sum(array.nbytes for array in arrays.values())) as file:
        np.savez(file, **arrays)


def scene_arrays(scene: Scene) -> dict[str, np.ndarray]:
    """All entries of a scene file by name, in the shapes of `Scene`; `header` is JSON as uint8 [bytes]."""
    arrays = {"header": np.frombuffer(json.dumps(scene.header()._asdict()).encode(), np.uint8)}
    arrays |= {name: getattr(scene, name) for name in _PLAIN}
    arrays |= {name: getattr(scene, name) for name in _OPTIONAL if getattr(scene, name) is not None}
    for name in _PER_LEVEL:
        arrays |= {f"{name}.{level}": array for level, array in enumerate(getattr(scene, name))}
    for level, table in enumerate(scene.rings):
        arrays |= {f"rings.{level}.{name}": array for name, array in table._asdict().items()}
    for name, levels in scene.voxels._asdict().items():
        arrays |= {f"voxels.{name}.{level}": array for level, array in enumerate(levels)}
    return arrays | {f"hash.{name}": np.asarray(array) for name, array in scene.hash._asdict().items()}


def read_scene(path: str | pathlib.Path) -> Scene:
    """Reads a scene file; every array's checksum is verified. Raises SceneError; OSError if there is no such file."""
    return scene_from_arrays(_read(pathlib.Path(path), header_only=False)[0], path)


def scene_from_arrays(arrays: Mapping[str, np.ndarray], source: str | pathlib.Path) -> Scene:
    """The scene of `scene_arrays`, whose shapes [...] are trusted. Raises SceneError (`source`) if one is missing."""
    header = _read_header_array(arrays["header"], source)
    fields = {name: getattr(header, name) for name in _IN_HEADER}
    try:
        levels = range(len(header.sizes["voxels"]))
        fields |= {name: tuple(arrays[f"{name}.{level}"] for level in levels) for name in _PER_LEVEL}
        last_levels = {"children": levels[:-1], "slots": levels[:-1]}
        voxels = {
            name: tuple(arrays[f"voxels.{name}.{level}"] for level in last_levels.get(name, levels))
            for name in VoxelPyramid._fields
        }
        fields["rings"] = tuple(Rings(*(arrays[f"rings.{level}.{name}"] for name in Rings._fields)) for level in levels)
        fields["hash"] = VoxelHash(*(arrays[f"hash.{name}"] for name in VoxelHash._fields))
        fields |= {name: arrays[name] for name in _PLAIN} | {name: arrays.get(name) for name in _OPTIONAL}
        return Scene(**fields | {"voxels": VoxelPyramid(**voxels), "reached": tuple(header.reached)})
    except KeyError as error:
        raise SceneError(source, f"array {error} is missing", _MAKE_AGAIN) from None


def _read_header_array(array: np.ndarray, source: str | pathlib.Path) -> SceneHeader:
    content = json.loads(array.tobytes())
    if content.get("version") != FORMAT_VERSION:
        versions = f"scene format {content.get('version')}, this program reads format {FORMAT_VERSION}"
        raise SceneError(source, versions, _MAKE_AGAIN)
    return SceneHeader(**content)


def read_header(path: str | pathlib.Path) -> SceneHeader:
    """Reads only the header. Raises SceneError; OSError if there is no such file."""
    return _read(pathlib.Path(path), header_only=True)[1]


def is_intact(path: str | pathlib.Path) -> bool:
    """True if every array of a scene file has its checksum; about a quarter of the time that building it takes."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except _DAMAGED:
        return False
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the beginning of the file
            raise
        return False


_ZIP_MAGIC = b"PK"
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
"""What zipfile raises for damaged files: RuntimeError for flags and methods that it does not have."""
_MAKE_AGAIN = "Run python -m preprocess.scenes again; it rebuilds files that are damaged or out of date."


def _read(path: pathlib.Path, header_only: bool) -> tuple[dict[str, np.ndarray], SceneHeader]:
    """All arrays, or the header alone."""
    try:
        with open(path, "rb") as stream:
            if stream.read(2) != _ZIP_MAGIC:
                raise SceneError(path, "not a scene file", _MAKE_AGAIN)
            stream.seek(0)
            file = np.load(stream, allow_pickle=False)
            if "header" not in file:
                raise SceneError(path, "not a scene file", _MAKE_AGAIN)
            header = _read_header_array(file["header"], path)
            return ({} if header_only else {name: file[name] for name in file.files}), header
    except SceneError:
        raise
    except (*_DAMAGED, ValueError, TypeError, AttributeError, KeyError) as error:
        raise SceneError(path, f"the file is damaged ({error})", _MAKE_AGAIN) from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise SceneError(path, f"the file is damaged ({error})", _MAKE_AGAIN) from None

"""The files that ScanNet and Matterport3D need, their places, and those that a folder lacks.

Names and places: the data sets' own pages, http://www.scan-net.org and https://niessner.github.io/Matterport.
"""

import pathlib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from preprocess.cli.sources import SCANNET_SUFFIX, meant, paths_by_name, resolve_names
from preprocess.formats.files import is_mesh, label_file_of, meshes_among, walk_folder

SHOWN = 8
_SCENE = re.compile(r"scene\d{4}_\d{2}")
REGIONS = "region_segmentations"


class Missing(NamedTuple):
    """What a folder has of a data set.

    Attributes:
        found: number of meshes that exist.
        meshes: missing meshes.
        labels: missing label files. A scene without labels can only be predicted.
    """

    found: int
    meshes: list[str]
    labels: list[str]


class DatasetLayout(NamedTuple):
    """A data set and the files that it needs.

    Attributes:
        name, text: its name, and the files in words.
        find: finds {scene: folder of its meshes} below a folder.
        below: the path from the folder of a scene's name to its meshes.
        pattern, example: what the names of its meshes match, and an example of one; `{}` is the scene's name.
    """

    name: str
    text: str
    find: Callable[[pathlib.Path], dict[str, pathlib.Path]]
    below: str
    pattern: str
    example: str

    def missing(self, folder: pathlib.Path, names: Sequence[str] | None) -> Missing:
        """Meshes, and label files of meshes, that the scenes of a list (None: all that exist) lack."""
        places = self.find(folder)
        found, meshes, labels = 0, [], []
        for name in sorted(places) if names is None else resolve_names(names, places):
            place = places.get(name, folder / name / self.below)
            inside = sorted(place.iterdir()) if place.is_dir() else []
            wanted = self.pattern.format(re.escape(name))
            files = {path.stem: path for path in inside if is_mesh(path) and re.fullmatch(wanted, path.name)}
            found += len(files)
            if not files:
                meshes.append(str((place / self.example.format(name)).relative_to(folder)))
            expected = [path.with_suffix(".labels.ply") for path in files.values() if label_file_of(path) is None]
            labels += [str(path.relative_to(folder)) for path in expected]
        return Missing(found, meshes, labels)


def listed_missing(folder: pathlib.Path, names: Sequence[str] | None) -> Missing:
    """The names of a list (None: all that exist) without a mesh of their path below the folder."""
    named = paths_by_name(meshes_among(walk_folder(folder), folder), folder)
    chosen = sorted(named) if names is None else resolve_names(names, named)
    meshes = [f"{name}{meant(name, named)}" for name in chosen if name not in named]
    return Missing(len(chosen) - len(meshes), meshes, [])


def missing_lines(layout: DatasetLayout | None, folder: pathlib.Path, missing: Missing) -> list[str]:
    """As text: the layout (None: of a list), what was found, what is missing."""
    listed = ("Meshes of the list", "A scene has the name of its path below the folder, without the ending.")
    name, text = listed if layout is None else layout[:2]
    meshes = "mesh" if missing.found == 1 else "meshes"
    lines = [f"{name}. {text}", f"{missing.found} {meshes} in {folder}"]
    for what, files in (("missing mesh", missing.meshes), ("missing labels", missing.labels)):
        if files:
            more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
            lines.append(f"  {what} ({len(files)}): {', '.join(files[:SHOWN])}{more}")
    return lines


def detect(folder: pathlib.Path) -> str | None:
    """The key of the layout that a folder seems to have."""
    if _scannet_scenes(folder):
        return "scannet"
    return "matterport3d" if _matterport_houses(folder) else None


def _scannet_scenes(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """{scene: folder of its mesh}."""
    folders = [folder] if _SCENE.fullmatch(folder.name) else walk_folder(folder).folders
    return {path.name: path for path in folders if _SCENE.fullmatch(path.name)}


def _matterport_houses(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """{house: folder of its regions}."""
    return {path.parent.name: path for path in walk_folder(folder).folders if path.name == REGIONS}


LAYOUTS = {
    "scannet": DatasetLayout(
        "ScanNet v2",
        "Needed for each scene, in SCANS/scene0000_00/ (download-scannet.py --type=...):\n"
        "  scene0000_00_vh_clean_2.ply         the mesh\n"
        "  scene0000_00_vh_clean_2.labels.ply  NYU40 ids; for training and scores (the test scans have none)\n"
        "and the benchmark's lists scannetv2_train.txt, _val.txt, _test.txt for --split. Other files are left alone.",
        _scannet_scenes,
        below="",
        pattern=rf"{{}}{SCANNET_SUFFIX}\.[^.]+",
        example=f"{{}}{SCANNET_SUFFIX}.ply",
    ),
    "matterport3d": DatasetLayout(
        "Matterport3D",
        "Needed for each house, in SCANS/HOUSE/region_segmentations/ (from region_segmentations.zip):\n"
        "  region0.ply, region1.ply, ...       the meshes\n"
        "  region0.labels.ply, ...             an id for each vertex or face, `label`; for training and scores\n"
        "The second is not part of the data set. Its labels belong to the faces (`category_id`, the column `index`\n"
        "of metadata/category_mapping.tsv): write the `nyu40id` of each face or vertex, or take the ids as they are\n"
        "with --label_property=category_id and your own --label_map.",
        _matterport_houses,
        below=REGIONS,
        pattern=r"(?i:region\d+\.ply)",
        example="region0.ply, ...",
    ),
}

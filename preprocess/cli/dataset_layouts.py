"""The files that ScanNet and Matterport3D need, their places, and those that a folder lacks.

Names and places: the data sets' own pages, http://www.scan-net.org and https://niessner.github.io/Matterport.
"""

import pathlib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from preprocess.cli.sources import SCANNET_SUFFIX, meant, paths_by_name, resolve_names
from preprocess.formats.readers import is_mesh, meshes_among, walk_folder
from preprocess.labels.label_files import label_file_of

SHOWN = 8
_SCENE = re.compile(r"scene\d{4}_\d{2}")
_REGION = re.compile(r"region\d+\.ply")
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
    """A data set: its name, the files it needs in words, and the search for them (its second argument: a list)."""

    name: str
    text: str
    missing: Callable[[pathlib.Path, Sequence[str] | None], Missing]

    def lines(self, folder: pathlib.Path, missing: Missing) -> list[str]:
        """As text: the layout, what was found, what is missing."""
        lines = [
            f"{self.name}. {self.text}",
            f"{missing.found} {'mesh' if missing.found == 1 else 'meshes'} in {folder}",
        ]
        for what, files in (("missing mesh", missing.meshes), ("missing labels", missing.labels)):
            if files:
                more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
                lines.append(f"  {what} ({len(files)}): {', '.join(files[:SHOWN])}{more}")
        return lines


def detect(folder: pathlib.Path) -> str | None:
    """The key of the layout that a folder seems to have."""
    if any(_scannet_scenes(folder)):
        return "scannet"
    return "matterport3d" if any(_houses(folder)) else None


def _scannet_scenes(folder: pathlib.Path) -> list[pathlib.Path]:
    if _SCENE.fullmatch(folder.name):
        return [folder]
    return [path for path in walk_folder(folder).folders if _SCENE.fullmatch(path.name)]


def _scannet_missing(folder: pathlib.Path, names: Sequence[str] | None) -> Missing:
    scenes = {path.name: path for path in _scannet_scenes(folder)}
    meshes, labels, found = [], [], 0
    for name in sorted(scenes) if names is None else resolve_names(names, scenes):
        expected = scenes.get(name, folder / name) / f"{name}{SCANNET_SUFFIX}.ply"
        mesh = next((path for path in _meshes_in(expected.parent) if path.stem == expected.stem), None)
        if mesh is None:
            meshes.append(str(expected.relative_to(folder)))
            continue
        found += 1
        labels += _without_labels([mesh], folder)
    return Missing(found, meshes, labels)


def _houses(folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in walk_folder(folder).folders if path.name == REGIONS]


def _matterport_missing(folder: pathlib.Path, names: Sequence[str] | None) -> Missing:
    houses = {path.parent.name: path for path in _houses(folder)}
    meshes, labels, found = [], [], 0
    for name in sorted(houses) if names is None else resolve_names(names, houses):
        regions = houses.get(name, folder / name / REGIONS)
        files = [path for path in _meshes_in(regions) if _REGION.fullmatch(path.name.lower())]
        if not files:
            meshes.append(str((regions / "region0.ply").relative_to(folder)) + ", ...")
        found += len(files)
        labels += _without_labels(files, folder)
    return Missing(found, meshes, labels)


def _listed_missing(folder: pathlib.Path, names: Sequence[str] | None) -> Missing:
    named = paths_by_name(meshes_among(walk_folder(folder), folder), folder)
    chosen = sorted(named) if names is None else resolve_names(names, named)
    meshes = [f"{name}{meant(name, named)}" for name in chosen if name not in named]
    return Missing(len(chosen) - len(meshes), meshes, [])


def _meshes_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """The meshes of one folder by name; none if it is not there."""
    return sorted(path for path in folder.iterdir() if is_mesh(path)) if folder.is_dir() else []


def _without_labels(meshes: Sequence[pathlib.Path], folder: pathlib.Path) -> list[str]:
    """Label files, as they are expected below `folder`, of the meshes that have none."""
    expected = [path.with_suffix(".labels.ply") for path in meshes if label_file_of(path) is None]
    return [str(path.relative_to(folder)) for path in expected]


LISTED = DatasetLayout(
    "Meshes of the list", "A scene has the name of its path below the folder, without the ending.", _listed_missing
)
LAYOUTS = {
    "scannet": DatasetLayout(
        "ScanNet v2",
        "Needed for each scene, in SCANS/scene0000_00/ (download-scannet.py --type=...):\n"
        "  scene0000_00_vh_clean_2.ply         the mesh\n"
        "  scene0000_00_vh_clean_2.labels.ply  NYU40 ids; for training and scores (the test scans have none)\n"
        "and the benchmark's lists scannetv2_train.txt, _val.txt, _test.txt for --split. Other files are left alone.",
        _scannet_missing,
    ),
    "matterport3d": DatasetLayout(
        "Matterport3D",
        "Needed for each house, in SCANS/HOUSE/region_segmentations/ (from region_segmentations.zip):\n"
        "  region0.ply, region1.ply, ...       the meshes\n"
        "  region0.labels.ply, ...             an id for each vertex or face, `label`; for training and scores\n"
        "The second is not part of the data set. Its labels belong to the faces (`category_id`, the column `index`\n"
        "of metadata/category_mapping.tsv): write the `nyu40id` of each face or vertex, or take the ids as they are\n"
        "with --label_property=category_id and a your own --label_map.",
        _matterport_missing,
    ),
}

"""The scenes of a folder by name: scene files, or what `vmnet_jax.tfds_prepare` has packed."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from preprocess.cli.sources import scene_names
from preprocess.scene.scene_file import SUFFIX, Scene, SceneHeader, read_header, read_scene

if TYPE_CHECKING:
    from vmnet_jax.data.tfds_builders import PreparedScenes


class SceneFiles:
    """`NAME.scene.npz` below a folder; a name is the path that preprocessing gave, without the ending."""

    def __init__(self, folder: pathlib.Path):
        """names: of all scenes, sorted."""
        self._folder = folder
        self.names = scene_names(folder)

    def read(self, name: str) -> Scene:
        """Raises SceneError for damaged or foreign files, OSError if there is none."""
        return read_scene(self._folder / f"{name}{SUFFIX}")

    def header(self, name: str) -> SceneHeader:
        """What a scene file says about itself. Raises as `read`."""
        return read_header(self._folder / f"{name}{SUFFIX}")

    def source_hash(self, name: str) -> str:
        """Checksum of the mesh and label files that a scene was made from."""
        return self.header(name).source_hash


def open_scenes(folder: str | pathlib.Path) -> SceneFiles | PreparedScenes:
    """Whichever of the two the folder holds; without any scenes, no names."""
    folder = pathlib.Path(folder)
    if not (folder / "dataset_info.json").is_file():
        return SceneFiles(folder)
    from vmnet_jax.data.tfds_builders import PreparedScenes  # TensorFlow Datasets takes a second to import

    return PreparedScenes(folder)

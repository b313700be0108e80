"""The scenes of a folder by name: scene files, or what `vmnet_jax.tfds_prepare` has packed."""

import pathlib

from preprocess.cli.sources import scene_names
from preprocess.formats.files import SUFFIX
from preprocess.scene.scene_file import Scene, SceneError, read_header, read_scene, scene_from_arrays
from trainlib.core.errors import UserError

DATASET, SPLIT = "scene_meshes", "scenes"
"""The TensorFlow Datasets builder of `vmnet_jax.data.tfds_builders`, and its only split."""
OPTIONAL = ("labels", "labels_l0")
"""Arrays that are empty in a record if the scene has none."""


class SceneFiles:
    """`NAME.scene.npz` below a folder; its sorted `names` are the paths that preprocessing gave, without the ending."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self.names = scene_names(folder)

    def read(self, name: str) -> Scene:
        """Raises SceneError for damaged or foreign files, OSError if there is none."""
        return read_scene(self._folder / f"{name}{SUFFIX}")

    def header(self, name: str) -> dict:
        """The fields of a scene file's `SceneHeader`. Raises as `read`."""
        return read_header(self._folder / f"{name}{SUFFIX}")._asdict()


class PreparedScenes:
    """The scenes of a prepared folder, read as by `SceneFiles`. Raises UserError if it holds another data set."""

    def __init__(self, folder: str | pathlib.Path):
        import tensorflow_datasets as tfds  # takes a second

        self._folder = pathlib.Path(folder)
        builder = tfds.builder_from_directory(str(folder))
        if builder.name != DATASET:
            raise UserError(f"{folder} holds the data set {builder.name}; scenes are in one of {DATASET}.")
        self._headers: dict[str, dict] = dict(builder.info.metadata["scenes"])
        self.names = list(self._headers)
        self._records = builder.as_data_source(SPLIT)

    def read(self, name: str) -> Scene:
        """Equal, bit for bit, to the scene file that was packed. Raises SceneError, or UserError if there is none."""
        if name not in self._headers:
            raise UserError(f"{self._folder} has no scene {name}; it has {len(self.names)} others.")
        try:
            arrays = self._records[self.names.index(name)]
        except RuntimeError as error:  # of array_record, which compares checksums
            remedy = "Delete the folder and run python -m vmnet_jax.tfds_prepare again."
            raise SceneError(self._folder / name, f"the record is damaged ({error})", remedy) from None
        present = {key: array for key, array in arrays.items() if key not in OPTIONAL or len(array)}
        return scene_from_arrays(present, self._folder / name)

    def header(self, name: str) -> dict:
        """The fields of the `SceneHeader` of the scene file that was packed."""
        return self._headers[name]


def open_scenes(folder: str | pathlib.Path) -> SceneFiles | PreparedScenes:
    """Opens the scene files or the prepared data set of a folder; a folder without scenes has no names."""
    folder = pathlib.Path(folder)
    return PreparedScenes(folder) if (folder / "dataset_info.json").is_file() else SceneFiles(folder)

"""Preprocessed scenes as a TensorFlow Datasets builder that neither needs nor uses TensorFlow.

Importing this module registers `scene_meshes`. What `python -m vmnet_jax.tfds_prepare` or `prepare_scenes` has written
is a folder that training and evaluation take in the place of one with scene files (`config.scenes`). On its own:

    builder = tfds.builder("scene_meshes", data_dir=DATA_DIR)  # or tfds.builder_from_directory(folder)
    source = builder.as_data_source("scenes")
    source[0]["vertices"], source[0]["rings.0.ring"]  # arrays by their names in the scene file (docs/preprocess.md)

`labels` and `labels_l0` are empty where a scene has none.
"""

import pathlib
import shutil
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from kernels.host.tables import Rings
from kernels.host.voxel.hash_map import VoxelHash
from kernels.host.voxel.voxels import VoxelPyramid
from preprocess.scene.params import LEVELS
from preprocess.scene.scene_file import scene_arrays
from trainlib.core.errors import UserError
from vmnet_jax.data.scene_lookup import LABEL_MAP, require_scene_files
from vmnet_jax.data.scene_store import OPTIONAL, SPLIT, PreparedScenes, SceneFiles

LARGEST = 2**31 - 2**20  # bytes of a record that a protocol buffer can hold


def _array(dtype: type, *columns: int | None) -> tfds.features.Tensor:
    """An array of any number of rows, kept as its bytes."""
    return tfds.features.Tensor(shape=(None, *columns), dtype=dtype, encoding=tfds.features.Encoding.BYTES)


def _features() -> dict[str, tfds.features.Tensor]:
    """The entries of a scene file."""
    features = {
        "header": _array(np.uint8),
        "vertices": _array(np.float64, 3),
        "faces": _array(np.int32, 3),
        "colors": _array(np.uint8, 3),
        "normals": _array(np.float32, 3),
    }
    features |= {name: _array(np.int32) for name in ("voxel_first", "voxel_inverse", *OPTIONAL)}
    features |= {f"hash.{name}": _array(np.int32 if name == "rows" else np.int64) for name in VoxelHash._fields}
    columns = {"coords": [3], "neighbours": [27], "children": [8], "ring": [None], "reverse": [None]}
    for level in range(LEVELS):
        features[f"level_vertices.{level}"] = _array(np.float64, 3)
        features[f"level_faces.{level}"] = _array(np.int32, 3)
        features[f"traces.{level}"] = _array(np.int32)
        voxels = VoxelPyramid._fields if level < LEVELS - 1 else ("coords", "neighbours")
        features |= {f"rings.{level}.{name}": _array(np.int32, *columns.get(name, ())) for name in Rings._fields}
        features |= {f"voxels.{name}.{level}": _array(np.int32, *columns.get(name, ())) for name in voxels}
    return features


class SceneMeshes(tfds.core.GeneratorBasedBuilder):
    """All scene files of a folder, in the order of their names, and its label map."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "A folder that python -m preprocess.scenes has written."

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Meshes with their levels, traces, one-ring tables and voxels, preprocessed for VMNet.",
            features=tfds.features.FeaturesDict(_features()),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        folder = pathlib.Path(dl_manager.manual_dir)
        scenes = SceneFiles(folder)
        self.info.metadata["scenes"] = {name: scenes.header(name) for name in scenes.names}
        shutil.copy(folder / LABEL_MAP, pathlib.Path(self.data_path) / LABEL_MAP)
        return {SPLIT: self._generate_examples(scenes)}

    def _generate_examples(self, scenes: SceneFiles) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Key and arrays of each scene."""
        absent = {name: np.zeros(0, np.int32) for name in OPTIONAL}
        for k, name in enumerate(scenes.names):
            arrays = scene_arrays(scenes.read(name))
            size = sum(array.nbytes for array in arrays.values())
            if size > LARGEST:
                raise UserError(
                    f"the scene {name} has {size / 2**30:.1f} GiB; a TensorFlow Datasets record holds less than 2. Cut "
                    "the mesh, or train on the scene files themselves."
                )
            yield k, absent | arrays


def prepare_scenes(scenes: str | pathlib.Path, data_dir: str | pathlib.Path) -> pathlib.Path:
    """Writes `data_dir`/scene_meshes/1.0.0 as array_record and returns that folder.

    An existing data set stays if it was made of the same scenes in the same format.

    Args:
        scenes: folder of scene files and label_map.csv.
        data_dir: TensorFlow Datasets' folder of all its data sets.

    Raises:
        UserError: if it was not, if `scenes` has none or a scene is too large for a record.
        SceneError: damaged scene files.
    """
    scenes = pathlib.Path(scenes)
    require_scene_files(scenes)
    files = SceneFiles(scenes)
    builder = SceneMeshes(data_dir=str(data_dir), file_format="array_record")
    folder = pathlib.Path(builder.data_path)
    if (folder / "dataset_info.json").is_file():
        prepared = PreparedScenes(folder)
        if files.names != prepared.names or any(files.header(name) != prepared.header(name) for name in files.names):
            raise UserError(f"{folder} holds other scenes than {scenes}. Delete it, or name another data_dir.")
    manual = tfds.download.DownloadConfig(manual_dir=str(scenes))
    builder.download_and_prepare(download_config=manual, file_format="array_record")
    return folder

"""Meshes of any format in, scene files out."""

import pathlib

from kernels.lazy import door
from trainlib.core.caches import prepare_caches

prepare_caches(pathlib.Path(__file__).parent)

_PLACES = {
    "read_mesh": "formats.readers",
    "find_meshes": "formats.files",
    "Mesh": "mesh.mesh",
    "MeshError": "mesh.mesh",
    "HierarchyParams": "scene.params",
    "build_hierarchy": "scene.hierarchy",
    "build_scene": "scene.build",
    "Scene": "scene.scene_file",
    "SceneError": "scene.scene_file",
    "read_scene": "scene.scene_file",
    "write_scene": "scene.scene_file",
    "LabelMap": "labels.label_map",
    "read_label_map": "labels.label_map",
    "write_label_map": "labels.label_map",
    "scannet20": "labels.label_map",
}
__getattr__, __dir__ = door(__name__, _PLACES)

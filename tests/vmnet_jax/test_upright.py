"""The up axis in predict: that of the training data, the one that is given, or auto with the network's help."""

from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict

from preprocess.formats.readers import read_mesh
from preprocess.mesh.units import to_file_frame
from preprocess.mesh.up_axis import estimate_up
from preprocess.mesh.up_estimate import UP_AXES
from preprocess.scene.params import HierarchyParams
from preprocess.synthetic.room import make_room
from tests.faults.meshes import write_mesh
from vmnet_jax.learn.restore import TrainedRun
from vmnet_jax.predict import make_parser
from vmnet_jax.prediction import upright

PARAMS = HierarchyParams(cells=(0.2, 0.4), voxel_size=0.2)


class Upright:
    """A network that is confident where the normals of a scene's lowest vertices face up."""

    def __init__(self, up="z", rotation="z"):
        config = ConfigDict({"rotation": rotation})
        self.run = TrainedRun(config, None, PARAMS, {"up": up} if up else {}, "m", {}, 0)
        self.seen = []

    def predict_scene(self, scene):
        self.seen.append(len(scene.vertices))
        low = scene.vertices[:, 2] < np.quantile(scene.vertices[:, 2], 0.2)
        confidence = max(float(scene.normals[low, 2].mean()), 0.0)
        return SimpleNamespace(scores=np.tile(np.float32([5 * confidence, 0]), (len(scene.vertices), 1)))


@pytest.fixture(scope="module")
def room():
    return make_room(11, 0.08)


def read_given(network, path, *words):
    arguments = make_parser().parse_args(["--workdir=w", f"--mesh={path}", "--output=o", *words])
    return upright.read_upright(network, path, arguments.units, arguments.up, arguments.repair)


@pytest.mark.parametrize(
    ("trained", "words", "used"),
    [
        ("y", [], "y"),
        (None, [], "z"),
        ("y", ["--up", "-x"], "-x"),
        ("y", ["--up=z"], "z"),
        ("auto", [], "-x"),
        ("y", ["--up", "auto"], "-x"),
    ],
)
def test_the_training_datas_axis_is_the_default(tmp_path, room, trained, words, used):
    path = write_mesh(tmp_path / "a.ply", to_file_frame(room.vertices, "m", "-x"), room.faces, colors=room.colors)
    mesh, looked = read_given(Upright(trained), path, *words)
    assert mesh.up == used
    assert looked == 0
    np.testing.assert_array_equal(mesh.vertices, read_mesh(path, up=used).vertices)


def leaning_wall():
    """A plane that is nearly upright and tells nothing about its sign."""
    x, y = np.meshgrid(np.linspace(0, 3, 30), np.linspace(0, 3, 30))
    vertices = np.stack([x, y, 0.02 * np.sin(5 * x)], -1).reshape(-1, 3)
    at = np.arange(900).reshape(30, 30)
    a, b, c, d = (part.ravel() for part in (at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]))
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)


@pytest.mark.parametrize("up", UP_AXES)
def test_the_network_decides_where_the_surface_does_not(tmp_path, up):
    vertices, faces = leaning_wall()
    path = write_mesh(tmp_path / "a.ply", to_file_frame(vertices, "m", up), faces)
    network = Upright("auto")
    mesh, looked = read_given(network, path)
    assert mesh.up == up
    assert len(network.seen) == 6
    assert looked > 0
    (note,) = (note for note in mesh.notes if "--up" in note)
    assert note.startswith(f"--up=auto took {up}")
    assert "network's confidence" in note
    np.testing.assert_array_equal(mesh.vertices, read_mesh(path, up=up).vertices)


def test_a_network_for_all_directions_is_not_asked(tmp_path):
    path = write_mesh(tmp_path / "a.ply", *leaning_wall())
    network = Upright("auto", rotation="so3")
    assert read_given(network, path)[0].up == "z"
    assert not network.seen


def test_the_network_sees_the_middle_of_large_meshes(room, monkeypatch):
    monkeypatch.setattr(upright, "MAX_VOXELS", 200)
    part = upright.middle_part(room, 0.2)
    assert 50 < len(np.unique(np.rint(part.vertices / 0.2), axis=0)) < 400
    assert len(part.vertices) < len(room.vertices)
    assert (np.unique(part.faces) == np.arange(len(part.vertices))).all()
    monkeypatch.undo()
    assert len(upright.middle_part(room, 0.2).faces) == len(room.faces)
    estimate = upright.with_network(Upright(), room, estimate_up(room.vertices, room.faces))
    assert UP_AXES[int(np.argmax(estimate.confidence))] == "z"

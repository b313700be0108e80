"""Row 18: scene files of another format version or other parameters are refused with both, never mixed."""

import shutil

import pytest

from preprocess.labels.label_map import read_label_map, scannet20, write_label_map
from preprocess.scene import scene_file as scene_module
from preprocess.scene.build import build_scene
from preprocess.scene.params import HierarchyParams
from preprocess.scene.scene_file import SceneError, read_scene, write_scene
from preprocess.synthetic.room import make_room
from tests.faults.meshes import run_check, run_scenes, write_mesh
from trainlib.core.errors import UserError
from vmnet_jax.data.scenes import SceneFolder


@pytest.fixture
def folder(tmp_path, capsys):
    for name in "ab":
        write_mesh(tmp_path / "meshes" / f"{name}.ply")
    run_scenes(capsys, tmp_path / "meshes")
    return tmp_path / "out"


def test_18_other_version(folder, capsys, monkeypatch):
    monkeypatch.setattr(scene_module, "FORMAT_VERSION", 99)
    message = "a.scene.npz: scene format 2, this program reads format 99. Run python -m preprocess.scenes again"
    with pytest.raises(SceneError, match=message):
        read_scene(folder / "a.scene.npz")
    with pytest.raises(SceneError, match=message):
        SceneFolder(folder).check(["a", "b"])
    status, said = run_check(capsys, folder)
    assert status == 1
    assert "scene format 2, this program reads format 99" in said
    status, out, _ = run_scenes(capsys, folder.parent / "meshes")
    assert "2 built, 0 up to date" in out


def test_18_other_parameters(folder, capsys):
    (folder.parent / "more").mkdir()
    shutil.copy(folder.parent / "meshes" / "a.ply", folder.parent / "more" / "c.ply")
    shutil.copy(folder.parent / "meshes" / "a.labels.ply", folder.parent / "more" / "c.labels.ply")
    run_scenes(capsys, folder.parent / "more", "--cells=0.2,0.4")
    read = SceneFolder(folder)
    with pytest.raises(UserError) as caught:
        read.check(["a", "b", "c"])
    assert "c was preprocessed with other parameters than a (cells: [0.2, 0.4] against [0.12, 0.25]" in str(
        caught.value
    )
    assert "Preprocess the folder again" in str(caught.value)
    params = read.check(["a", "b"])
    assert read.check(["a", "b"], params) == params
    with pytest.raises(UserError, match=r"than the scenes that this run was trained on \(ratio: 0\.3 against 0\.5\)"):
        read.check(["a", "b"], params | {"ratio": 0.5})


def test_18_other_label_map(folder):
    label_map = read_label_map(folder / "label_map.csv")
    changed = type(label_map)((77, *label_map.ids[1:]), label_map.names, label_map.colors)
    write_label_map(folder / "label_map.csv", changed)
    with pytest.raises(UserError, match=r"a was made with the label ids \[1, 2, .*label_map\.csv has \[77, 2, "):
        SceneFolder(folder).check(["a", "b"])


def test_18_evaluation_refuses(finished, run, tiny_rooms, tmp_path):
    shutil.copy(tiny_rooms / "label_map.csv", tmp_path)
    for seed in range(3):
        params = HierarchyParams(cells=(0.3, 0.6), voxel_size=0.2)
        scene = build_scene(f"room_{seed}", make_room(seed, 0.08), params, scannet20())
        write_scene(tmp_path / f"room_{seed}.scene.npz", scene)
    workdir = finished("vmnet_jax.train")
    code, program = run("vmnet_jax.evaluate", f"--workdir={workdir}", f"--scenes={tmp_path}")
    assert code == 1
    assert "with other parameters than the scenes that this run was trained on (cells: [0.3, 0.6]" in program.err
    assert "Traceback" not in program.err

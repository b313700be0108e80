"""Row 15: scenes of a list that are not on disk are listed and refused, unless --allow_missing; extra ones listed."""

import pytest

from tests.faults.meshes import built, run_scenes, write_mesh
from trainlib.core.errors import UserError
from vmnet_jax.data.scenes import read_split


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b", "kitchen/table"):
        write_mesh(tmp_path / "meshes" / f"{name}.ply")
    (tmp_path / "list.txt").write_text("a\ntable\ngone\n")
    return tmp_path / "meshes"


def test_15_preprocessing(folder, tmp_path, capsys):
    split = f"--split={tmp_path / 'list.txt'}"
    status, out, _ = run_scenes(capsys, folder, split)
    assert status == 1
    assert f"gone: no mesh of this name in {folder}. Add the mesh, take it off the list, or give --allow_missing" in out
    assert f"table: no mesh of this name in {folder} (did you mean 'kitchen/table'?)" in out
    assert f"skipped, not in {tmp_path / 'list.txt'}: 2 scenes (b, kitchen/table)" in out
    assert built(folder) == ["a"]
    status, out, _ = run_scenes(capsys, folder, split, "--allow_missing")
    assert status == 0
    assert f"skipped, no mesh in {folder}: 2 scenes (table, gone)" in out


def test_15_a_scene_file_without_a_mesh(folder, tmp_path, capsys):
    assert run_scenes(capsys, folder)[0] == 0
    assert built(folder) == ["a", "b", "kitchen/table"]
    (folder / "b.ply").unlink()
    status, out, _ = run_scenes(capsys, folder)
    assert status == 0
    assert f"warning: {tmp_path / 'out'} has scene files without a mesh in {folder}: 1 scene (b)" in out


def test_15_training(folder, tmp_path, capsys, caplog):
    run_scenes(capsys, folder)
    listing, scenes = tmp_path / "list.txt", tmp_path / "out"
    message = f"{listing} names 2 of 3 scenes that are not in {scenes}: gone, table"
    with pytest.raises(UserError) as caught:
        read_split(scenes, str(listing), "")
    assert f"{message} (did you mean 'kitchen/table'?). Preprocess them" in str(caught.value)
    assert "--allow_missing" in str(caught.value)
    with caplog.at_level("INFO"):
        assert read_split(scenes, str(listing), "", allow_missing=True).train == ["a"]
    assert f"{message}; they are skipped" in caplog.text
    assert f"2 of 3 scenes of {scenes} are on no list: b, kitchen/table" in caplog.text


def test_15_the_flag_reaches_training(run, vmnet_arguments, tiny_rooms, tmp_path):
    (tmp_path / "list.txt").write_text("room_0\nroom_9\n")
    overrides = [
        "--config.num_steps=1",
        f"--config.train_list={tmp_path / 'list.txt'}",
        f"--config.val_list={tmp_path / 'list.txt'}",
    ]
    code, program = run("vmnet_jax.train", *vmnet_arguments, *overrides, f"--workdir={tmp_path / 'run'}")
    assert code == 1
    assert "names 1 of 2 scenes that are not in" in program.err
    assert "Traceback" not in program.err
    code, program = run(
        "vmnet_jax.train", *vmnet_arguments, *overrides, f"--workdir={tmp_path / 'run'}", "--allow_missing"
    )
    assert code == 0
    assert "room_9; they are skipped" in program.err
    assert "1 training and 1 validation scenes" in program.err

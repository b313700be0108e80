"""The command line from folder to folder: what is built, skipped, refused and reported."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import numpy as np
import plyfile
import pytest

from preprocess import scenes
from preprocess.cli import scene_task as prepare_module
from preprocess.labels.label_map import read_label_map, scannet20
from preprocess.scene.scene_file import read_header, read_scene

SMALL = ["--cells=0.1,0.2", "--workers=0"]
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, write_ply, make_sphere, octants):
    """Three labelled meshes, the last one in ScanNet's layout, without colours."""
    vertices, faces = make_sphere(3)
    for name in ("a", "b", "sub/scene0000_00_vh_clean_2"):
        path = tmp_path / "meshes" / f"{name}.ply"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_ply(path, vertices, faces)
        write_ply(path.with_name(f"{path.stem}.labels.ply"), vertices, faces, octants(vertices))
    write_ply(path.with_name("scene0000_00_vh_clean.ply"), vertices[:3], faces[:0])
    return tmp_path / "meshes"


@pytest.fixture
def run(folder, capsys):
    """run(*flags) -> (exit status, stdout, stderr), from the folder to OUT beside it."""

    def run(*flags, output="out"):
        status = scenes.main([f"--input={folder}", f"--output={folder.parent / output}", *SMALL, *flags])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def names(output: pathlib.Path) -> list[str]:
    return sorted(path.name for path in output.iterdir())


def test_folder_to_folder(run, folder, octants):
    status, out, _ = run()
    assert status == 0
    output = folder.parent / "out"
    assert names(output) == ["a.scene.npz", "b.scene.npz", "label_map.csv", "scene0000_00.scene.npz"]
    assert "3 built, 0 up to date, 0 failed" in out
    assert "warning: no colours in 3 of 3 scenes; grey is used" in out
    assert read_label_map(output / "label_map.csv") == scannet20()
    scene = read_scene(output / "scene0000_00.scene.npz")
    assert scene.name == "scene0000_00"
    file = plyfile.PlyData.read(folder / "a.ply")
    np.testing.assert_array_equal(scene.vertices[:, 0], file["vertex"]["x"])
    np.testing.assert_array_equal(scene.labels, octants(scene.vertices) - 1)
    assert scene.params["label_ids"] == list(scannet20().ids)
    assert scene.params["cells"] == [0.1, 0.2]
    assert scene.params["voxel_size"] == 0.1
    assert scene.params["quadric_levels"] == 5


def test_a_second_run_does_what_is_missing_or_out_of_date(run, folder, write_ply, make_sphere):
    run()
    output = folder.parent / "out"
    stamps = {path.name: path.stat().st_mtime_ns for path in output.glob("*.npz")}

    def changed() -> set[str]:
        now = {path.name: path.stat().st_mtime_ns for path in output.glob("*.npz")}
        different = {name[0] for name in now if now[name] != stamps.get(name)}
        stamps.update(now)
        return different

    assert "0 built, 3 up to date, 0 failed" in run()[1]
    assert changed() == set()
    (output / "b.scene.npz").unlink()
    assert "1 built, 2 up to date" in run()[1]
    assert changed() == {"b"}
    vertices, faces = make_sphere(3)
    write_ply(folder / "a.labels.ply", vertices, faces, np.full(len(vertices), 3))
    run()
    assert changed() == {"a"}
    content = (output / "b.scene.npz").read_bytes()
    (output / "b.scene.npz").write_bytes(content[: len(content) // 2])
    run()
    assert changed() == {"b"}
    run("--ratio=0.4")
    assert changed() == {"a", "b", "s"}
    run("--ratio=0.4", "--level0_labels=majority")
    assert changed() == {"a", "b", "s"}
    run("--ratio=0.4", "--level0_labels=majority", "--overwrite")
    assert changed() == {"a", "b", "s"}


def test_another_format_version_is_rebuilt(run, folder, monkeypatch):
    run()
    monkeypatch.setattr("preprocess.scene.scene_file.FORMAT_VERSION", 99)
    assert "3 built" in run()[1]
    assert read_header(folder.parent / "out" / "a.scene.npz").version == 99


def test_failures_do_not_stop_the_others(run, folder):
    (folder / "b.ply").write_bytes((folder / "b.ply").read_bytes()[:-7])
    (folder / "c.ply").write_text("<html>")
    status, out, err = run()
    assert status == 1
    failed = json.loads((folder.parent / "out" / "failed.json").read_text())
    assert [entry["name"] for entry in failed] == ["b", "c"]
    assert "element 'face' declares 1280 rows, but the file has room for 1279" in failed[0]["cause"]
    assert failed[1]["cause"].startswith(f"{folder / 'c.ply'}: not a PLY: begins with '<html>'")
    assert "2 built, 0 up to date, 2 failed" in out
    assert "failed: " in err
    assert "Traceback" not in out + err
    for name in ("b.ply", "c.ply"):
        (folder / name).write_bytes((folder / "a.ply").read_bytes())
    assert run()[0] == 0
    assert not (folder.parent / "out" / "failed.json").exists()


def test_split_and_missing_scenes(run, folder):
    (folder / "val.txt").write_text("b\n\nscene0707_00\n")
    status, out, _ = run(f"--split={folder / 'val.txt'}")
    assert status == 1
    assert "1 built, 0 up to date, 1 failed" in out
    assert f"scene0707_00: no mesh of this name in {folder}" in out
    assert "b.scene.npz" in names(folder.parent / "out")
    (folder / "val.txt").write_text("b\n")
    assert run(f"--split={folder / 'val.txt'}")[0] == 0
    (folder / "val.txt").write_text("\n")
    status, _, err = run(f"--split={folder / 'val.txt'}")
    assert status == 1
    assert "val.txt: the list is empty" in err


def test_shards_are_disjoint_and_complete(run, folder):
    for shard in range(2):
        assert run(f"--shard={shard}/2", output=f"shard{shard}")[0] == 0
    parts = [set(names(folder.parent / f"shard{shard}")) - {"label_map.csv"} for shard in range(2)]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == {"a.scene.npz", "b.scene.npz", "scene0000_00.scene.npz"}


def test_auto_label_map(run, folder, write_ply, make_sphere, octants):
    vertices, faces = make_sphere(3)
    labels = octants(vertices) + 200
    labels[:50] = 0
    write_ply(folder / "a.labels.ply", vertices, faces, labels)
    (folder / "one.txt").write_text("a\n")
    assert run("--label_map=auto", f"--split={folder / 'one.txt'}")[0] == 0
    label_map = read_label_map(folder.parent / "out" / "label_map.csv")
    assert label_map.ids == (*range(1, 9), *range(201, 209))
    scene = read_scene(folder.parent / "out" / "a.scene.npz")
    np.testing.assert_array_equal(scene.labels[50:], labels[50:] - 193)
    assert (scene.labels[:50] == -1).all()
    for path in folder.rglob("*.labels.ply"):
        path.unlink()
    status, _, err = run("--label_map=auto")
    assert status == 1
    assert "no labelled vertex in any mesh" in err
    assert run()[0] == 0
    assert read_scene(folder.parent / "out" / "a.scene.npz").labels is None


def test_ids_outside_the_map_are_one_line_of_the_summary(run, folder, write_ply, make_sphere):
    vertices, faces = make_sphere(3)

    def warnings(*ids, share=0.5) -> list[str]:
        labels = np.full(len(vertices), 3)
        labels[: round(share * len(labels))] = np.resize(ids, round(share * len(labels)))
        write_ply(folder / "b.labels.ply", vertices, faces, labels)
        return [line for line in run()[1].splitlines() if line.startswith("warning: in ")]

    assert warnings(7, 200) == [
        "warning: in 1 of 3 scenes (b) more than 1% of the labelled vertices have ids outside the label map and are "
        "ignored; give the data's own --label_map, or --label_map auto"
    ]
    assert len(warnings(200, share=0.02)) == 1
    assert warnings(200, share=0.005) == []
    assert warnings(22, 38, 40) == []  # NYU40 ids that the benchmark leaves out
    assert warnings(0) == []


def test_scenes_with_warnings_are_shown_first(run, folder, write_ply, make_sphere):
    vertices, faces = make_sphere(3)
    for k in range(12):
        write_ply(folder / f"m{k:02d}.ply", vertices, faces)
    write_ply(folder / "z.ply", vertices * 1000, faces)
    out = run()[1]
    assert "\nz: warning:" in out
    assert "... notes on 6 more scenes, shown by --verbose" in out


def test_a_label_map_of_ones_own(run, folder):
    path = folder / "own.csv"
    path.write_text("id,name,red,green,blue\n8,top,1,2,3\n1,bottom,4,5,6\n")
    status, out, _ = run(f"--label_map={path}", "--verbose")
    assert status == 0
    assert (folder.parent / "out" / "label_map.csv").read_text() == path.read_text()
    assert set(read_scene(folder.parent / "out" / "a.scene.npz").labels) == {-1, 0, 1}
    assert re.search(r"warning: ids outside the label map: \d+ of 642 labelled vertices ignored: 2, 3, 4, 5, 6, 7", out)


def test_units_up_and_colors(run, folder):
    assert run("--units=cm", "--up=-y", "--cells=0.001,0.002")[0] == 0
    scene = read_scene(folder.parent / "out" / "a.scene.npz")
    file = plyfile.PlyData.read(folder / "a.ply")
    np.testing.assert_allclose(scene.vertices[:, 2], -file["vertex"]["y"].astype(float) * 0.01, atol=1e-15)
    assert scene.params["units"] == "cm"
    status, out, _ = run("--require_colors")
    assert status == 1
    assert "the mesh has no colours" in out


@pytest.mark.parametrize("units", ["m", "angstrom", "none"])
def test_cells_that_are_far_off_are_named_for_every_unit(run, units):
    assert "warning: level 0" not in run(f"--units={units}")[1]
    out = run(f"--units={units}", "--cells=0.9,1.8")[1]
    text = "level 0 keeps 7 of 642 vertices; its cell (--cells of preprocess.scenes) is 0.9, the median edge 0.0"
    assert out.count(text) == 3


def test_unexpected_sizes_of_cells(run, folder):
    status, out, _ = run("--cells=1e-9,1")
    assert status == 1
    assert "3 failed" in out


@pytest.mark.parametrize("count", [1, 3, 6])
def test_the_number_of_cells_sets_the_clustering_levels(run, folder, capsys, count):
    cells = [0.1 * 1.3**k for k in range(count)]
    assert run(f"--cells={','.join(map(str, cells))}")[0] == 0
    scene = read_scene(folder.parent / "out" / "a.scene.npz")
    assert scene.params["quadric_levels"] == 7 - count
    assert scene.params["cells"] == cells
    with pytest.raises(SystemExit):
        run("--help")
    printed = " ".join(capsys.readouterr().out.split())
    assert "each is one level, 1 to 6 of them, and quadric levels fill up to 7" in printed


@pytest.mark.parametrize(("hierarchy", "clustered"), [("vc", 7), ("qem", 0), ("vc+qem", 2)])
def test_the_hierarchy_is_recorded_in_the_scene_file(run, folder, hierarchy, clustered):
    assert run(f"--hierarchy={hierarchy}", "--cells=0.1,0.2", "--ratio=0.25")[0] == 0
    params = read_scene(folder.parent / "out" / "a.scene.npz").params
    np.testing.assert_allclose(params["cells"], 0.1 * 2.0 ** np.arange(clustered))
    assert (params["quadric_levels"], params["voxel_size"]) == (7 - clustered, 0.1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cells=0.1"], None),
        (["--cells=0.1,x"], "--cells 0.1,x: write comma-separated lengths, such as 0.02,0.04"),
        (["--cells=0.1,0.2", "--quadric_levels=4"], "7 levels, not 2 clustering cells and 4 quadric levels"),
        (["--cells="], "without cells give --voxel_size"),
        (["--shard=2/2"], "write I/N with 0 <= I < N"),
        (["--workers=-1"], "not a whole number"),
        (["--units=parsec"], "invalid choice"),
        (["--ratio=2"], "ratio must be between 0 and 1"),
        (["--hierarchy=vc", "--cells=", "--voxel_size=1"], "--hierarchy vc grows from the first of --cells"),
        (["--hierarchy=qem", "--quadric_levels=5"], "7 levels, not 0 clustering cells and 5 quadric levels"),
    ],
)
def test_usage(run, capsys, flags, message):
    if message is None:
        assert run(*flags)[0] == 0
        return
    with pytest.raises(SystemExit) as stop:
        run(*flags)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: ["--input=/nowhere"], "/nowhere: there is no such file or folder"),
        (lambda folder: [f"--input={folder.parent / 'empty'}"], "no mesh found"),
        (lambda folder: ["--label_map=no.csv"], "--label_map no.csv: there is no such file. Give scannet20, auto or"),
        (lambda folder: ["--split=no.txt"], "--split no.txt: there is no such file. Give a text file"),
        (lambda folder: [f"--output={folder / 'a.ply'}"], "a.ply is a file, not a folder. Name a folder"),
        (lambda folder: [f"--output={folder / 'a.ply' / 'out'}"], "a.ply is a file, not a folder. Name a folder"),
    ],
)
def test_wrong_paths(run, folder, change, message):
    (folder.parent / "empty").mkdir()
    status, _, err = run(*change(folder))
    assert status == 1
    assert message in err
    assert "Traceback" not in err
    assert "Errno" not in err


def test_two_meshes_of_one_name(run, folder):
    (folder / "sub2").mkdir()
    (folder / "sub2" / "b.ply").write_bytes((folder / "b.ply").read_bytes())
    status, out, _ = run()
    assert status == 0
    assert "4 built" in out
    assert read_header(folder.parent / "out" / "sub2" / "b.scene.npz").name == "sub2/b"
    (folder / "b.obj").write_text("")
    status, out, _ = run()
    assert status == 1
    assert "0 built, 3 up to date, 1 failed" in out
    assert f"failed: b: {folder / 'b.obj'}: the name b also belongs to {folder / 'b.ply'}. Keep or rename" in out


def test_a_full_disk_is_one_scene_s_failure(run, folder, monkeypatch):
    def full(path, scene):
        raise OSError(28, "disk full after 5 bytes, 7 bytes free", str(path))

    monkeypatch.setattr(prepare_module, "write_scene", full)
    status, out, _ = run()
    assert status == 1
    assert "disk full after 5 bytes, 7 bytes free" in out


def start(folder, *flags) -> subprocess.Popen:
    command = [sys.executable, "-m", "preprocess.scenes", f"--input={folder}", f"--output={folder.parent / 'out'}"]
    return subprocess.Popen(
        [*command, "--cells=0.1,0.2", *flags], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_as_a_program_with_workers(folder):
    process = start(folder, "--workers=2")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "3 built" in out
    assert "\r" not in err


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_signal_stops_it_and_the_next_run_goes_on(folder, write_ply, make_sphere):
    vertices, faces = make_sphere(3)
    for k in range(400):
        write_ply(folder / f"m{k:03d}.ply", vertices, faces)
    (folder / "a1.ply").write_text("no mesh")
    process = start(folder, "--workers=1")
    output = folder.parent / "out"
    assert any(line.startswith("failed: ") for line in process.stderr)  # a1, the second in their order
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 75, err
    assert "the same command resumes from here" in err
    done = list(output.glob("*.npz"))
    assert 0 < len(done) < 400
    for path in done:
        read_scene(path)

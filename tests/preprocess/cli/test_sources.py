"""Folders as people have them: links, hidden files, two formats of one name; and lists of scenes of every editor."""

import json
import os

import numpy as np
import pytest

from preprocess import check, scenes
from preprocess.cli.folders import walk
from preprocess.cli.sources import find_sources, read_scene_list, resolve_names, scene_names
from preprocess.formats.files import find_meshes
from preprocess.mesh.mesh import MeshError
from vmnet_jax.data.scene_store import open_scenes
from vmnet_jax.data.scenes import read_split


@pytest.fixture
def mesh(tmp_path, write_ply, make_sphere):
    """mesh(name) writes a labelled mesh below the folder `in` and returns its path."""
    vertices, faces = make_sphere(2)

    def write(name):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".obj":
            lines = [f"v {x} {y} {z}" for x, y, z in vertices] + [f"f {a} {b} {c}" for a, b, c in faces + 1]
            path.write_text("\n".join(lines))
            return path
        return write_ply(path, vertices, faces, 1 + np.arange(len(vertices)) % 3)

    return write


@pytest.fixture
def run(tmp_path, capsys):
    """run(*flags) -> (status, stdout) of preprocess.scenes from `in` to `out`."""

    def run(*flags):
        paths = [f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'out'}"]
        status = scenes.main([*paths, "--cells=0.1,0.2", "--workers=0", *flags])
        return status, capsys.readouterr().out

    return run


def names(folder) -> list[str]:
    return [source.name for source in find_sources(folder).sources]


def test_linked_folders_and_files_are_read(tmp_path, mesh, run, capsys):
    inside = mesh("real/a.ply").parents[1]
    (tmp_path / "elsewhere").mkdir()
    mesh("real/a.ply").rename(tmp_path / "elsewhere" / "b.ply")
    mesh("real/a.ply")
    os.symlink(tmp_path / "elsewhere", inside / "linked")
    os.symlink(tmp_path / "elsewhere" / "b.ply", inside / "c.ply")
    assert names(inside) == ["c", "linked/b", "real/a"]
    assert [path.relative_to(inside).as_posix() for path in find_meshes(inside)] == [
        "c.ply",
        "linked/b.ply",
        "real/a.ply",
    ]
    assert run()[0] == 0
    (tmp_path / "out" / "linked").rename(tmp_path / "moved")
    os.symlink(tmp_path / "moved", tmp_path / "out" / "linked")
    assert open_scenes(tmp_path / "out").names == scene_names(tmp_path / "out") == ["c", "linked/b", "real/a"]
    assert "3 up to date" in run()[1]
    assert check.main([str(inside)]) == 0
    assert "3 files: 0 with an error" in capsys.readouterr().out


def test_a_folder_of_links_to_scannet_scenes(tmp_path, mesh, capsys):
    mesh("scene0000_00/scene0000_00_vh_clean_2.PLY")
    (tmp_path / "scans").mkdir()
    os.symlink(tmp_path / "in" / "scene0000_00", tmp_path / "scans" / "scene0000_00")
    assert names(tmp_path / "scans") == ["scene0000_00"]
    assert check.main([str(tmp_path / "scans")]) == 0
    printed = capsys.readouterr().out
    assert f"1 mesh in {tmp_path / 'scans'}\n" in printed
    assert "missing mesh" not in printed
    np.save(tmp_path / "in" / "scene0000_00" / "scene0000_00_vh_clean_2.labels.npy", np.arange(162))
    check.main([str(tmp_path / "scans")])
    assert "missing labels" not in capsys.readouterr().out


def test_circles_are_cut_and_a_folder_is_read_once(tmp_path, mesh):
    inside = mesh("room/a.ply").parents[1]
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "outside" / "b.ply").write_bytes((inside / "room" / "a.ply").read_bytes())
    os.symlink(inside, inside / "room" / "self")
    os.symlink(tmp_path, inside / "top")
    os.symlink(tmp_path / "outside", tmp_path / "outside" / "deep" / "up")
    os.symlink(tmp_path / "outside", inside / "x")
    os.symlink(tmp_path / "outside", inside / "y")
    os.symlink(inside / "room", inside / "a_link_that_comes_first")
    os.symlink("loop.ply", inside / "loop.ply")
    os.symlink(tmp_path / "gone", inside / "gone")
    assert names(inside) == ["room/a", "x/b"]
    assert find_sources(inside).notes == [
        "skipped, broken links: 2 (gone, loop.ply)",
        "skipped, links to a folder that contains them: 3 (room/self, top, x/deep/up)",
        "skipped, links to a folder that is read already: 2 (a_link_that_comes_first, y)",
    ]


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, mesh, monkeypatch):
    mesh("a.ply")
    closed, scandir = mesh("closed/b.ply").parent, os.scandir

    def refuse(path):
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    assert names(tmp_path / "in") == ["a"]
    assert find_sources(tmp_path / "in").notes == ["skipped, folders that cannot be opened: 1 (closed)"]


def test_what_systems_leave_behind_is_skipped_with_a_count(tmp_path, mesh, run, capsys):
    inside = mesh("a.ply").parent
    for name in ("._a.ply", "Thumbs.db", ".DS_Store", "__MACOSX/._a.ply", ".git/b.ply", "sub/desktop.ini", "a.txt"):
        (inside / name).parent.mkdir(exist_ok=True)
        (inside / name).write_bytes(b"\0\5\26\7")
    lines = [
        "skipped, hidden or of the system: 6 (.DS_Store, ._a.ply, .git, Thumbs.db, __MACOSX, ...)",
        "other files, not read as meshes: 1 .txt",
    ]
    assert find_sources(inside).notes == lines
    for status, printed in (run(), (check.main([str(inside)]), capsys.readouterr().out)):
        assert status == 0
        assert "\n".join(lines) in printed
    check.main([str(inside), "--json"])
    assert json.loads(capsys.readouterr().out)["notes"] == lines
    (inside / "a.ply").unlink()
    with pytest.raises(MeshError, match="no mesh found; skipped, hidden or of the system: 6"):
        find_sources(inside)


def test_two_formats_of_one_name_stop_only_that_name(tmp_path, mesh, run, capsys):
    inside = mesh("hall/a.ply").parents[1]
    mesh("hall/a.OBJ")
    mesh("b.ply")
    mesh("a.ply")
    status, printed = run()
    assert status == 1
    assert "2 built, 0 up to date, 1 failed" in printed
    first, second = inside / "hall" / "a.OBJ", inside / "hall" / "a.ply"
    assert f"failed: hall/a: {first}: the name hall/a also belongs to {second}. Keep or rename one" in printed
    (failed,) = json.loads((tmp_path / "out" / "failed.json").read_text())
    assert failed["name"] == "hall/a"
    assert check.main([str(inside)]) == 1
    printed = capsys.readouterr().out
    assert "4 files: 2 with an error" in printed
    assert printed.count("the name hall/a also belongs to") == 2
    (tmp_path / "list.txt").write_text("a\nb\n")
    assert run(f"--split={tmp_path / 'list.txt'}")[0] == 0


def test_names_that_differ_in_case_are_different_scenes(tmp_path, mesh):
    mesh("a.ply")
    mesh("A.PLY")
    if len(list((tmp_path / "in").iterdir())) == 2:
        assert names(tmp_path / "in") == ["A", "a"]


def test_label_files_without_a_mesh_are_named(tmp_path, mesh, run, capsys):
    inside = mesh("scan.ply").parent
    for name in ("scans.labels.npy", "Scan.LABELS.txt"):
        (inside / name).write_text("1\n")
    line = "skipped, label files without a mesh of their name: 2 (Scan.LABELS.txt, scans.labels.npy)"
    assert line in run()[1]
    assert check.main([str(inside)]) == 1
    assert "no mesh scans.* is next to it (did you mean 'scan'?). Name the mesh" in capsys.readouterr().out
    np.save(inside / "scan.labels.npy", np.arange(162))
    assert check.main([str(inside / "scan.labels.npy")]) == 1
    assert f"this is the label file of {inside / 'scan.ply'}. Name the mesh" in capsys.readouterr().out


LIST = "living room/scan 1\r\n  kitchen \r\n\r\nkitchen\r\nKüche/ä\r\n"
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lists_of_every_editor(tmp_path, encoding):
    (tmp_path / "list.txt").write_bytes(LIST.encode(encoding))
    assert read_scene_list(tmp_path / "list.txt") == ["living room/scan 1", "kitchen", "Küche/ä"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lists_of_every_editor_in_preprocessing_and_training(tmp_path, mesh, run, encoding):
    for name in ("living room/scan 1", "kitchen", "Küche/ä", "rest"):
        mesh(f"{name}.ply")
    (tmp_path / "list.txt").write_bytes(LIST.encode(encoding))
    (tmp_path / "val.txt").write_bytes("living room\\scan 1\nKüche/ä.ply\n".encode(encoding))
    status, printed = run(f"--split={tmp_path / 'list.txt'}")
    assert status == 0
    assert "3 built" in printed
    split = read_split(tmp_path / "out", str(tmp_path / "list.txt"), str(tmp_path / "val.txt"))
    assert split.train == ["living room/scan 1", "kitchen", "Küche/ä"]
    assert split.val == ["living room/scan 1", "Küche/ä"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "not a text in UTF-16"),
        (b"\x00\x00\x01\x00\x00\x02", "so it is not a text"),
        (b"\n \n", "the list is empty"),
        (None, "there is no such list file"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path, mesh, run, capsys, content, message):
    mesh("a.ply")
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MeshError, match=message) as caught:
        read_scene_list(path)
    assert str(path) in str(caught.value)
    assert check.main([str(tmp_path / "in"), f"--split={path}"]) == 1
    assert f"error: {path}: " in capsys.readouterr().err


def test_names_written_as_paths():
    present = ["a", "hall/b", "c.ply", "scene0000_00"]
    written = ["./a", "a.PLY", "hall\\b.obj", "hall//b", "c.ply", "c.ply.ply", "a.scene.npz", "d", "./d.ply"]
    assert resolve_names(written, present) == ["a", "hall/b", "c.ply", "d", "./d.ply"]
    assert resolve_names(["scans/scene0000_00/scene0000_00_vh_clean_2.ply"], present) == ["scene0000_00"]


def test_missing_names_suggest_the_nearest(tmp_path, mesh, run, capsys):
    mesh("living room/scan 1.ply")
    mesh("hall.ply")
    (tmp_path / "list.txt").write_text("living-room/scan 1\nscan 1\nhall\n")
    status, printed = run(f"--split={tmp_path / 'list.txt'}")
    assert status == 1
    assert printed.count("(did you mean 'living room/scan 1'?)") == 2
    assert check.main([str(tmp_path / "in"), f"--split={tmp_path / 'list.txt'}"]) == 1
    printed = capsys.readouterr().out
    assert "missing mesh (2): living-room/scan 1 (did you mean 'living room/scan 1'?)" in printed


def test_a_walk_lists_files_and_folders_by_path(tmp_path):
    for name in ("b/c.txt", "b/a.txt", "a.txt", ".hidden/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = walk(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == ["a.txt", "b/a.txt", "b/c.txt"]
    assert found.folders == [tmp_path, tmp_path / "b"]
    assert walk(tmp_path / ".hidden").files == [tmp_path / ".hidden" / "x"]

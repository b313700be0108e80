"""Row 29: nothing that is read is unpickled, and nothing outside the named folders is read or written."""

import ast
import io
import json
import pathlib
import struct
import zipfile

import numpy as np
import pytest

from preprocess.formats.readers import read_mesh
from preprocess.scene.scene_file import SceneError, read_header, read_scene
from tests.faults.meshes import ROOT, built, run_check, run_scenes, write_mesh


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, marker: pathlib.Path):
        self.marker = marker

    def __reduce__(self):
        return pathlib.Path.touch, (self.marker,)


def npy(marker: pathlib.Path) -> bytes:
    """An .npy with a pickled object."""
    stream = io.BytesIO()
    np.save(stream, np.array([Payload(marker)], object), allow_pickle=True)
    return stream.getvalue()


def test_29_the_payload_works(tmp_path):
    np.load(io.BytesIO(npy(tmp_path / "marker")), allow_pickle=True)
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("entry", ["header.npy", "vertices.npy", "rings.0.ring.npy"])
def test_29_scene_file_with_objects(tmp_path, capsys, entry):
    folder, marker = tmp_path / "meshes", tmp_path / "marker"
    write_mesh(folder / "a.ply")
    run_scenes(capsys, folder)
    path = tmp_path / "out" / "a.scene.npz"
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in (entries | {entry: npy(marker)}).items():
            file.writestr(name, content)
    with pytest.raises(SceneError, match="the file is damaged") as caught:
        read_scene(path)
    assert str(path) in str(caught.value)
    assert "Run python -m preprocess.scenes again" in str(caught.value)
    if entry == "header.npy":
        with pytest.raises(SceneError):
            read_header(path)
    status, said = run_check(capsys, path)
    assert status == 1
    assert "the file is damaged" in said
    assert not marker.exists()


@pytest.mark.parametrize("name", ["a.scene.npz", "a.ply", "a.obj", "a.off", "a.stl", "a.glb", "a.labels.ply"])
def test_29_pickles_under_every_name(tmp_path, capsys, name):
    write_mesh(tmp_path / "meshes" / "a.ply", labelled=False)
    marker = tmp_path / "marker"
    (tmp_path / "meshes" / name).write_bytes(npy(marker))
    status, said = run_check(capsys, tmp_path / "meshes")
    assert status == 1
    assert name in said
    run_scenes(capsys, tmp_path / "meshes") if name != "a.obj" else None
    assert not marker.exists()


def test_29_scene_file_with_paths_outside(tmp_path, capsys):
    folder = tmp_path / "meshes"
    write_mesh(folder / "a.ply")
    run_scenes(capsys, folder)
    path = tmp_path / "out" / "a.scene.npz"
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("../outside.npy", npy(tmp_path / "marker"))
        file.writestr("/tmp/outside.npy", b"x")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SceneError):
        read_scene(path)
    assert set(tmp_path.rglob("*")) == before


def glb(header: dict, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(data), 0x004E4942) + data if data else b""
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def glb_header(**changes) -> dict:
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
    } | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"buffers": [{"uri": "/etc/hostname", "byteLength": 36}]}, "buffer 0 is in another file, '/etc/hostname'"),
        ({"buffers": [{"uri": "../secret.bin", "byteLength": 36}]}, "buffer 0 is in another file, '../secret.bin'"),
        (
            {"accessors": [{"componentType": 5126, "count": 10**12, "type": "VEC3"}]},
            "accessor 0 declares 12000000000000",
        ),
        ({"extras": None}, "RecursionError"),
    ],
    ids=["absolute", "above", "huge", "deep"],
)
def test_29_glb(tmp_path, capsys, changes, message):
    (tmp_path / "secret.bin").write_bytes(bytes(36))
    folder = tmp_path / "meshes"
    folder.mkdir()
    content = glb(glb_header(**changes), bytes(36))
    if "extras" in changes:
        deep = b"[" * 50_000 + b"]" * 50_000
        content = struct.pack("<4sIIII", b"glTF", 2, 20 + len(deep), len(deep), 0x4E4F534A) + deep
    (folder / "a.glb").write_bytes(content)
    for status, said in (run_scenes(capsys, folder)[:2], run_check(capsys, folder)):
        assert status == 1
        assert "a.glb" in said
        assert message in said
    assert built(folder) == []


def test_29_links_are_read_as_the_files_they_name_and_never_written(tmp_path, capsys):
    """A mesh may be a link; a scene file that is a link is replaced, and what it named stays as it was."""
    original = write_mesh(tmp_path / "elsewhere" / "a.ply", labelled=False)
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "a.ply").symlink_to(original)
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out" / "a.scene.npz").symlink_to(tmp_path / "precious")
    assert run_scenes(capsys, tmp_path / "meshes")[0] == 0
    assert (tmp_path / "precious").read_text() == "precious"
    assert len(read_scene(tmp_path / "out" / "a.scene.npz").vertices) == len(read_mesh(original).vertices)


def test_29_preprocessing_knows_no_pickles():
    """No module of preprocess imports pickle or a relative of it, evals, or allows pickles in NumPy files."""
    for path in (ROOT / "preprocess").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"pickle", "dill", "joblib", "marshal", "shelve"}, path
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert called not in ("eval", "exec"), path
                if called == "load":
                    assert any(k.arg == "allow_pickle" and k.value.value is False for k in node.keywords), path

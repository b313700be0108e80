"""Scene files come back as they were written, and damage is noticed."""

import dataclasses
import json
import os
import shutil
import zipfile

import numpy as np
import pytest

from kernels.host.voxel.hash_map import build_hash, lookup
from preprocess.labels.label_map import scannet20
from preprocess.mesh.mesh import Mesh, MeshError
from preprocess.mesh.normals import vertex_normals
from preprocess.scene import scene_file as scene_module
from preprocess.scene.build import build_scene, crop_scene, median_edge
from preprocess.scene.params import HierarchyParams
from preprocess.scene.scene_file import SceneError, read_header, read_scene, write_scene
from trainlib.core.files import atomic_file, remove_leftovers

PARAMS = HierarchyParams(cells=(0.05, 0.1), voxel_size=0.05, level0_labels="majority")


@pytest.fixture(scope="module")
def scene(sphere, make_mesh, octants):
    vertices, faces = sphere
    mesh = make_mesh(vertices, faces, octants(vertices).astype(np.int32))
    more = {"units": "m", "label_ids": [1, 2]}
    return build_scene("ball", mesh, PARAMS, scannet20(), source_hash="abc", more_params=more)


@pytest.fixture
def path(tmp_path, scene):
    write_scene(tmp_path / "ball.scene.npz", scene)
    return tmp_path / "ball.scene.npz"


def leaves(value) -> list:
    """Arrays and plain values of nested tuples."""
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, tuple) else [value]


def test_round_trip(scene, path):
    back = read_scene(path)
    for field in dataclasses.fields(scene):
        ours, theirs = leaves(getattr(scene, field.name)), leaves(getattr(back, field.name))
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            np.testing.assert_array_equal(a, b, err_msg=field.name)
            assert getattr(a, "dtype", None) == getattr(b, "dtype", None), field.name
    assert type(back.voxels) is type(scene.voxels)
    assert type(back.rings[0]) is type(scene.rings[0])
    assert read_header(path) == scene.header()
    assert back.params == {**PARAMS.to_dict(), "units": "m", "label_ids": [1, 2]}


def test_contents_fit_the_mesh(scene, sphere, octants):
    vertices = sphere[0]
    np.testing.assert_array_equal(scene.labels, octants(vertices) - 1)
    coords = np.floor((vertices - vertices.min(0)) * (1 / 0.05)).astype(int)
    np.testing.assert_array_equal(scene.voxels.coords[0][scene.voxel_inverse], coords)
    np.testing.assert_array_equal(scene.voxels.coords[0], coords[scene.voxel_first])
    for row, first in enumerate(scene.voxel_first):
        assert np.flatnonzero(scene.voxel_inverse == row)[0] == first
    np.testing.assert_array_equal(lookup(scene.hash, coords), scene.voxel_inverse)
    assert len(scene.voxels.coords) == len(scene.level_vertices) == 7
    sizes = scene.header().sizes
    assert sizes["vertices"] == len(vertices)
    assert sizes["level_vertices"][0] == len(scene.labels_l0)


def test_no_labels_no_colors(tmp_path, sphere, make_mesh):
    mesh = make_mesh(*sphere)
    mesh.colors = None
    write_scene(tmp_path / "a.scene.npz", build_scene("a", mesh, PARAMS))
    back = read_scene(tmp_path / "a.scene.npz")
    assert back.labels is None
    assert back.labels_l0 is None
    assert not back.has_colors
    assert (back.colors == 128).all()


def test_labels_outside_the_map(sphere, make_mesh, octants):
    vertices, faces = sphere
    labels = octants(vertices).astype(np.int32)
    labels[:5] = 50, 149, 150, -1, 13
    scene = build_scene("a", make_mesh(vertices, faces, labels), PARAMS, scannet20())
    assert (scene.labels[:5] == -1).all()
    assert any("4 vertices with 4 ids outside the label map ignored: 13, 50, 149, 150" in n for n in scene.notes)
    labels[:5] = 13, 1, 1, 1, 1
    notes = build_scene("a", make_mesh(vertices, faces, labels), PARAMS, scannet20()).notes
    assert "1 vertex with 1 id outside the label map ignored: 13" in notes
    with pytest.raises(MeshError, match="2562 of 2562 labelled vertices have ids that the label map lacks: 101, 102"):
        build_scene("a", make_mesh(vertices, faces, octants(vertices).astype(np.int32) + 100), PARAMS, scannet20())
    build_scene("a", make_mesh(vertices, faces, np.zeros(len(vertices), np.int32)), PARAMS, scannet20())


@pytest.mark.parametrize("factor", [100, 0.2, 0.001])
def test_cells_that_do_not_fit_are_named(make_sphere, make_mesh, factor):
    vertices, faces = make_sphere(5)
    assert not build_scene("a", make_mesh(vertices, faces), PARAMS).notes
    scene = build_scene("a", make_mesh(vertices * factor, faces), PARAMS)
    kept = len(scene.level_vertices[0])
    assert kept < 0.02 * 10242 or kept == 10242
    ends = vertices[np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])]
    edge = factor * np.median(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1))
    sizes = f"its cell (--cells of preprocess.scenes) is 0.05, the median edge {edge:.3g}"
    assert scene.notes == [f"warning: level 0 keeps {kept} of 10242 vertices; {sizes}"]


@pytest.mark.parametrize("rest", [[3], [3, 4], [0, 3], [0, 1]], ids=["a vertex", "two", "of a face", "an edge"])
def test_a_part_without_faces_has_no_note_about_edges(rest):
    """Nor a warning of NumPy's: the parts of a scene that training and tiles take may hold no whole face."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5], [5, 5, 5]], np.float64)
    faces = np.array([[0, 1, 2]], np.int32)
    whole = build_scene("s", Mesh(vertices, faces, None, vertex_normals(vertices, faces)), HierarchyParams())
    inside = np.isin(np.arange(5), rest)
    crop = crop_scene(whole, inside)
    np.testing.assert_array_equal(crop.vertices, vertices[inside])
    assert not [note for note in crop.notes if "edge" in note]
    nothing = Mesh(vertices, faces[:0], None, vertex_normals(vertices, faces[:0]))
    assert median_edge(nothing) == 0


def test_every_flipped_bit_of_an_array_is_noticed(path):
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        places = [info.header_offset + info.file_size // 2 + 100 for info in archive.infolist()]
    for place in places[:: len(places) // 12]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(SceneError, match="damaged"):
            read_scene(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_truncated(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    for read in (read_scene, read_header):
        with pytest.raises(SceneError, match=r"ball\.scene\.npz: (the file is damaged|not a scene file)"):
            read(path)


def test_another_version_names_both(path, scene, monkeypatch):
    monkeypatch.setattr(scene_module, "FORMAT_VERSION", 99)
    with pytest.raises(SceneError, match="scene format 2, this program reads format 99"):
        read_scene(path)


def test_other_files(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    np.save(tmp_path / "b.npy", np.zeros(3))
    (tmp_path / "c.npz").write_text("text")
    np.savez(tmp_path / "d.npz", header=np.array([{"a": 1}], dtype=object))
    fields = dict.fromkeys(scene_module.SceneHeader._fields)
    fields |= {"version": scene_module.FORMAT_VERSION, "sizes": {"voxels": [1]}}
    np.savez(tmp_path / "e.npz", header=np.frombuffer(json.dumps(fields).encode(), np.uint8))
    expected = {"a.npz": "not a scene file", "b.npy": "not a scene file", "c.npz": "not a scene", "d.npz": "damaged"}
    for name, message in {**expected, "e.npz": "array 'level_vertices.0' is missing"}.items():
        with pytest.raises(SceneError, match=message):
            read_scene(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_scene(tmp_path / "nowhere.npz")


def test_a_full_disk_leaves_the_old_file(path, scene, monkeypatch):
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", fail)
        with pytest.raises(OSError, match=r"disk full: \d+ bytes needed, \d+ free.*ball\.scene\.npz"):
            write_scene(path, scene)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 1000))
    with pytest.raises(OSError, match=r"disk full: \d+ bytes needed, 1000 free"):
        write_scene(path, scene)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    target = tmp_path / "a[1].scene.npz"
    for name in (".a[1].scene.npz.17.partial", ".a1.scene.npz.17.partial"):
        (tmp_path / name).write_text("half")
    remove_leftovers(target)
    with atomic_file(target) as file:
        file.write(b"whole")
        assert not target.exists()
    assert sorted(os.listdir(tmp_path)) == [".a1.scene.npz.17.partial", "a[1].scene.npz"]


def test_reading_is_quick(path, monkeypatch):
    """No array is read twice: NumPy opens it to see what it is and to read it. The header is read ahead of all too."""
    opened, really_open = [], zipfile.ZipFile.open

    def open_noted(file, name, *how):
        opened.append(name)
        return really_open(file, name, *how)

    monkeypatch.setattr(zipfile.ZipFile, "open", open_noted)
    read_scene(path)
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    assert set(opened) == set(names)
    assert len(opened) <= 2 * (len(names) + 1)


def test_hash_is_that_of_the_voxels(scene):
    for ours, rebuilt in zip(scene.hash, build_hash(scene.voxels.coords[0])):
        np.testing.assert_array_equal(ours, rebuilt)


def test_no_flipped_bit_of_the_container_raises_anything_else(path):
    """Flags, methods, versions and offsets of a zip file: refused as damaged, or without effect."""
    with np.load(path) as file:
        header = file["header"]
    np.savez(path, header=header)
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")
    refused = 0
    for place in (*range(30), *range(directory, directory + 46), *range(len(content) - 22, len(content))):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            scene_module.is_intact(path)
            try:
                read_header(path)
            except SceneError:
                refused += 1
    assert refused > 100

"""The same surface from every format, in the file's vertex order, with its labels."""

import pathlib
import re

import numpy as np
import pytest
import trimesh
from PIL import Image

from preprocess.formats.files import find_meshes
from preprocess.formats.readers import read_mesh, read_raw_labels, source_hash
from preprocess.mesh.mesh import MeshError

POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1]])
FACES = np.array([[0, 2, 1], [0, 3, 2], [0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])


def triangles(mesh) -> np.ndarray:
    return mesh.vertices[mesh.faces]


def obj_text(colors=False) -> str:
    lines = ["# a pyramid", "o thing", "vt 0 0"]
    for k, point in enumerate(POINTS):
        lines.append("v " + " ".join(map(str, point)) + (f" {k / 4} 0 1" if colors else ""))
    lines += [f"f {a + 1}/1 {b + 1}/1/1 {c + 1}//1" for a, b, c in FACES[:3]]
    lines += ["f " + " ".join(str(corner - len(POINTS)) for corner in face) for face in FACES[3:]]
    return "\n".join(lines) + "\n"


def off_text(head="OFF\n5 6 0") -> str:
    lines = [head, "# comment", *(" ".join(map(str, p)) for p in POINTS), "", *(f"3 {a} {b} {c}" for a, b, c in FACES)]
    return "\n".join(lines) + "\n"


def test_obj_and_off_keep_vertices_and_faces(tmp_path):
    files = {"a.obj": obj_text(), "b.off": off_text(), "c.off": off_text("OFF 5 6 0"), "d.OBJ": obj_text(True)}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        mesh = read_mesh(tmp_path / name)
        np.testing.assert_array_equal(mesh.vertices, POINTS)
        np.testing.assert_array_equal(mesh.faces, FACES)
    np.testing.assert_array_equal(mesh.colors, [[0, 0, 255], [64, 0, 255], [128, 0, 255], [191, 0, 255], [255, 0, 255]])


def test_obj_index_counts_back_from_the_line_it_is_on(tmp_path):
    path = tmp_path / "a.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 0 0 1\nf -4 \\\n -3 -1\n")
    np.testing.assert_array_equal(read_mesh(path).faces, [[0, 1, 2], [0, 1, 3]])


@pytest.fixture
def painted(tmp_path):
    """painted(mtl) -> the mesh of a pyramid whose first faces have the material `skin`, the others `coat`."""
    Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)).save(tmp_path / "two pixels.png")
    lines = ["mtllib all.mtl", *(f"v {x} {y} {z}" for x, y, z in POINTS), "vt 0.1 0.5", "vt 1.6 0.5"]
    lines += ["usemtl skin", "f 1/1 3/1 2/-1", "usemtl coat", "f 2//1 3//1 5//1", "f 1 2 5"]
    (tmp_path / "a.obj").write_text("\n".join(lines) + "\n")

    def read(mtl: str | None):
        if mtl is not None:
            (tmp_path / "all.mtl").write_text(mtl)
        return read_mesh(tmp_path / "a.obj")

    return read


def test_obj_colours_of_textures_and_materials(painted):
    mesh = painted(
        "newmtl skin\nKd 1 1 1\nmap_Kd two pixels.png\nnewmtl coat\nKd 0 0 0.5\nnewmtl unused\nmap_Kd no.png"
    )
    coat = np.array([0, 0, 127.5])
    means = [(np.array([255, 0, 0]) + coat) / 2, (np.array([0, 255, 0]) + 2 * coat) / 3]
    means += [(np.array([255, 0, 0]) + coat) / 2, [128] * 3, coat]
    np.testing.assert_array_equal(mesh.colors, np.rint(means))
    assert "colours from 1 texture and 1 plain material of the OBJ" in mesh.notes


@pytest.mark.parametrize(
    ("mtl", "note"),
    [
        (None, "warning: its materials are missing, all.mtl is not next to it"),
        ("newmtl skin\nmap_Kd gone.png\n", "warning: a texture cannot be read, gone.png"),
        ("newmtl coat\nKd 0.8 0.8 0.8\n", "warning: no colours, grey is used"),
    ],
)
def test_obj_without_colours_that_can_be_read(painted, mtl, note):
    mesh = painted(mtl)
    assert mesh.colors is None
    assert note in mesh.notes


def test_coff_colors(tmp_path):
    path = tmp_path / "a.off"
    path.write_text("COFF\n3 1 0\n0 0 0 255 0 0 255\n1 0 0 0 255 0 255\n0 1 0 0 0 255 255\n3 0 1 2\n")
    np.testing.assert_array_equal(read_mesh(path).colors, 255 * np.eye(3))


@pytest.mark.parametrize("kind", ["stl", "stl_ascii"])
def test_stl_corners_in_file_order(tmp_path, kind):
    path = tmp_path / "a.stl"
    trimesh.Trimesh(POINTS, FACES, process=False).export(path, file_type=kind)
    mesh = read_mesh(path)
    np.testing.assert_array_equal(mesh.vertices, POINTS[FACES].reshape(-1, 3))
    np.testing.assert_array_equal(mesh.faces, np.arange(18).reshape(6, 3))
    assert "13 vertices at the place of another kept" in mesh.notes


def test_binary_stl_that_begins_with_solid(tmp_path):
    path = tmp_path / "a.stl"
    trimesh.Trimesh(POINTS, FACES, process=False).export(path)
    content = path.read_bytes()
    path.write_bytes(b"solid" + content[5:])
    np.testing.assert_array_equal(triangles(read_mesh(path)), POINTS[FACES])


def test_glb_applies_the_transforms_of_its_nodes(tmp_path):
    scene = trimesh.Scene()
    pyramid = trimesh.Trimesh(POINTS, FACES, process=False)
    turn = trimesh.transformations.rotation_matrix(0.5, [0, 0, 1])
    shift = trimesh.transformations.translation_matrix([5, 0, 0])
    scene.add_geometry(pyramid, node_name="a", transform=turn)
    scene.add_geometry(pyramid, node_name="b", parent_node_name="a", transform=shift)
    scene.export(tmp_path / "a.glb")
    mesh = read_mesh(tmp_path / "a.glb", up="y")
    assert mesh.colors is None
    expected = [trimesh.transform_points(POINTS, matrix)[FACES] for matrix in (turn, turn @ shift)]
    to_z_up = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    found = sorted(np.round(triangles(mesh), 5).tolist())
    assert found == sorted(np.round(np.concatenate(expected) @ to_z_up, 5).tolist())
    assert any("glTF is y up" in note for note in read_mesh(tmp_path / "a.glb").notes)
    assert not any("glTF is y up" in note for note in mesh.notes)


def test_glb_colors_of_vertices_textures_and_materials(tmp_path):
    colors = np.arange(15, dtype=np.uint8).reshape(5, 3) * 10
    colored = trimesh.Trimesh(POINTS, FACES, process=False, vertex_colors=colors)
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8))
    uv = np.array([[0, 0], [0, 0], [1, 0], [1, 0], [1, 0]], float)
    textured = trimesh.Trimesh(POINTS + 3, FACES, process=False)
    textured.visual = trimesh.visual.TextureVisuals(
        uv, material=trimesh.visual.material.PBRMaterial(baseColorTexture=image)
    )
    plain = trimesh.Trimesh(POINTS + 6, FACES, process=False)
    plain.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=[0, 0, 200, 255])
    )
    bare = trimesh.Trimesh(POINTS + 9, FACES, process=False)
    trimesh.Scene([colored, textured, plain, bare]).export(tmp_path / "a.glb")
    mesh = read_mesh(tmp_path / "a.glb", up="z")
    expected = np.concatenate([colors, [[255, 0, 0]] * 2 + [[0, 255, 0]] * 3, [[0, 0, 200]] * 5, [[128, 128, 128]] * 5])
    order = [np.flatnonzero((mesh.vertices.round(3) == p).all(axis=1))[0] for s in (0, 3, 6, 9) for p in POINTS + s]
    np.testing.assert_array_equal(mesh.colors[order], expected)


def damaged() -> dict:
    glb = trimesh.Scene([trimesh.Trimesh(POINTS, FACES, process=False)]).export(file_type="glb")
    stl = trimesh.Trimesh(POINTS, FACES, process=False).export(file_type="stl")
    ascii_stl = trimesh.Trimesh(POINTS, FACES, process=False).export(file_type="stl_ascii").encode()
    draco = b'{"extensionsRequired":["KHR_draco_mesh_compression"]}'
    return {
        "missing.xyz": (b"", "no reader for the ending '.xyz'"),
        "words.obj": (b"v 0 0 zero\n", "line 1: 'zero' is not a number"),
        "corner.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 x\n", "line 4: 'x' is not a number"),
        "zero.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 0\n", "face 1 names vertex 0, but the vertices are 1 to 3"),
        "far.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "face 1 names vertex 4, but the vertices are 1 to 3"),
        "width.obj": (b"v 0 0 0\nv 1 0\n", "line 2: a `v` line has 2 numbers, not 3, 4, 6, 7 or 8"),
        "none.obj": (b"# nothing\n", "no vertices"),
        "html.off": (b"<html>", "not an OFF: begins with '<html>'"),
        "cut.off": (off_text().encode()[:-20], "5 vertices and 6 faces declared, 9 lines present"),
        "count.off": (b"OFF\nfive 6 0\n", "no vertex and face counts"),
        "short.off": (
            off_text().replace("3 0 2 1", "4 0 2 1").encode(),
            "line 10: face 0 declares 4 corners, its line has 3",
        ),
        "empty.stl": (b"", "this file 0"),
        "cut.stl": (stl[:-1], "a binary STL with 6 triangles has 384 bytes, this file 383"),
        "cut_ascii.stl": (ascii_stl[: len(ascii_stl) // 2], "and no endsolid"),
        "html.glb": (b"<html>" * 9, "not a GLB: begins with '<html>"),
        "cut.glb": (glb[:-1], f"the header declares {len(glb)} bytes, the file has {len(glb) - 1}"),
        "draco.glb": (glb[:12] + len(draco).to_bytes(4, "little") + b"JSON" + draco + glb[20:], "Draco"),
        "garbled.glb": (glb[:20] + b"#" + glb[21:], "not a readable GLB"),
    }


@pytest.mark.parametrize("name", damaged())
def test_damaged_files(tmp_path, name):
    content, message = damaged()[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MeshError, match=re.escape(message)) as caught:
        read_mesh(path)
    assert caught.value.file == str(path)
    assert str(caught.value) == f"{path}: {caught.value.cause}. {caught.value.remedy}"


def test_labels_beside_the_file_come_before_labels_inside(tmp_path, write_ply):
    path = write_ply(tmp_path / "a.ply", POINTS, FACES, np.arange(5))
    np.testing.assert_array_equal(read_mesh(path).labels, np.arange(5))
    np.testing.assert_array_equal(read_raw_labels(path), np.arange(5))
    alone = source_hash(path)
    beside = write_ply(tmp_path / "a.labels.ply", POINTS, FACES, np.arange(5) + 10)
    np.testing.assert_array_equal(read_mesh(path).labels, np.arange(5) + 10)
    np.testing.assert_array_equal(read_raw_labels(path), np.arange(5) + 10)
    assert len({alone, source_hash(path), source_hash(beside)}) == 3
    write_ply(beside, POINTS[:4], FACES[:2], np.arange(4))
    with pytest.raises(MeshError, match=f"4 labels for the 5 vertices of {re.escape(str(path))}"):
        read_mesh(path)
    write_ply(beside, POINTS, FACES)
    with pytest.raises(MeshError, match=r"a\.labels\.ply: the file has no property `label`"):
        read_mesh(path)


def test_labels_of_an_obj_file(tmp_path, write_ply):
    (tmp_path / "a.obj").write_text(obj_text())
    assert read_mesh(tmp_path / "a.obj").labels is None
    assert read_raw_labels(tmp_path / "a.obj") is None
    write_ply(tmp_path / "a.labels.ply", POINTS, FACES, np.arange(5))
    np.testing.assert_array_equal(read_mesh(tmp_path / "a.obj").labels, np.arange(5))


def test_find_meshes(tmp_path):
    for name in ("b/z.ply", "b/z.labels.ply", "a.OBJ", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert find_meshes(tmp_path) == [tmp_path / "a.OBJ", tmp_path / "b" / "z.ply"]
    assert find_meshes(tmp_path / "a.OBJ") == [tmp_path / "a.OBJ"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(MeshError, match="no mesh found"):
        find_meshes(tmp_path / "empty")
    with pytest.raises(MeshError, match="no such file or folder"):
        find_meshes(pathlib.Path("nowhere"))


def intact(write_ply, folder) -> dict[str, bytes]:
    """A file of every kind."""
    pyramid = trimesh.Trimesh(POINTS, FACES, process=False)
    polygons = [*FACES.tolist(), [0, 1, 2, 3]]
    colors, labels = np.full((5, 3), 0.5, np.float32), np.arange(5)
    files = {f"{kind}.stl": pyramid.export(file_type=kind) for kind in ("stl", "stl_ascii")}
    files |= {"a.obj": obj_text(True), "a.off": off_text(), "a.glb": trimesh.Scene([pyramid]).export(file_type="glb")}
    for name, text, order in (("text.ply", True, "<"), ("little.ply", False, "<"), ("big.ply", False, ">")):
        files[name] = write_ply(folder / name, POINTS, polygons, labels, colors, text, order).read_bytes()
    return {name: content if isinstance(content, bytes) else content.encode() for name, content in files.items()}


def test_any_damage_is_a_mesh_error_or_a_mesh(tmp_path, write_ply):
    rng = np.random.default_rng(0)
    files = intact(write_ply, tmp_path)
    refused = 0
    for round_ in range(400):
        name = sorted(files)[round_ % len(files)]
        content = bytearray(files[name])
        place, length = int(rng.integers(len(content))), int(rng.integers(1, 30))
        patch = [b"", rng.bytes(length), bytes(content[:length]), b"9", b" -"][rng.integers(5)]
        content[place : place + int(rng.integers(2)) * length] = patch
        path = tmp_path / f"damaged{pathlib.Path(name).suffix}"
        path.write_bytes(content)
        try:
            mesh = read_mesh(path, repair=True)
        except MeshError:
            refused += 1
        else:
            assert np.isfinite(mesh.vertices).all()
            assert mesh.faces.min() >= 0
            assert mesh.faces.max() < len(mesh.vertices) == len(mesh.normals)
    assert 50 < refused < 350

"""Labels of a mesh: files of every form next to it, properties of any name, of vertices and of faces."""

import contextlib
import io
import itertools
import re

import numpy as np
import pytest
import trimesh

from preprocess import check, scenes
from preprocess.cli.sources import find_files
from preprocess.formats.files import find_meshes
from preprocess.formats.readers import read_mesh, read_raw_labels, source_hash
from preprocess.labels.label_files import labels_from_faces
from preprocess.labels.label_map import ABSENT
from preprocess.mesh.mesh import MeshError
from preprocess.scene.scene_file import read_scene

SIDE = 5
IDS = 1 + np.arange(SIDE * SIDE) // 9


def sheet() -> tuple[np.ndarray, np.ndarray]:
    """A bumpy sheet: vertices float64 [25, 3], faces int [32, 3]."""
    x, y = (part.ravel() / 4 for part in np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"))
    row = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = (part.ravel() for part in (row[:-1, :-1], row[1:, :-1], row[:-1, 1:], row[1:, 1:]))
    return np.stack([x, y, 0.1 * np.sin(x + 2 * y)], 1), np.concatenate(
        [np.stack([a, b, c], 1), np.stack([d, c, b], 1)]
    )


def ply_text(vertex=None, face=None, faces=None) -> str:
    """An ASCII PLY of the sheet; vertex, face: (declaration, values) of one more property of the element."""
    vertices, faces = sheet()[0], sheet()[1] if faces is None else faces
    lines = [
        "ply",
        "format ascii 1.0",
        f"element vertex {len(vertices)}",
        *(f"property double {axis}" for axis in "xyz"),
    ]
    lines += [vertex[0]] if vertex else []
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", *([face[0]] if face else [])]
    lines.append("end_header")
    for words, more in ((vertices.tolist(), vertex), ([[len(f), *f] for f in faces], face)):
        ends = [[value] for value in more[1]] if more else itertools.repeat([])
        lines += [" ".join(map(str, [*row, *end])) for row, end in zip(words, ends)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def meshes(tmp_path):
    """A folder with the sheet as m.ply, m.obj, ..., each in a folder of its ending."""
    vertices, faces = sheet()
    for ending in ("ply", "obj", "off", "stl", "glb"):
        (tmp_path / ending).mkdir()
        trimesh.Trimesh(vertices, faces, process=False).export(tmp_path / ending / f"m.{ending}")
    return tmp_path


def lines_of(ids) -> str:
    return "".join(f"{id_}\n" for id_ in ids)


@pytest.mark.parametrize("ending", ["ply", "obj", "off", "glb", "stl"])
@pytest.mark.parametrize("form", ["npy", "txt", "ply"])
def test_label_files_next_to_every_format(meshes, ending, form):
    mesh = meshes / ending / f"m.{ending}"
    ids = np.resize(IDS, 3 * len(sheet()[1])) if ending == "stl" else IDS
    beside = mesh.with_name(f"m.labels.{form}")
    if form == "npy":
        np.save(beside, ids)
    elif form == "txt":
        beside.write_text(lines_of(ids))
    else:
        head = ["ply", "format ascii 1.0", f"element vertex {len(ids)}", "property int label", "end_header"]
        beside.write_text("\n".join(head) + "\n" + lines_of(ids))
    alone = source_hash(mesh)
    np.testing.assert_array_equal(read_mesh(mesh, up="y").labels, ids)
    np.testing.assert_array_equal(read_raw_labels(mesh), ids)
    assert find_meshes(meshes / ending) == [mesh]
    beside.write_bytes(beside.read_bytes() + b"\n")
    assert source_hash(mesh) != alone


@pytest.mark.parametrize(
    ("mesh", "label_file"),
    [
        ("m.ply", "m.labels.TXT"),
        ("m.ply", "m.LABELS.txt"),
        ("M.PLY", "M.LABELS.TXT"),
        ("M.Ply", "M.Labels.Txt"),
        ("scan 1.v2.PLY", "scan 1.v2.labels.TXT"),
    ],
)
def test_endings_in_capitals(tmp_path, mesh, label_file):
    (tmp_path / mesh).write_text(ply_text())
    (tmp_path / label_file).write_text(lines_of(IDS))
    assert find_meshes(tmp_path) == [tmp_path / mesh]
    np.testing.assert_array_equal(read_mesh(tmp_path / mesh).labels, IDS)
    assert find_files(tmp_path)[0] == [tmp_path / mesh]


@pytest.mark.parametrize(
    "content",
    [
        "".join(f"{id_}.000000\r\n" for id_ in IDS).encode(),
        ("//Label\n" + lines_of(IDS)).encode("utf-16"),
        b"\xef\xbb\xbf# made by hand: \xc3\xa4\n\n" + lines_of(IDS).encode() + b"\n\n",
        b"# Latin: \xe4\n" + "".join(f" {id_:.18e} \n" for id_ in IDS).encode(),
    ],
)
def test_text_of_other_programs(tmp_path, content):
    (tmp_path / "m.ply").write_text(ply_text())
    (tmp_path / "m.labels.txt").write_bytes(content)
    np.testing.assert_array_equal(read_mesh(tmp_path / "m.ply").labels, IDS)


@pytest.mark.parametrize(
    "array", [IDS.astype(np.uint8), IDS.astype(">i4")[:, None], IDS.astype(np.float32), IDS.astype(float)[:, None]]
)
def test_arrays_of_any_whole_numbers(tmp_path, array):
    (tmp_path / "m.ply").write_text(ply_text())
    np.save(tmp_path / "m.labels.npy", array)
    np.testing.assert_array_equal(read_mesh(tmp_path / "m.ply").labels, IDS)


def npy(array, cut=None) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()[:cut]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("txt", b"1\n2\n2.5\n", "line 3 is 2.5, not a whole number"),
        ("txt", b"1\n\n# no\nwall\n", "line 4 is 'wall', not a whole number"),
        ("txt", b"1 2 3\n", "line 1 is '1 2 3', not a whole number"),
        ("txt", b"1\nnan\n", "line 2 is nan, not a whole number"),
        ("txt", b"1,0\n", "line 1 is '1,0', not a whole number"),
        ("txt", b"\xff\xfe\x00", "not a text in UTF-16"),
        ("txt", b"", "0 labels for the 25 vertices and 32 faces"),
        ("txt", lines_of(IDS[:-1]).encode(), "24 labels for the 25 vertices and 32 faces"),
        ("npy", npy(IDS[:-1]), "24 labels for the 25 vertices and 32 faces"),
        ("npy", npy(IDS[None]), "an array of int64 with the shape [1, 25]"),
        ("npy", npy(np.stack([IDS, IDS], 1)), "an array of int64 with the shape [25, 2]"),
        ("npy", npy(np.array(["wall"] * 25)), "an array of <U4 with the shape [25]"),
        ("npy", npy(IDS + 0.5), "row 0 is 1.5, not a whole number"),
        ("npy", npy(IDS.astype(np.uint64) + 2**63), "row 0 is 9223372036854775809, not a whole number below 2^53"),
        ("npy", npy(np.array([{}] * 25, object)), "holds objects"),
        ("npy", npy(IDS, cut=-3), "damaged or cut off"),
        ("npy", npy(IDS).replace(b"(25,)", b"(9000000000000,)"), "damaged or cut off"),
        ("npy", b"1\n2\n", "not an array that numpy.save wrote: begins with b'1\\n2\\n'"),
        ("npy", b"", "not an array that numpy.save wrote"),
    ],
)
def test_label_files_that_are_refused(tmp_path, name, content, message):
    (tmp_path / "m.ply").write_text(ply_text())
    (tmp_path / f"m.labels.{name}").write_bytes(content)
    with pytest.raises(MeshError, match=re.escape(message)) as caught:
        read_mesh(tmp_path / "m.ply")
    assert caught.value.file == str(tmp_path / f"m.labels.{name}")


def test_any_damage_of_an_array_is_a_mesh_error_or_an_array(tmp_path):
    (tmp_path / "m.ply").write_text(ply_text())
    good, rng = npy(IDS), np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(good)
        place = int(rng.integers(128))
        content[place : place + int(rng.integers(4))] = rng.bytes(int(rng.integers(5)))
        (tmp_path / "m.labels.npy").write_bytes(content)
        with contextlib.suppress(MeshError):
            assert len(read_mesh(tmp_path / "m.ply").labels) == 25


def test_two_label_files_are_refused_by_name(tmp_path, capsys):
    (tmp_path / "m.ply").write_text(ply_text())
    np.save(tmp_path / "m.labels.npy", IDS)
    (tmp_path / "m.LABELS.txt").write_text(lines_of(IDS))
    message = "m.LABELS.txt and m.labels.npy. Keep one of them."
    for call in (read_mesh, read_raw_labels, source_hash):
        with pytest.raises(MeshError, match=re.escape(message)):
            call(tmp_path / "m.ply")
    assert check.main([str(tmp_path)]) == 1
    assert message in capsys.readouterr().out


PROPERTIES = ["scalar_Label", "scalar_label", "Label", "NYU40", "semantic_label", "semantic", "objectId", "object_id"]
PROPERTIES += ["class", "scalar_Classification", "category_id", "segment_id", "instance", "globalId"]


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("element", ["vertex", "face"])
def test_labels_under_other_names(tmp_path, capsys, name, element):
    of_faces = 1 + np.arange(32) // 16
    values = IDS.astype(float) if element == "vertex" else of_faces
    declared = f"property {'float' if element == 'vertex' else 'int'} {name}"
    (tmp_path / "m.ply").write_text(ply_text(**{element: (declared, values)}))
    hint = f"the file has no property `label`; it has `{name}` (--label_property={name}"
    assert check.main([str(tmp_path / "m.ply")]) == 0
    assert f"warning: {hint}" in capsys.readouterr().out
    assert check.main([str(tmp_path / "m.ply"), "--require_labels"]) == 1
    assert hint in capsys.readouterr().out
    assert check.main([str(tmp_path / "m.ply"), "--label_map=auto"]) == 1
    assert hint in capsys.readouterr().err
    assert check.main([str(tmp_path / "m.ply"), "--label_map=auto", f"--label_property={name}"]) == 0
    assert "labels 1 (" in capsys.readouterr().out
    expected = IDS if element == "vertex" else by_hand(of_faces, sheet()[1], 25)
    np.testing.assert_array_equal(read_mesh(tmp_path / "m.ply", label_property=name).labels, expected)


def test_another_property_is_read_although_label_holds_fractions(tmp_path):
    text = ply_text(("property float label\nproperty int NYU40", [f"0.5 {id_}" for id_ in IDS]))
    (tmp_path / "m.ply").write_text(text)
    np.testing.assert_array_equal(read_mesh(tmp_path / "m.ply", label_property="NYU40").labels, IDS)
    with pytest.raises(MeshError, match=re.escape("value 0 of the property `label` is 0.5")):
        read_mesh(tmp_path / "m.ply")
    np.save(tmp_path / "m.labels.npy", IDS)
    np.testing.assert_array_equal(read_mesh(tmp_path / "m.ply").labels, IDS)


def test_geometry_is_not_taken_for_labels(tmp_path):
    (tmp_path / "m.ply").write_text(ply_text(("property float quality", IDS)))
    assert not [note for note in read_mesh(tmp_path / "m.ply").notes if "property" in note]


def test_a_label_file_without_label_names_what_it_has(tmp_path):
    (tmp_path / "m.ply").write_text(ply_text())
    (tmp_path / "m.labels.ply").write_text(ply_text(("property int NYU40", IDS)))
    with pytest.raises(MeshError, match=re.escape("m.labels.ply: the file has no property `label`; it has `NYU40`")):
        read_mesh(tmp_path / "m.ply")
    np.testing.assert_array_equal(read_mesh(tmp_path / "m.ply", label_property="NYU40").labels, IDS)


def by_hand(of_faces, faces, vertices) -> list[int]:
    """The most frequent label around each vertex, the smallest on a tie."""
    around = [[int(of_faces[f]) for f in range(len(faces)) for v in faces[f] if v == k] for k in range(vertices)]
    return [min(set(a), key=lambda id_: (-a.count(id_), id_)) if a else ABSENT for a in around]


def test_labels_of_faces_against_a_loop():
    rng = np.random.default_rng(0)
    for _ in range(20):
        faces = [rng.integers(0, 9, rng.integers(3, 6)) for _ in range(int(rng.integers(1, 20)))]
        ids = rng.integers(-1, 3, len(faces)) * 70000
        counts = np.array([len(face) for face in faces])
        found = labels_from_faces(ids, np.concatenate(faces).astype(np.int64), counts, 10)
        np.testing.assert_array_equal(found, by_hand(ids, faces, 10))
    assert found[9] == ABSENT


def test_labels_of_polygons_and_lonely_vertices(tmp_path, capsys):
    faces = [[0, 1, 6, 5], [1, 2, 7], [2, 3, 8, 7]]
    (tmp_path / "m.ply").write_text(ply_text(face=("property int label", [7, 7, 4]), faces=faces))
    mesh = read_mesh(tmp_path / "m.ply")
    expected = by_hand([7, 7, 4], faces, 25)
    np.testing.assert_array_equal(mesh.labels, expected)
    assert (expected[1], expected[2], expected[24]) == (7, 4, ABSENT)
    assert "labels of 3 faces: a vertex has the label of most of its faces" in mesh.notes
    assert "17 vertices without a face unlabelled" in mesh.notes
    assert check.main([str(tmp_path / "m.ply"), "--label_map=auto", "--unlabelled=none"]) == 0
    assert "labels 4 (4), 7 (4)\n" in capsys.readouterr().out
    flags = [f"--input={tmp_path}", f"--output={tmp_path / 'out'}", "--label_map=auto", "--cells=0.1", "--workers=0"]
    assert scenes.main([*flags, "--unlabelled=none"]) == 0
    scene = read_scene(tmp_path / "out" / "m.scene.npz")
    np.testing.assert_array_equal(scene.labels, np.select([mesh.labels == 4, mesh.labels == 7], [0, 1], -1))


def test_as_many_labels_as_faces_belong_to_the_faces(tmp_path):
    of_faces = 1 + np.arange(32) // 16
    (tmp_path / "m.ply").write_text(ply_text())
    np.save(tmp_path / "m.labels.npy", of_faces)
    np.testing.assert_array_equal(read_mesh(tmp_path / "m.ply").labels, by_hand(of_faces, sheet()[1], 25))
    (tmp_path / "m.ply").write_text(ply_text(faces=sheet()[1][:25]))
    np.save(tmp_path / "m.labels.npy", IDS)
    mesh = read_mesh(tmp_path / "m.ply")
    np.testing.assert_array_equal(mesh.labels, IDS)
    assert "the numbers of faces and vertices are equal; the 25 labels are taken for the vertices" in mesh.notes


def test_labels_of_stl_are_those_of_triangles_or_corners(tmp_path):
    vertices, faces = sheet()
    trimesh.Trimesh(vertices, faces, process=False).export(tmp_path / "m.stl")
    of_faces = 1 + np.arange(32) // 16
    np.save(tmp_path / "m.labels.npy", of_faces)
    np.testing.assert_array_equal(read_mesh(tmp_path / "m.stl").labels, np.repeat(of_faces, 3))


def test_the_flag_labels_takes_every_form(tmp_path, capsys):
    (tmp_path / "m.ply").write_text(ply_text(("property int label", np.full(25, 9))))
    np.save(tmp_path / "ids.npy", IDS)
    (tmp_path / "ids.txt").write_text(lines_of(IDS))
    for name in ("ids.npy", "ids.txt"):
        flags = [str(tmp_path / "m.ply"), f"--labels={tmp_path / name}"]
        assert check.main(flags) == 0
        assert check.main([*flags, "--label_map=auto"]) == 0
        assert "labels 1 (9), 2 (9), 3 (7)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["red", "x"])
def test_a_colour_or_a_place_is_no_label(tmp_path, name):
    lines = ["ply", "format ascii 1.0", "element vertex 3", *(f"property float {axis}" for axis in "xyz")]
    lines += ["property uchar red", "element face 1", "property list uchar int vertex_indices", "end_header"]
    (tmp_path / "a.ply").write_text("\n".join([*lines, "0 0 0 1", "1 0 0 2", "0 1 0 2", "3 0 1 2"]))
    with pytest.raises(MeshError, match=f"`{name}` is a place, a normal or a colour"):
        read_mesh(tmp_path / "a.ply", label_property=name)

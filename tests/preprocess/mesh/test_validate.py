"""What checked meshes promise, and what is refused or reported."""

import pathlib

import numpy as np
import pytest

from preprocess.mesh.mesh import MeshError, RawMesh
from preprocess.mesh.normals import vertex_normals
from preprocess.mesh.units import METRES, UP_ROTATIONS, to_scene_frame
from preprocess.mesh.validate import validated_mesh
from trainlib.core.text import pluralize

PATH = pathlib.Path("a.ply")


def raw(vertices, faces, **more) -> RawMesh:
    counts = np.array([len(face) for face in faces], np.int64)
    corners = np.array([corner for face in faces for corner in face], np.int64)
    return RawMesh(np.asarray(vertices, np.float64), corners, counts, **more)


def square(**more) -> RawMesh:
    return raw([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]], **more)


@pytest.mark.parametrize("index", [-1, 4, 2**32 - 1])
def test_face_indices(index):
    mesh = raw(np.eye(4, 3), [[0, 1, 2], [0, 1, 2, 3], [3, index, 1]])
    with pytest.raises(MeshError, match=f"face 2 names vertex {index}, but the vertices are 0 to 3"):
        validated_mesh(PATH, mesh)


def test_non_finite_vertices_are_refused_or_repaired():
    mesh = square(labels=np.array([1, 2, 3, 4]))
    mesh.vertices[[0, 3], [1, 2]] = np.nan, -1e13
    with pytest.raises(MeshError, match="2 of 4 vertices are not finite or beyond 1e\\+12, the first is 0"):
        validated_mesh(PATH, mesh)
    mesh.corners, mesh.counts = np.array([0, 1, 2, 1, 2, 1]), np.array([3, 3])
    repaired = validated_mesh(PATH, mesh, repair=True)
    assert repaired.vertices.shape == (4, 3)
    assert np.isfinite(repaired.vertices).all()
    np.testing.assert_array_equal(repaired.faces, [[1, 2, 1]])
    np.testing.assert_array_equal(repaired.labels, [1, 2, 3, 4])
    np.testing.assert_array_equal(repaired.vertices[1:3], mesh.vertices[1:3])
    mesh.vertices[:] = np.nan
    with pytest.raises(MeshError, match="no vertex is finite and below"):
        validated_mesh(PATH, mesh, repair=True)


@pytest.mark.parametrize(("vertices", "faces"), [(np.zeros((0, 3)), []), (np.eye(3), []), (np.eye(3), [[0, 1]])])
def test_needs_vertices_and_faces(vertices, faces):
    with pytest.raises(MeshError, match="no vertices" if len(vertices) == 0 else "no faces"):
        validated_mesh(PATH, raw(vertices, faces))


def test_polygons_become_fans():
    angles = np.arange(7) * 2 * np.pi / 7
    ring = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    faces = [range(7), [0, 1], [7, 8, 9], [7, 9, 10, 13]]
    mesh = validated_mesh(PATH, raw(np.concatenate([ring, np.array([0, 0, 1]) + ring]), faces))
    expected = [[0, k, k + 1] for k in range(1, 6)] + [[7, 8, 9], [7, 9, 10], [7, 10, 13]]
    np.testing.assert_array_equal(mesh.faces, expected)
    assert any("2 faces with more than three corners split into fans, 8 triangles in all" in n for n in mesh.notes)
    assert any("1 face with fewer than three corners skipped" in n for n in mesh.notes)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((1, "face"), "1 face"),
        ((0, "face", "kept"), "0 faces kept"),
        ((1, "isolated vertex", "kept"), "1 isolated vertex kept"),
        ((2, "isolated vertex", "kept"), "2 isolated vertices kept"),
        ((3, "vertex line"), "3 vertex lines"),
    ],
)
def test_singular_and_plural(words, expected):
    assert pluralize(*words) == expected


def test_duplicates_and_isolated_vertices_are_kept_and_counted():
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [-0.0, 0, 0], [5, 5, 5], [1, 1, 0]]
    mesh = validated_mesh(PATH, raw(vertices, [[0, 1, 2], [1, 5, 2], [3, 0, 1]]))
    np.testing.assert_array_equal(mesh.vertices, vertices)
    assert "1 isolated vertex kept" in mesh.notes
    assert "1 vertex at the place of another kept" in mesh.notes
    assert "1 face with a repeated corner ignored" in mesh.notes


@pytest.mark.parametrize(
    ("dtype", "values", "expected", "note"),
    [
        (np.uint8, [0, 1, 255], [0, 1, 255], None),
        (np.float32, [0.0, 0.5, 1.0], [0, 128, 255], "0 to 1"),
        (np.float64, [0.0, 1.0, 254.6], [0, 1, 255], "0 to 255"),
        (np.uint16, [0, 257, 65535], [0, 1, 255], "16 bit"),
        (np.uint16, [0, 7, 255], [0, 7, 255], "0 to 255"),
    ],
)
def test_color_ranges(dtype, values, expected, note):
    colors = np.array([values, values, values, values], dtype)
    mesh = validated_mesh(PATH, square(colors=colors))
    np.testing.assert_array_equal(mesh.colors, [expected] * 4)
    assert mesh.colors.dtype == np.uint8
    assert [n for n in mesh.notes if n.startswith("colours")] == (
        [] if note is None else [f"colours of type {np.dtype(dtype).name} read as {note}"]
    )


def test_odd_colors():
    assert "warning: no colours, grey is used" in validated_mesh(PATH, square()).notes
    colors = np.full((4, 3), 0.5)
    colors[2, 1] = np.nan
    with pytest.raises(MeshError, match="1 vertex with a negative or non-finite colour, the first is 2"):
        validated_mesh(PATH, square(colors=colors))
    np.testing.assert_array_equal(validated_mesh(PATH, square(colors=colors), repair=True).colors[2], [128] * 3)
    with pytest.raises(MeshError, match="colours reach 70000"):
        validated_mesh(PATH, square(colors=np.full((4, 3), 70000.0)))


def test_normals_are_area_weighted_and_smooth_across_seams():
    """Two triangles that meet at a right angle, once with shared and once with separate vertices."""
    shared = [[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]]
    joined = validated_mesh(PATH, raw(shared, [[0, 1, 2], [0, 2, 3]]))
    expected = np.array([3.0 * 2, 0, 2 * 1]) / np.hypot(6, 2)
    np.testing.assert_allclose(joined.normals[[0, 2]], [expected, expected], atol=1e-7)
    split = validated_mesh(PATH, raw(np.array(shared)[[0, 1, 2, 0, 2, 3]], [[0, 1, 2], [3, 4, 5]]))
    np.testing.assert_array_equal(split.normals, joined.normals[[0, 1, 2, 0, 2, 3]])


def test_normals_point_outwards_with_unit_length(sphere):
    vertices, faces = sphere
    normals = vertex_normals(vertices, faces)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert (np.einsum("vc,vc->v", normals, vertices) > 0).all()
    assert not vertex_normals(np.eye(3), np.zeros((0, 3), np.int32)).any()


@pytest.mark.parametrize("up", UP_ROTATIONS)
def test_the_up_axis_becomes_z(up):
    turned = to_scene_frame(np.eye(3), "m", up)
    assert np.linalg.det(turned) == pytest.approx(1)
    direction = np.zeros((1, 3))
    direction[0, "xyz".index(up[-1])] = -1 if up[0] == "-" else 1
    np.testing.assert_allclose(to_scene_frame(direction, "m", up), [[0, 0, 1]], atol=0)


def test_units():
    one = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(to_scene_frame(one, "mm", "z"), one / 1000)
    np.testing.assert_allclose(to_scene_frame(one, "inch", "y"), [[0.0254, -3 * 0.0254, 2 * 0.0254]])
    for unit in ("angstrom", "none", "m"):
        np.testing.assert_array_equal(to_scene_frame(one, unit, "z"), one)
    with pytest.raises(ValueError, match="unknown unit 'km'; known: m, cm"):
        to_scene_frame(one, "km", "z")
    with pytest.raises(ValueError, match="unknown up axis 'w'"):
        to_scene_frame(one, "m", "w")


def warnings_of(mesh: RawMesh, **how) -> list[str]:
    notes = validated_mesh(PATH, mesh, **how).notes
    return [note for note in notes if note.startswith("warning") and "colours" not in note]


def test_implausible_sizes_are_named():
    room = raw([[0, 0, 0], [4, 0, 0], [4, 3, 0.0], [0, 3, 2]], [[0, 1, 2, 3]])
    assert warnings_of(room) == []
    room.vertices *= 1000
    assert "unlikely size for a scan; is --units m right?" in warnings_of(room)[0]
    assert warnings_of(room, units="mm") == []
    assert warnings_of(room, units="angstrom") == []
    assert set(METRES) == {"m", "cm", "mm", "inch", "foot", "angstrom", "none"}

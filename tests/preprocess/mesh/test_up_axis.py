"""The up axis from the surface: right on rooms, rotated with the mesh, and none where the surface has none."""

import itertools

import numpy as np
import pytest

from preprocess import check
from preprocess.mesh.mesh import RawMesh
from preprocess.mesh.units import UP_ROTATIONS, to_file_frame
from preprocess.mesh.up_axis import CUES, choose_up, estimate_up, up_cues, up_warning
from preprocess.mesh.up_estimate import UP_AXES
from preprocess.mesh.validate import validated_mesh
from preprocess.scene.scene_file import read_scene
from preprocess.scenes import main as scenes_main
from preprocess.synthetic.room import make_room
from tests.faults.meshes import write_mesh


@pytest.fixture(scope="module")
def room():
    return make_room(11, 0.08)


def grid(height=lambda x, y: 0 * x, rows=40):
    """A sheet over 3 x 3 m that faces z."""
    x, y = np.meshgrid(np.linspace(0, 3, rows), np.linspace(0, 3, rows))
    vertices = np.stack([x, y, height(x, y)], axis=-1).reshape(-1, 3)
    at = np.arange(rows * rows).reshape(rows, rows)
    a, b, c, d = (part.ravel() for part in (at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]))
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)


def sphere():
    """A closed surface of all directions."""
    u, w = np.meshgrid(np.linspace(0, np.pi, 40), np.linspace(0, 2 * np.pi, 80))
    vertices = np.stack([np.sin(u) * np.cos(w), np.sin(u) * np.sin(w), np.cos(u)], -1).reshape(-1, 3)
    at = np.arange(3200).reshape(80, 40)
    a, b, c, d = (part.ravel() for part in (at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]))
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)


def in_frame(vertices, up):
    """Vertices with z up as they are in a file whose axis `up` points up."""
    return to_file_frame(vertices, "none", up)


def axis_vector(name):
    vector = np.zeros(3)
    vector["xyz".index(name[-1])] = -1 if name[0] == "-" else 1
    return vector


@pytest.mark.parametrize("up", UP_AXES)
def test_rooms_are_told_in_every_orientation(room, up):
    for seed in (11, 12, 13):
        mesh = room if seed == 11 else make_room(seed, 0.08)
        for colors in (mesh.colors, None):
            estimate = estimate_up(in_frame(mesh.vertices, up), mesh.faces, colors)
            assert (estimate.best, estimate.sure > 0.9) == (up, True)


def rotations():
    """All 24 proper rotations that map the axes to each other."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(matrix) > 0:
                yield matrix


@pytest.mark.parametrize("kind", ["room", "tilted room", "terrain", "part of a room"])
def test_a_rotated_mesh_gets_the_rotated_scores(room, kind):
    vertices, faces, colors = room.vertices, room.faces, room.colors
    if kind == "terrain":
        vertices, faces = grid(lambda x, y: 0.3 * np.sin(3 * x) * np.cos(2 * y + 1))
        colors = np.random.default_rng(0).integers(0, 255, vertices.shape, np.uint8)
    elif kind == "tilted room":
        c, s = np.cos(0.4), np.sin(0.4)
        vertices = vertices @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T
    elif kind == "part of a room":
        faces = faces[(vertices[faces][..., 0] < vertices[:, 0].mean()).all(axis=1)]
    expected = estimate_up(vertices, faces, colors)
    for matrix in rotations():
        found = estimate_up(vertices @ matrix.T, faces, colors)
        for row, name in enumerate(UP_AXES):
            turned = next(i for i, n in enumerate(UP_AXES) if np.allclose(axis_vector(n), matrix @ axis_vector(name)))
            assert found.scores[turned] == pytest.approx(expected.scores[row], abs=1e-6)
            np.testing.assert_allclose(found.shares[turned], expected.shares[row], atol=1e-9)


def test_scale_place_and_far_vertices_do_not_count(room):
    expected = up_cues(room.vertices, room.faces, room.colors)[0]
    moved = up_cues(room.vertices * 1000 + [5e4, -3e4, 100], room.faces, room.colors)[0]
    np.testing.assert_allclose(moved, expected, atol=0.02)
    far = np.concatenate([room.vertices, [[500, 0, 0], [501, 0, 0], [500, 1, 0.0]]])
    faces = np.concatenate([room.faces, len(room.vertices) + np.array([[2, 1, 0]])]).astype(np.int32)
    assert estimate_up(far, faces).best == "z"


LONE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]]), np.array([[0, 1, 2]], np.int32)


@pytest.mark.parametrize(
    "mesh",
    [
        LONE,
        (LONE[0], LONE[1][:0]),
        (np.zeros((3, 3)), LONE[1]),
        (LONE[0] * 1e-200, LONE[1]),
        (LONE[0] * 1e12, LONE[1]),
        grid(),
        (in_frame(grid()[0], "y"), grid()[1]),
        grid(lambda x, y: 0.05 * np.sin(3 * x) * np.cos(2 * y)),
        sphere(),
        (sphere()[0], np.concatenate([sphere()[1], sphere()[1][:, ::-1]])),
    ],
    ids=["triangle", "none", "degenerate", "tiny", "huge", "plane", "wall", "terrain", "sphere", "double"],
)
def test_without_gravity_nothing_is_told_and_z_stays(mesh):
    estimate = estimate_up(*mesh)
    assert np.isfinite(estimate.scores).all()
    assert not estimate.told
    axis, note = choose_up(estimate)
    assert axis == "z"
    assert note.startswith("warning: --up=auto cannot decide")
    assert all(up_warning(estimate, up) is None for up in UP_AXES)


def test_a_file_of_a_format_with_its_own_axis_keeps_that_one():
    assert choose_up(estimate_up(*grid()), ".GLB")[0] == "y"


def test_a_network_settles_what_the_surface_leaves_open():
    estimate = estimate_up(*grid()).with_confidence(np.array([0.5, 0.5, 0.9, 0.5, 0.5, 0.5]))
    axis, note = choose_up(estimate)
    assert axis == "y"
    assert "network's confidence z 0.50, -z 0.50, y 0.90" in note
    assert estimate.probabilities.sum() == pytest.approx(1)


def test_every_cue_has_a_weight(room):
    cues, shares = up_cues(room.vertices, room.faces, room.colors)
    assert cues.shape == (6, len(CUES))
    assert ((shares >= 0) & (shares.sum(axis=1, keepdims=True) <= 1 + 1e-9)).all()
    assert all(CUES.values())


def raw_room(room, up):
    counts = np.full(len(room.faces), 3)
    return RawMesh(in_frame(room.vertices, up), room.faces.ravel().astype(np.int64), counts, room.colors)


@pytest.mark.parametrize("up", UP_AXES)
def test_auto_reads_as_the_right_axis_does_and_z_is_warned_about(tmp_path, room, up):
    path = tmp_path / "a.ply"
    right, auto = (validated_mesh(path, raw_room(room, up), up=given) for given in (up, "auto"))
    np.testing.assert_array_equal(auto.vertices, right.vertices)
    np.testing.assert_array_equal(auto.normals, right.normals)
    assert auto.up == right.up == up
    assert any(note.startswith(f"--up=auto took {up}") for note in auto.notes)
    assert not any("--up" in note for note in right.notes)
    hints = [note for note in validated_mesh(path, raw_room(room, up)).notes if "--up" in note]
    assert len(hints) == (up != "z")
    assert all(f"{up} seems to be up" in hint and f"Give --up={up}," in hint for hint in hints)
    assert not [n for n in validated_mesh(path, raw_room(room, up), units="none").notes if "--up" in n]


@pytest.mark.parametrize("words", [["--up", "-y"], ["--up=-y"], ["--up", "-Y"], ["--up=auto"], ["--up", "auto"]])
def test_the_axis_may_be_typed_with_a_minus(tmp_path, capsys, room, words):
    path = write_mesh(tmp_path / "meshes" / "a.ply", in_frame(room.vertices, "-y"), room.faces)
    assert check.main([str(path), *words]) == 0
    assert "seems to be up" not in capsys.readouterr().out
    arguments = [f"--input={path.parent}", f"--output={tmp_path / 'out'}", "--cells=0.1,0.2", "--workers=0"]
    assert scenes_main([*arguments, *words]) == 0
    scene = read_scene(tmp_path / "out" / "a.scene.npz")
    np.testing.assert_allclose(scene.vertices, room.vertices, atol=1e-5)
    assert scene.params["up"] == words[-1].removeprefix("--up=").lower()


def test_a_plus_is_no_other_axis_and_others_are_refused(tmp_path, capsys):
    path = write_mesh(tmp_path / "a.ply", *grid())
    assert check.main([str(path), "--up", "+y"]) == 0
    for wrong in (["--up", "w"], ["--up", "-yz"], ["--up=--y"], ["--up"]):
        with pytest.raises(SystemExit):
            check.main([str(path), *wrong])
    assert "known: z, -z, y, -y, x, -x, auto" in capsys.readouterr().err


def test_the_rotations_are_those_of_the_axes():
    assert tuple(UP_ROTATIONS) == UP_AXES

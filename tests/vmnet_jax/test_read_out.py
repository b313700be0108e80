"""Logits at the vertices of the file: traced, or interpolated along the surface."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from preprocess.mesh.mesh import Mesh
from preprocess.mesh.normals import vertex_normals
from preprocess.scene.build import build_scene, crop_scene
from preprocess.scene.params import HierarchyParams
from preprocess.synthetic.room import make_room
from trainlib.core.errors import UserError
from vmnet_jax.prediction.read_out import file_vertex_scores, read_out_of

PARAMS = HierarchyParams(cells=(0.3, 0.6), voxel_size=0.3)


def scene_of(vertices, faces):
    return build_scene("s", Mesh(vertices, faces, None, vertex_normals(vertices, faces)), PARAMS)


@pytest.fixture(scope="module")
def room():
    mesh = make_room(11, 0.08)
    return scene_of(mesh.vertices, mesh.faces)


def logits_of(scene, field):
    """Values of a field float64 [N, 3] -> [N] at level 0, as one class, and a padding row."""
    return np.concatenate([field(scene.level_vertices[0]), [1e9]])[:, None].astype(np.float32)


def test_the_trace_is_the_original_read_out(room):
    logits = np.random.default_rng(0).normal(size=(len(room.level_vertices[0]) + 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(file_vertex_scores(room, logits), logits[room.traces[0]])


def test_constants_are_exact_and_smooth_fields_come_closer_than_by_the_trace(room):
    constant = file_vertex_scores(room, logits_of(room, lambda v: np.full(len(v), 3.5)), "interpolated")
    np.testing.assert_allclose(constant, 3.5, rtol=1e-6)

    def field(v):
        return v @ [1.0, -0.5, 0.8]

    errors = {
        name: np.abs(file_vertex_scores(room, logits_of(room, field), name)[:, 0] - field(room.vertices)).mean()
        for name in ("trace", "interpolated")
    }
    assert errors["interpolated"] < 0.5 * errors["trace"]


def test_pieces_are_not_mixed_and_isolated_vertices_take_their_trace():
    """Two sheets 1 cm apart, in cells of 30 cm that hold both, and a vertex of no face."""
    x, y = np.meshgrid(np.linspace(0, 3, 40), np.linspace(0, 3, 40))
    sheet = np.stack([x, y, 0.295 + 0 * x], -1).reshape(-1, 3)
    at = np.arange(1600).reshape(40, 40)
    a, b, c, d = (part.ravel() for part in (at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    vertices = np.concatenate([sheet, sheet + np.array([0, 0, 0.2]), [[9, 9, 9.0], [0, 0, 0]]])
    scene = scene_of(vertices, np.concatenate([faces, faces + 1600]).astype(np.int32))
    traced = scene.traces[0]
    assert not set(traced[:1600]) & set(traced[1600:3200])
    logits = np.zeros((len(scene.level_vertices[0]), 1), np.float32)
    logits[traced[1600:3200]] = 1
    logits[traced[3200]] = 7
    scores = file_vertex_scores(scene, logits, "interpolated")[:, 0]
    np.testing.assert_allclose(scores[:1600], 0)
    np.testing.assert_allclose(scores[1600:3200], 1, rtol=1e-6)
    assert scores[3200] == 7


def test_the_order_of_the_files_vertices_does_not_matter(room):
    order = np.random.default_rng(1).permutation(len(room.vertices))
    place = np.argsort(order)
    turned = scene_of(room.vertices[order], place[room.faces].astype(np.int32))

    def field(v):
        return np.sin(3 * v[:, 0]) + v[:, 1] * v[:, 2]

    one = file_vertex_scores(room, logits_of(room, field), "interpolated")
    other = file_vertex_scores(turned, logits_of(turned, field), "interpolated")
    np.testing.assert_allclose(other, one[order], atol=0.05)


def test_a_tile_reads_out_as_its_scene_away_from_the_cut(room):
    inside = room.vertices[:, 0] < np.median(room.vertices[:, 0])
    tile = crop_scene(room, inside)

    def field(v):
        return v @ [1.0, -0.5, 0.8]

    whole = file_vertex_scores(room, logits_of(room, field), "interpolated")[inside]
    part = file_vertex_scores(tile, logits_of(tile, field), "interpolated")
    deep = tile.vertices[:, 0] < np.median(room.vertices[:, 0]) - 1
    assert np.abs(part - whole)[deep].mean() < 0.1


def test_runs_without_the_key_trace_and_unknown_names_are_refused():
    assert read_out_of(ConfigDict()) == "trace"
    assert read_out_of(ConfigDict({"read_out": "interpolated"})) == "interpolated"
    with pytest.raises(UserError, match=r"config\.read_out is 'nearest', known are trace, interpolated"):
        read_out_of(ConfigDict({"read_out": "nearest"}))

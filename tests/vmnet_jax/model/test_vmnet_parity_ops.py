"""The single operations against stored results of torchsparse 1.1.0 and torch-geometric 1.6.3 (float32)."""

import functools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.device.sparse_conv.api import strided_conv, submanifold_conv, transposed_conv
from kernels.device.trilinear import trilinear_read_out
from kernels.host.batch.padding import join_children, join_corners, join_neighbours, join_rings, join_slots, pad_rows
from kernels.host.mesh.rings import edge_targets_sources, ring_table, rings_from_edges
from kernels.host.voxel.hash_map import neighbour_table
from kernels.host.voxel.trilinear import trilinear_table
from kernels.host.voxel.voxels import downsample
from tests.parity_tools import TrackedNpz, assert_close_to_largest, largest
from tests.vmnet_jax.model.plain_operators import float32_errors, read_case, results
from vmnet_jax.model.geodesic import AttentionBlock, IntraAggregation
from vmnet_jax.model.layers import GraphLayerNorm, Linear, MaskedBatchNorm, TransformerConv
from vmnet_jax.model.scene_batch import MeshGraph

pytestmark = pytest.mark.parity

FILES = ("vmnet/ops_sparse.npz", "vmnet/voxel_to_point.npz", "vmnet/ops_mesh.npz")
SPARE_ROWS = 20


class Level(NamedTuple):
    """The voxels of a fixture at one stride, joined scene after scene."""

    rows: np.ndarray
    """Row of the fixture for each joined row."""
    coords: list[np.ndarray]
    """Cells of each scene in units of the level."""

    @property
    def padded_rows(self) -> int:
        return len(self.rows) + SPARE_ROWS

    @property
    def counts(self) -> list[int]:
        return [len(part) for part in self.coords]

    def padded(self, values: np.ndarray) -> np.ndarray:
        return pad_rows([values[self.rows]], self.padded_rows)

    def restored(self, values: jax.Array) -> np.ndarray:
        """Joined rows back in the fixture's order, the padding checked to be zero and cut off."""
        values = np.asarray(values)
        assert not values[len(self.rows) :].any()
        back = np.empty_like(values[: len(self.rows)])
        back[self.rows] = values[: len(self.rows)]
        return back


def level_of(coords: np.ndarray, level: int) -> Level:
    """coords int32 [P, 4]: x, y, z in units of level 0, and the scene."""
    rows = [np.flatnonzero(coords[:, 3] == scene) for scene in np.unique(coords[:, 3])]
    assert (coords[:, :3] % 2**level == 0).all()
    return Level(np.concatenate(rows), [coords[part, :3] >> level for part in rows])


def pyramid_step(fine: Level, coarse_coords: np.ndarray, level: int):
    """The coarse level, in the row order of `downsample`, and its padded tables."""
    steps = [downsample(part) for part in fine.coords]
    row_of = {tuple(cell): row for row, cell in enumerate(coarse_coords.tolist())}
    scenes = np.unique(coarse_coords[:, 3]).tolist()
    cells = [(*(cell << level).tolist(), scene) for scene, step in zip(scenes, steps) for cell in step[0]]
    coarse = Level(np.array([row_of[cell] for cell in cells]), [step[0] for step in steps])
    assert sorted(row_of) == sorted(cells)
    rows = (fine.padded_rows, coarse.padded_rows)
    children = join_children([step[1] for step in steps], fine.counts, *rows)
    slots = join_slots([step[2] for step in steps], coarse.counts, *rows)
    return coarse, children, slots


def check_conv(sparse, name, conv, source: Level, target: Level, feats, *tables):
    """Output and both gradients of one convolution, and of the bias that most cases add."""
    kernel = sparse[f"{name}_kernel"]
    cotangent = sparse[f"{name}_R"]
    out, pull = jax.vjp(lambda x, w: conv(x, w, *tables), source.padded(feats), kernel)
    dx, dw = pull(jnp.asarray(target.padded(cotangent)))
    out = target.restored(out)
    if f"{name}_bias" in sparse:
        out = out + sparse[f"{name}_bias"]
        assert_close_to_largest(cotangent.sum(0), sparse.float32(f"{name}_dbias"))
    assert_close_to_largest(out, sparse.float32(f"{name}_out"))
    assert_close_to_largest(source.restored(dx), sparse.float32(f"{name}_dfeats"))
    assert_close_to_largest(dw, sparse.float32(f"{name}_dkernel"))


@pytest.fixture(scope="module")
def sparse(open_fixture):
    return open_fixture(FILES[0])


def test_sparse_convolutions(sparse):
    level_0 = level_of(sparse["coords"], 0)
    level_1, children_0, slots_0 = pyramid_step(level_0, sparse["down_coords"], 1)
    level_2, children_1, slots_1 = pyramid_step(level_1, sparse["down2_coords"], 2)
    neighbours_0 = join_neighbours([neighbour_table(part) for part in level_0.coords], level_0.padded_rows)
    neighbours_1 = join_neighbours([neighbour_table(part) for part in level_1.coords], level_1.padded_rows)
    feats, feats2 = sparse["feats"], sparse["feats2"]
    np.testing.assert_array_equal(sparse["up_coords"], sparse["coords"])
    check_conv(sparse, "k3", submanifold_conv, level_0, level_0, feats, neighbours_0)
    check_conv(sparse, "k3s2", submanifold_conv, level_1, level_1, feats2, neighbours_1)
    check_conv(sparse, "down", strided_conv, level_0, level_1, feats, children_0, slots_0)
    check_conv(sparse, "down2", strided_conv, level_1, level_2, feats2, children_1, slots_1)
    check_conv(sparse, "up", transposed_conv, level_1, level_0, feats2, children_0, slots_0)


def test_pointwise_convolution(sparse):
    params = {"kernel": sparse["k1_kernel"], "bias": sparse["k1_bias"]}
    layer = Linear(params["kernel"].shape[1])
    out, pull = jax.vjp(lambda p, x: layer.apply({"params": p}, x), params, sparse["feats"])
    grads, dx = pull(jnp.asarray(sparse["k1_R"]))
    assert_close_to_largest(out, sparse.float32("k1_out"))
    assert_close_to_largest(dx, sparse.float32("k1_dfeats"))
    assert_close_to_largest(grads["kernel"], sparse.float32("k1_dkernel"))
    assert_close_to_largest(grads["bias"], sparse.float32("k1_dbias"))


def test_batch_norm(sparse):
    feats = sparse["feats"]
    variables = {
        "params": {"scale": sparse["bn_weight"], "bias": sparse["bn_bias"]},
        "batch_stats": {"mean": sparse["bn_mean"], "var": sparse["bn_var"]},
    }
    norm, x, count = MaskedBatchNorm(), pad_rows([feats], len(feats) + SPARE_ROWS), jnp.int32(len(feats))
    assert_close_to_largest(norm.apply(variables, x, count, False)[: len(feats)], sparse.float32("bn_out_eval"))
    out, after = norm.apply(variables, x, count, True, mutable=["batch_stats"])
    assert_close_to_largest(out[: len(feats)], sparse.float32("bn_out_train"))
    assert_close_to_largest(after["batch_stats"]["mean"], sparse.float32("bn_mean_after"))
    assert_close_to_largest(after["batch_stats"]["var"], sparse.float32("bn_var_after"))


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_trilinear_read_out(open_fixture, stride):
    file = open_fixture(FILES[1])
    coords, points, feats = (file[f"s{stride}_{key}"] for key in ("coords", "points", "feats"))
    level = stride.bit_length() - 1
    voxels = level_of(coords, level)
    point_rows = [np.flatnonzero(points[:, 3] == scene) for scene in np.unique(coords[:, 3])]
    order = np.concatenate(point_rows)
    tables = [trilinear_table(points[rows, :3], cells, level) for rows, cells in zip(point_rows, voxels.coords)]
    vertex_rows = len(points) + 8
    table = join_corners(*zip(*tables), voxels.counts, vertex_rows, voxels.padded_rows)
    corners = np.append(voxels.rows, np.full(SPARE_ROWS, -1))[table.corners[: len(order)]]
    np.testing.assert_array_equal(corners, file[f"s{stride}_idx"][order])
    weights = np.empty_like(table.weights[: len(order)])
    weights[order] = table.weights[: len(order)]
    assert_close_to_largest(weights, file.float32(f"s{stride}_weights"))
    cotangent = pad_rows([file[f"s{stride}_R"][order]], vertex_rows)
    out, pull = jax.vjp(lambda x: trilinear_read_out(x, table), voxels.padded(feats))
    restored = np.empty_like(out[: len(order)])
    restored[order] = out[: len(order)]
    assert_close_to_largest(restored, file.float32(f"s{stride}_out"))
    assert not np.asarray(out[len(order) :]).any()
    assert_close_to_largest(voxels.restored(pull(jnp.asarray(cotangent))[0]), file.float32(f"s{stride}_dfeats"))


@pytest.fixture(scope="module")
def mesh(open_fixture):
    return open_fixture(FILES[2])


@pytest.fixture(scope="module")
def graph(mesh) -> MeshGraph:
    """The fixture's edges as kept edges of their symmetric closure; K is such that part of them overflows."""
    (sources, targets), count = mesh["edge_index"], int(mesh["n"])
    degrees = np.bincount(targets, minlength=count)
    table = ring_table(rings_from_edges(targets, sources, count), width=max(degrees.max() // 2, 1))
    assert len(table.overflow_target) > 0
    rows = count + 7
    joined = join_rings([table], rows, len(table.overflow_target) + 5)
    target, source, valid = edge_targets_sources(joined)
    listed = {(int(t), int(s)) for t, s in zip(targets, sources)}
    keep = np.array([bool(v) and (int(t), int(s)) in listed for t, s, v in zip(target, source, valid)])
    assert keep.sum() == len(listed) == len(targets)
    scene = np.where(np.arange(rows) < count, 0, 1).astype(np.int32)
    return MeshGraph(jax.tree.map(jnp.asarray, joined), jnp.asarray(keep), jnp.asarray(scene), 1)


def conv_names(prefix: str = "") -> dict:
    """Parameters of `TransformerConv` -> names of the original's."""
    return {
        ours: {"kernel": f"{prefix}lin_{ours}.weight", "bias": f"{prefix}lin_{ours}.bias"}
        for ours in ("query", "key", "value", "skip")
    }


def norm_names(prefix: str = "") -> dict:
    return {"scale": f"{prefix}weight", "bias": f"{prefix}bias"}


def block_names(index: int) -> dict:
    return {"attention": conv_names(f"geo_{index}."), "norm": norm_names(f"norm_{index}.")}


def check_mesh_case(mesh, case: str, module, names: dict, graph: MeshGraph, inputs: tuple[str, ...], repeats: int = 1):
    """Output, input gradients and parameter gradients; the single input of a module may be given `repeats` times."""
    count, rows = int(mesh["n"]), graph.scene.shape[0]
    errors = functools.cache(lambda: float32_errors(read_case(mesh, case)))

    def padded(key):
        return jnp.asarray(pad_rows([mesh[f"{case}/{key}"]], rows))

    def run(params, *xs):
        return module.apply({"params": params}, *(xs * repeats), graph)

    def check(ours, name, scale=None):
        stored = mesh.float32(f"{case}/{name}", own_error=lambda: errors()[name])
        assert_close_to_largest(ours, stored, what=f"{case}/{name}", scale=scale)

    params = jax.tree.map(lambda name: in_our_layout(mesh[f"{case}/param/{name}"]), names)
    out, pull = jax.vjp(jax.jit(run), params, *(padded(f"in/{name}") for name in inputs))
    grads, *input_grads = pull(padded("R"))
    assert not np.asarray(out[count:]).any()
    check(out[:count], "out")
    for name, grad in zip(inputs, input_grads):
        assert not np.asarray(grad[count:]).any()
        check(grad[:count], f"din/{name}")
    assert jax.tree.structure(grads) == jax.tree.structure(names)
    for name, grad in zip(jax.tree.leaves(names), jax.tree.leaves(grads)):
        grad = np.reshape(grad, 1) if grad.ndim == 0 else np.transpose(grad)
        check(grad, f"dparam/{name}", _scale(mesh, case, name))


def redrawn(mesh, case: str, seed: int, folder: pathlib.Path, spoil: tuple[str, Callable] | None = None) -> TrackedNpz:
    """The fixture of a case with arrays of another seed, of which the plain formula in float32 gives the results.

    Args:
        spoil: name of a result and a function that makes it wrong, or None.
    """
    rng = np.random.default_rng(seed)

    def draw(array):
        return (np.sqrt(np.mean(np.square(array))) * rng.standard_normal(array.shape)).astype(np.float32)

    old = read_case(mesh, case)
    params, inputs, cotangent = jax.tree.map(draw, (old.params, old.inputs, old.cotangent))
    new = old._replace(params=params, inputs=inputs, cotangent=cotangent)
    stored = dict(results(new, np.float32))
    if spoil:
        stored[spoil[0]] = spoil[1](stored[spoil[0]])
    arrays = {f"param/{name}": array for name, array in params.items()}
    arrays |= {f"in/{name}": array for name, array in inputs.items()} | {"R": cotangent} | stored
    path = folder / f"{case}_{seed}.npz"
    np.savez(path, edge_index=old.edges, n=mesh.peek("n"), **{f"{case}/{name}": a for name, a in arrays.items()})
    return TrackedNpz(path)


def check_redrawn_attention(stored, case, graph):
    module = TransformerConv(stored.peek(f"{case}/R").shape[1], shift="global")
    check_mesh_case(stored, case, module, conv_names(), graph, ("x",), repeats=2)


@pytest.mark.parametrize("case", ["tconv", "tconv_big"])
def test_attention_on_other_seeds(mesh, graph, case, tmp_path):
    """Float32 gradients of far apart scores differ by up to 1e-5 of their largest, in the plain formula as here."""
    for seed in range(6):
        check_redrawn_attention(redrawn(mesh, case, seed, tmp_path), case, graph)


@pytest.mark.parametrize("result", ["out", "din/x", "dparam/lin_query.weight"])
@pytest.mark.parametrize(
    "spoil",
    [lambda a: 1.01 * a, np.negative, np.zeros_like, lambda a: np.roll(a, 1, axis=-1)],
    ids=["one per cent", "sign", "zeros", "channels"],
)
def test_wrong_results_fail_on_other_seeds(mesh, graph, result, spoil, tmp_path):
    stored = redrawn(mesh, "tconv_big", 0, tmp_path, (result, spoil))
    with pytest.raises(AssertionError, match=f"tconv_big/{result}: difference"):
        check_redrawn_attention(stored, "tconv_big", graph)


def in_our_layout(array: np.ndarray) -> np.ndarray:
    """A parameter of the original: scalars are stored as [1], matrices as [out, in]."""
    return array.reshape(()) if array.shape == (1,) else array.T


def _scale(mesh, case: str, name: str) -> float | None:
    """Magnitude that a gradient is compared by, where its own says nothing about rounding.

    A bias of the keys shifts all scores of a softmax alike: its gradient is zero but for rounding, and counts against
    that of the keys' weight. A norm's two parameters are scalars, sums over all entries that cancel by chance (the
    original's own error in one of them is 3.1e-6 of its value, ours reach 4.1e-6): a third of the cotangent's length is
    the size to expect, which allows about twice the largest difference seen.
    """
    if name.endswith("lin_key.bias"):
        return largest(mesh.peek(f"{case}/dparam/{name.removesuffix('bias')}weight"))
    if mesh.peek(f"{case}/dparam/{name}").shape == (1,):
        return np.linalg.norm(mesh.peek(f"{case}/R")) / 3
    return None


def check_edge_weights_are_unused(mesh, case: str, blocks: tuple[str, ...]):
    """The original has a scalar `lin_edge` in every attention layer, without gradient: nothing here reads it."""
    for block in blocks:
        assert mesh[f"{case}/param/{block}lin_edge.weight"].shape == (1, 1)
        assert mesh[f"{case}/param/{block}lin_edge.bias"].shape == (1,)
        assert f"{case}/dparam/{block}lin_edge.weight" not in mesh


@pytest.mark.parametrize("case", ["tconv", "tconv_pair", "tconv_big"])
def test_transformer_conv(mesh, graph, case):
    """tconv_big has scores that lie hundreds below the global maximum, where the original's softmax shrinks."""
    module = TransformerConv(mesh.peek(f"{case}/R").shape[1], shift="global")
    inputs = ("src", "dst") if case == "tconv_pair" else ("x",)
    check_mesh_case(mesh, case, module, conv_names(), graph, inputs, repeats=3 - len(inputs))
    check_edge_weights_are_unused(mesh, case, ("",))


def test_layer_norm(mesh, graph):
    check_mesh_case(mesh, "layernorm", GraphLayerNorm("batch"), norm_names(), graph, ("x",))


def test_intra_aggregation(mesh, graph):
    module = IntraAggregation(layer_norm_scope="batch", attention_shift="global")
    check_mesh_case(mesh, "intra", module, {f"block_{i}": block_names(i) for i in (0, 1)}, graph, ("x",))
    check_edge_weights_are_unused(mesh, "intra", ("geo_0.", "geo_1."))


def test_inter_fusion(mesh, graph):
    width = mesh.peek("inter/R").shape[1]
    module = AttentionBlock(width, layer_norm_scope="batch", attention_shift="global")
    check_mesh_case(mesh, "inter", module, block_names(0), graph, ("geo_x", "euc_x"))
    check_edge_weights_are_unused(mesh, "inter", ("geo_0.",))


def test_vertex_shift_differs_where_scores_are_far_apart(mesh, graph):
    """The per-vertex softmax is another function there, by as much as the values themselves."""
    x = jnp.asarray(pad_rows([mesh["tconv_big/in/x"]], graph.scene.shape[0]))
    arrays = jax.tree.map(lambda name: mesh[f"tconv_big/param/{name}"].T, conv_names())
    module = TransformerConv(mesh["tconv_big/out"].shape[1], shift="vertex")
    out = module.apply({"params": arrays}, x, x, graph)[: int(mesh["n"])]
    assert largest(out - mesh["tconv_big/out"]) > 0.1 * largest(mesh["tconv_big/out"])


def test_every_stored_array_was_compared(open_fixture):
    for name in FILES:
        assert not open_fixture(name).unread

"""Small problems for the device kernels: tables written out by brute force, and every kernel as a case to be tested."""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from kernels.device.attention.api import one_ring_attention
from kernels.device.one_ring import (
    gather_sources,
    gather_targets,
    one_ring_max,
    one_ring_mean,
    one_ring_vector_attention,
)
from kernels.device.pooling import mean_pool, unpool
from kernels.device.sparse_conv import xla
from kernels.device.sparse_conv.api import strided_conv, submanifold_conv, transposed_conv
from kernels.device.trilinear import trilinear_read_out
from kernels.host.tables import Rings, Trace, Trilinear


def neighbour_table(coords: np.ndarray, rows: int) -> np.ndarray:
    """int32 [rows, 27], x fastest, by a dictionary."""
    row_of = {tuple(cell): row for row, cell in enumerate(coords.tolist())}
    table = np.full((rows, 27), rows - 1, np.int32)
    for (row, cell), (dz, dy, dx) in itertools.product(enumerate(coords), itertools.product((-1, 0, 1), repeat=3)):
        column = (dx + 1) + 3 * (dy + 1) + 9 * (dz + 1)
        table[row, column] = row_of.get(tuple(cell + np.array((dx, dy, dz))), rows - 1)
    return table


def child_tables(coords: np.ndarray, rows: int, coarse_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coarse coordinates, children int32 [coarse_rows, 8] and slots int32 [rows]."""
    coarse = np.unique(coords >> 1, axis=0)
    parent_of = {tuple(cell): row for row, cell in enumerate(coarse.tolist())}
    children = np.full((coarse_rows, 8), rows - 1, np.int32)
    slots = np.full(rows, (coarse_rows - 1) * 8, np.int32)
    for row, (x, y, z) in enumerate(coords.tolist()):
        parent, octant = parent_of[x >> 1, y >> 1, z >> 1], 4 * (x & 1) + 2 * (y & 1) + (z & 1)
        children[parent, octant] = row
        slots[row] = parent * 8 + octant
    return coarse, children, slots


def ring_tables(edges: list[tuple[int, int]], rows: int, width: int, overflow_rows: int) -> tuple[Rings, dict]:
    """Rings of a symmetric list of (target, source), and the flat edge id of each."""
    ring = np.full((rows, width), rows - 1, np.int32)
    flat, slots, overflow = {}, dict.fromkeys(range(rows), 0), []
    for target, source in sorted(edges):
        slot = slots[target]
        slots[target] += 1
        if slot < width:
            ring[target, slot] = source
            flat[target, source] = target * width + slot
        else:
            flat[target, source] = rows * width + len(overflow)
            overflow.append((target, source))
    reverse = np.full((rows, width), (rows - 1) * width, np.int32)
    extra = np.full((3, overflow_rows), rows - 1, np.int32)
    extra[2] = (rows - 1) * width
    for (target, source), edge in flat.items():
        opposite = flat[source, target]
        if edge < rows * width:
            reverse[target, edge - target * width] = opposite
        else:
            extra[:, edge - rows * width] = target, source, opposite
    return Rings(ring, reverse, *extra), flat


def random_edges(rng: np.random.Generator, vertices: int, chance: float) -> list[tuple[int, int]]:
    """A symmetric graph; vertex 3 has no edges."""
    linked = rng.random((vertices, vertices)) < chance
    linked |= linked.T
    linked[3], linked[:, 3] = False, False
    np.fill_diagonal(linked, False)
    return [(int(i), int(j)) for i, j in zip(*np.nonzero(linked))]


def padded(array: np.ndarray, rows: int) -> np.ndarray:
    """`array` with zero rows up to `rows`."""
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])


class Case(NamedTuple):
    """A kernel bound to its tables: `apply(*inputs, **options)`, inputs float64."""

    apply: Callable
    inputs: tuple[np.ndarray, ...]
    rows: tuple[int | None, ...]
    """Real rows of each input, None for a kernel's weights."""
    out_rows: int
    cotangent: np.ndarray


def _conv_case(name: str, padding: int) -> Case:
    rng = np.random.default_rng(1)
    coords = np.argwhere(rng.random((7, 7, 7)) < 0.5)
    rng.shuffle(coords)
    count, rows = len(coords), len(coords) + padding
    cin, cout = 6, 10
    fine, kernel, fine_cotangent = (rng.normal(size=s) for s in ((count, cin), (27, cin, cout), (count, cout)))
    if name == "submanifold_conv":
        apply = functools.partial(submanifold_conv, neighbours=neighbour_table(coords, rows))
        return Case(apply, (padded(fine, rows), kernel), (count, None), count, padded(fine_cotangent, rows))
    coarse_count = len(np.unique(coords >> 1, axis=0))
    coarse_rows = coarse_count + padding
    _, children, slots = child_tables(coords, rows, coarse_rows)
    coarse, coarse_cotangent = rng.normal(size=(coarse_count, cin)), rng.normal(size=(coarse_count, cout))
    if name == "strided_conv":
        apply = functools.partial(strided_conv, children=children, slots=slots)
        inputs, cotangent = (padded(fine, rows), kernel[:8]), padded(coarse_cotangent, coarse_rows)
        return Case(apply, inputs, (count, None), coarse_count, cotangent)
    apply = functools.partial(transposed_conv, children=children, slots=slots)
    inputs, cotangent = (padded(coarse, coarse_rows), kernel[:8]), padded(fine_cotangent, rows)
    return Case(apply, inputs, (coarse_count, None), count, cotangent)


def random_rings(rng: np.random.Generator, count: int, width: int, padding: int) -> tuple[Rings, np.ndarray]:
    """Rings of a graph with overflow edges, and a mask that drops about a third of the directed edges."""
    rows = count + padding
    edges = random_edges(rng, count, 3.3 / count)
    drop = rng.random(len(edges)) < 0.3
    degree = np.bincount([target for target, _ in edges])
    over = np.maximum(degree - width, 0).sum()
    rings, flat = ring_tables(edges, rows, width, over + padding)
    keep = np.ones(rows * width + over + padding, bool)
    keep[[flat[edge] for edge in np.array(edges, dtype="i,i")[drop].tolist()]] = False
    return rings, keep


def _edge_values(target: jnp.ndarray, source: jnp.ndarray, rings: Rings) -> jnp.ndarray:
    """Something at each edge that depends on both ends, not zero at absent edges."""
    return jnp.cos(gather_targets(target, rings) - 2 * gather_sources(source, rings))


def _neighbourhood_case(name: str, padding: int) -> Case:
    rng, count = np.random.default_rng(4), 250
    rings, keep = random_rings(rng, count, 5, padding)
    target, source, value, cotangent = (padded(rng.normal(size=(count, 6)), count + padding) for _ in range(4))
    if name == "vector_attention":

        def apply(target, source, value):
            return one_ring_vector_attention(2 * _edge_values(target, source, rings), value, rings, keep)

        return Case(apply, (target, source, value), (count,) * 3, count, cotangent)
    reduce = {"edge_mean": one_ring_mean, "edge_max": one_ring_max}[name]

    def apply(target, source):
        return reduce(_edge_values(target, source, rings), rings, keep)

    return Case(apply, (target, source), (count,) * 2, count, cotangent)


def _attention_case(shift: str, padding: int) -> Case:
    """1100 vertices, so that there are three blocks of rows; scores spread over 60 and more. About a third of the
    directed edges are dropped."""
    rng, count = np.random.default_rng(2), 1100
    rings, keep = random_rings(rng, count, 5, padding)
    rows = count + padding
    query, key, value, cotangent = (padded(rng.normal(size=(count, 6)), rows) for _ in range(4))
    apply = functools.partial(one_ring_attention, rings=rings, keep=keep, shift=shift)
    return Case(apply, (12 * query, key, value), (count,) * 3, count, cotangent)


def _mesh_case(name: str, padding: int) -> Case:
    rng = np.random.default_rng(3)
    fine, coarse, width = 700, 90, 96
    rows, coarse_rows = fine + padding, coarse + padding
    values, coarse_values = rng.normal(size=(fine, width)), rng.normal(size=(coarse, width))
    if name == "trilinear_read_out":
        present = rng.random((fine, 8)) < 0.6
        corners = np.where(present, rng.integers(0, coarse, (fine, 8)), coarse_rows - 1)
        corners = np.concatenate([corners, np.full((padding, 8), coarse_rows - 1)]).astype(np.int32)
        weights = padded(rng.random((fine, 8)) * present, rows)
        order = np.argsort(corners.ravel(), kind="stable").astype(np.int32)
        table = Trilinear(corners, weights, order, corners.ravel()[order])
        inputs, cotangent = (padded(coarse_values, coarse_rows),), padded(values, rows)
        return Case(functools.partial(trilinear_read_out, table=table), inputs, (coarse,), fine, cotangent)
    trace = np.concatenate([rng.integers(0, coarse - 1, fine), np.full(padding, coarse_rows - 1)]).astype(np.int32)
    order = np.argsort(trace, kind="stable").astype(np.int32)
    table = Trace(trace, order, trace[order])
    if name == "unpool":
        inputs, cotangent = (padded(coarse_values, coarse_rows),), padded(values, rows)
        return Case(functools.partial(unpool, trace=table), inputs, (coarse,), fine, cotangent)
    inputs, cotangent = (padded(values, rows),), padded(coarse_values, coarse_rows)
    apply = functools.partial(mean_pool, trace=table, num_coarse=coarse_rows)
    return Case(apply, inputs, (fine,), coarse, cotangent)


def make_case(name: str, padding: int = 13) -> Case:
    """One kernel on a problem that does not depend on `padding`, the number of padding rows of every array."""
    if name.endswith("_conv"):
        return _conv_case(name, padding)
    if name.startswith("attention"):
        return _attention_case(name.split("_")[1], padding)
    if name in ("vector_attention", "edge_mean", "edge_max"):
        return _neighbourhood_case(name, padding)
    return _mesh_case(name, padding)


@pytest.fixture(scope="session", autouse=True)
def small_blocks():
    """Blocks of the convolutions so small that problems of a hundred rows have several, the last one ragged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xla, "COLUMN_BYTES", 1 << 14)
        yield


@pytest.fixture(scope="session")
def oracles():
    """The brute-force tables: `.neighbour_table`, `.child_tables`, `.ring_tables`, `.random_edges`, `.padded`."""

    class Oracles(NamedTuple):
        neighbour_table: Callable = neighbour_table
        child_tables: Callable = child_tables
        ring_tables: Callable = ring_tables
        random_edges: Callable = random_edges
        padded: Callable = padded

    return Oracles()


@pytest.fixture(scope="session")
def case():
    """case(name, padding=13) -> Case"""
    return functools.cache(make_case)

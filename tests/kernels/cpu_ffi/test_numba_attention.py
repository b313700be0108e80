"""One-ring attention of the Numba kernels against the plain reference in float64."""

import jax
import numpy as np
import pytest

from kernels.cpu_ffi.bind import edge_sums
from kernels.cpu_ffi.runtime.availability import unsupported_machine_reason
from kernels.device.attention.api import one_ring_attention
from kernels.host.batch.padding import join_rings
from kernels.host.mesh.rings import ring_table, rings_from_edges

pytestmark = pytest.mark.skipif(unsupported_machine_reason() is not None, reason=str(unsupported_machine_reason()))

VERTICES, WIDTH = 700, 5


def make_rings(padding=9, hub=400):
    """A random graph with a vertex of `hub` neighbours and one without any; about half of the edges overflow."""
    rng = np.random.default_rng(1)
    targets, sources = rng.integers(1, VERTICES, (2, 2200))
    targets, sources = np.append(targets, np.full(hub, 5)), np.append(sources, rng.permutation(VERTICES - 1)[:hub] + 1)
    apart = targets != sources
    table = ring_table(rings_from_edges(targets[apart], sources[apart], VERTICES), WIDTH)
    return join_rings([table], VERTICES + padding, len(table.overflow_target) + padding)


def make_inputs(rings, width=32, value_width=32):
    """query, key, value, cotangent, zero in padding rows, and two thirds of the directed edges."""
    rng = np.random.default_rng(2)
    arrays = [rng.normal(size=(len(rings.ring), w)).astype(np.float32) for w in (width, width, *[value_width] * 2)]
    for array in arrays:
        array[VERTICES:] = 0
    return arrays, rng.random(rings.ring.size + len(rings.overflow_target)) < 0.67


def run(arrays, rings, keep, shift="vertex", method="numba"):
    @jax.jit
    def value_and_grads(query, key, value, cotangent):
        def apply(*inputs):
            return one_ring_attention(*inputs, rings, keep, shift=shift, method=method)

        out, pull = jax.vjp(apply, query, key, value)
        return out, *pull(cotangent)

    return [np.asarray(array) for array in value_and_grads(*arrays)]


def reference(arrays, rings, keep, shift):
    with jax.enable_x64(True):
        return run([array.astype(np.float64) for array in arrays], rings, keep, shift, "segment_sum")


@pytest.mark.parametrize("shift", ["vertex", "global"])
@pytest.mark.parametrize(("width", "value_width"), [(32, 32), (96, 7), (5, 70)])
def test_equals_the_reference_in_float64(shift, width, value_width):
    rings = make_rings()
    arrays, keep = make_inputs(rings, width, value_width)
    assert (rings.overflow_target == 5).sum() > 300
    for got, want in zip(run(arrays, rings, keep, shift), reference(arrays, rings, keep, shift), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=3e-6 * np.abs(want).max())
        assert not got[VERTICES:].any()
        assert not got[0].any()


def test_padding_is_inert():
    """More padding changes no real row beyond rounding (the softmax is XLA's); NaN in the cotangent's padding reaches
    nothing."""
    small, large = make_rings(), make_rings(padding=300)
    arrays, _ = make_inputs(small)
    grown = [np.concatenate([array, np.zeros((291, 32), np.float32)]) for array in arrays]
    want = run(arrays, small, None)
    garbage = arrays[3].copy()
    garbage[VERTICES:] = np.nan
    for a, b, c in zip(want, run(grown, large, None), run([*arrays[:3], garbage], small, None)):
        np.testing.assert_allclose(b[:VERTICES], a[:VERTICES], rtol=0, atol=5e-7 * np.abs(a).max())
        assert a.tobytes() == c.tobytes()


def test_a_graph_without_edges_and_one_without_overflow():
    rings = make_rings()
    arrays, keep = make_inputs(rings)
    for array in run(arrays, rings, np.zeros_like(keep)):
        np.testing.assert_array_equal(array, 0)
    none = np.zeros(0, np.int32)
    short = rings._replace(overflow_target=none, overflow_source=none, overflow_reverse=none)
    inside = rings.reverse < rings.ring.size  # edges whose opposite is not in the table are dropped, both ways
    slots = np.where(inside, rings.ring, len(rings.ring) - 1)
    got = run(arrays, short._replace(ring=slots), None)
    for a, b in zip(got, reference(arrays, short._replace(ring=slots), None, "vertex"), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=3e-6 * np.abs(b).max())


@pytest.mark.parametrize("bad", [-7, 10**6, 2**31 - 1])
@pytest.mark.parametrize("field", ["ring", "reverse", "overflow_source", "overflow_reverse"])
def test_entries_out_of_range_add_nothing(field, bad):
    """The kernels alone: their sums are those of a table with the entries absent."""
    rings = make_rings()
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=part.shape).astype(np.float32) for part in (rings.ring, rings.overflow_target)]
    sources = make_inputs(rings)[0][0]
    table = getattr(rings, field)
    hit = rng.random(table.shape) < 0.2
    neighbours = "ring" if table.ndim == 2 else "overflow_source"
    absent = {neighbours: np.where(hit, len(rings.ring) - 1, getattr(rings, neighbours))}
    for opposite in (False, True):
        got = edge_sums(weights, sources, rings._replace(**{field: np.where(hit, bad, table)}), opposite=opposite)
        reads_it = opposite or field == neighbours
        want = edge_sums(weights, sources, rings._replace(**absent) if reads_it else rings, opposite=opposite)
        np.testing.assert_array_equal(got, want)

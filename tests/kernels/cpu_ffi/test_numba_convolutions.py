"""The convolutions of the Numba kernels against sums written out in float64."""

import functools
from typing import NamedTuple

import jax
import numpy as np
import pytest

from kernels.cpu_ffi.runtime.availability import unsupported_machine_reason
from kernels.device.sparse_conv.api import strided_conv, submanifold_conv, transposed_conv
from kernels.host.voxel.hash_map import neighbour_table
from kernels.host.voxel.voxels import downsample

pytestmark = pytest.mark.skipif(unsupported_machine_reason() is not None, reason=str(unsupported_machine_reason()))

OPERATIONS = {"submanifold": submanifold_conv, "strided": strided_conv, "transposed": transposed_conv}
WIDTHS = [(3, 32), (32, 20), (48, 48), (96, 17)]
"""A first layer, whole vectors and none, one, two and three vectors side by side."""


class Problem(NamedTuple):
    """One convolution with its arrays, padded, and the numbers of real rows in and out."""

    name: str
    tables: tuple[np.ndarray, ...]
    x: np.ndarray
    kernel: np.ndarray
    cotangent: np.ndarray
    rows: tuple[int, int]

    def run(self, x=None, kernel=None, cotangent=None, tables=None, method="numba"):
        """Output and gradients (dx, dW), jitted, as NumPy arrays."""
        given = [mine if other is None else other for mine, other in zip(self[1:5], (tables, x, kernel, cotangent))]
        return jax.tree.map(np.asarray, jitted(self.name, method)(*given))


@functools.cache
def jitted(name, method):
    def run(tables, x, kernel, cotangent):
        out, pull = jax.vjp(lambda x, w: OPERATIONS[name](x, w, *tables, method=method), x, kernel)
        return out, *pull(cotangent)

    return jax.jit(run)


def scene(count, side):
    coords = np.argwhere(np.random.default_rng(1).random((side,) * 3) < 2)
    np.random.default_rng(2).shuffle(coords)
    return coords[:count].astype(np.int32)


def with_padding(table, rows, absent):
    """A table padded to `rows` rows, -1 replaced by `absent`."""
    out = np.full((rows, *table.shape[1:]), absent, np.int32)
    out[: len(table)] = np.where(table < 0, absent, table)
    return out


def make(name, cin=8, cout=16, coords=None, padding=5, seed=3):
    """The problem of a scene; real rows do not depend on `padding`."""
    coords = scene(437, 10) if coords is None else coords
    rng = np.random.default_rng(seed)
    coarse, children, slots = downsample(coords)
    rows, coarse_rows = len(coords) + padding, len(coarse) + padding
    if name == "submanifold":
        tables, sizes = (with_padding(neighbour_table(coords), rows, rows - 1),), (len(coords), len(coords))
    else:
        tables = (with_padding(children, coarse_rows, rows - 1), with_padding(slots, rows, (coarse_rows - 1) * 8))
        sizes = (len(coords), len(coarse)) if name == "strided" else (len(coarse), len(coords))
    x, cotangent = (
        np.concatenate([rng.normal(size=(n, c)), np.zeros((padding, c))]).astype(np.float32)
        for n, c in zip(sizes, (cin, cout))
    )
    taps = tables[0].shape[1]
    return Problem(name, tables, x, rng.normal(size=(taps, cin, cout)).astype(np.float32), cotangent, sizes)


def exact(problem):
    """Output, dx and dW in float64, from the list of (output row, tap, input row)."""
    x, kernel, cotangent = (array.astype(np.float64) for array in problem[2:5])
    out_row, tap = np.nonzero(np.ones_like(problem.tables[0]))
    in_row = problem.tables[0].ravel()
    real = in_row != (len(cotangent) if problem.name == "transposed" else len(x)) - 1
    if problem.name == "transposed":
        out_row, in_row = in_row, out_row
    out_row, tap, in_row = out_row[real], tap[real], in_row[real]
    out, dx, dw = np.zeros_like(cotangent), np.zeros_like(x), np.zeros_like(kernel)
    for k in range(len(kernel)):
        to, come = out_row[tap == k], in_row[tap == k]
        np.add.at(out, to, x[come] @ kernel[k])
        np.add.at(dx, come, cotangent[to] @ kernel[k].T)
        dw[k] = x[come].T @ cotangent[to]
    return out, dx, dw


def assert_close(got, want, tolerance=3e-6):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


def assert_same_bytes(got, want):
    for a, b in zip(got, want, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("cin", "cout"), WIDTHS)
def test_equals_the_sums_in_float64(name, cin, cout):
    problem = make(name, cin, cout)
    want = exact(problem)
    assert all(np.abs(array).max() > 0 for array in want)
    assert_close(problem.run(), want, 1e-6)


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_voxel(name):
    problem = make(name, coords=np.array([[5, 4, 4]], np.int32), padding=1)
    assert_close(problem.run(), exact(problem), 1e-6)


@pytest.mark.parametrize("name", OPERATIONS)
def test_everything_absent_gives_zero(name):
    """Tables without an entry: features and cotangents reach nothing."""
    problem = make(name)
    absent = tuple(np.full_like(table, table[-1].max()) for table in problem.tables)
    x, cotangent = np.ones_like(problem.x), np.ones_like(problem.cotangent)
    for array in problem.run(x, cotangent=cotangent, tables=absent):
        np.testing.assert_array_equal(array, 0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_padding_is_inert(name):
    """More padding changes no byte of a real row; NaN in the cotangent's padding reaches nothing."""
    small, large = make(name), make(name, padding=300)
    out, dx, dw = small.run()
    grown, grown_dx, grown_dw = large.run()
    rows_in, rows_out = small.rows
    assert_same_bytes((out[:rows_out], dx[:rows_in], dw), (grown[:rows_out], grown_dx[:rows_in], grown_dw))
    assert not grown[rows_out:].any()
    assert not grown_dx[rows_in:].any()
    garbage = small.cotangent.copy()
    garbage[rows_out:] = np.nan
    assert_same_bytes(small.run(cotangent=garbage), (out, dx, dw))


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("bad", [-1, -(2**31), 10**6, 2**31 - 1])
def test_entries_out_of_range_count_as_absent(name, bad):
    problem = make(name)
    hit = [np.random.default_rng(4).random(table.shape) < 0.2 for table in problem.tables]
    wrong = tuple(np.where(mask, bad, table).astype(np.int32) for mask, table in zip(hit, problem.tables))
    absent = tuple(np.where(mask, table[-1].max(), table) for mask, table in zip(hit, problem.tables))
    assert_same_bytes(problem.run(tables=wrong), problem.run(tables=absent))


@pytest.mark.parametrize("name", OPERATIONS)
def test_vmap_equals_a_loop(name):
    problem = make(name)
    two = [np.stack([array, -array]) for array in (problem.x, problem.kernel, problem.cotangent)]
    mapped = jax.vmap(jitted(name, None), in_axes=(None, 0, 0, 0))(problem.tables, *two)
    for i in range(2):
        assert_same_bytes([np.asarray(part[i]) for part in mapped], problem.run(*(array[i] for array in two)))


def test_weights_of_another_type_are_cast_and_get_their_gradient_in_it():
    problem = make("submanifold")
    out, _, dw = problem.run(kernel=jax.numpy.asarray(problem.kernel, "bfloat16"))
    rounded = problem.run(kernel=np.asarray(jax.numpy.asarray(problem.kernel, "bfloat16"), np.float32))
    assert_same_bytes([out], rounded[:1])
    assert dw.dtype == "bfloat16"

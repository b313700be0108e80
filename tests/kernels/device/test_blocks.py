"""Row blocks: their sizes, ragged ends, and sums over sorted segments across block borders."""

import jax.numpy as jnp
import numpy as np
import pytest

from kernels.device import dispatch
from kernels.device.blocks import block_rows, scan_blocks
from kernels.device.dispatch import by_platform
from kernels.device.pooling import mean_pool
from kernels.device.segment_sum import gather_segment_sum
from kernels.host.tables import Trace


@pytest.mark.parametrize(
    ("rows", "limit", "want"),
    [
        (100, 128, 100),  # one block
        (96512, 2048, 1856),  # 256 * 13 * 29: the largest divisor that is a multiple of 8
        (4096, 1000, 512),  # nothing above 500 divides, but 512 does
        (1013, 100, 96),  # a prime: eleven fair blocks, the last one padded
        (20, 3, 8),  # never less than 8 rows
    ],
)
def test_block_rows(rows, limit, want):
    block = block_rows(rows, limit)
    assert block == want
    assert block == rows or block % 8 == 0


@pytest.mark.parametrize("rows", [64, 61, 17])
def test_scan_over_blocks_equals_one_call(rows):
    """Carries accumulate over real rows and what `fill` says, outputs are cut to the real rows."""
    values, index = np.arange(rows, dtype=np.float32), np.arange(rows, dtype=np.int32)

    def body(total, block):
        value, row = block
        return total + value.sum(), (2 * value, row)

    total, (doubled, kept) = scan_blocks(body, jnp.float32(0), (values, index), 16, fill=(0, -5))
    np.testing.assert_array_equal(doubled, 2 * values)
    np.testing.assert_array_equal(kept, index)
    assert total == values.sum()


@pytest.mark.parametrize(("method", "want"), [("xla", 1), ("blocked", 1), ("whole", 2), ("pallas", 4)])
def test_by_platform_runs_what_it_is_told_on_cpu(method, want):
    def form(x, *, blocked):
        return x + (1 if blocked else 2)

    assert by_platform(form, method, jnp.float32(0), numba=lambda x: x + 3, pallas=lambda x: x + 4) == want


def test_by_platform_prefers_the_numba_kernel_on_cpu(monkeypatch):
    for reason, want in ((None, 3), ("no reason", 1)):
        monkeypatch.setattr(dispatch, "unsupported_reason", lambda operands, reason=reason: reason)
        assert by_platform(lambda x, *, blocked: x + 1, None, jnp.float32(0), numba=lambda x: x + 3) == want


@pytest.mark.parametrize("method", ["xla", None])
def test_segment_sum_over_many_ragged_blocks(method):
    """20,011 entries of 128 channels are five blocks; one segment spans a border. The last segment is the padding's."""
    rng = np.random.default_rng(31)
    source, weights = rng.normal(size=(500, 128)).astype(np.float32), rng.random(20011).astype(np.float32)
    order = rng.integers(0, 500, 20011).astype(np.int32)
    segments = np.sort(rng.integers(0, 40, 20011)).astype(np.int32)
    want = np.zeros((40, 128))
    np.add.at(want, segments, weights[order, None].astype(np.float64) * source[order // 4])
    want[39] = 0
    got = gather_segment_sum(source, weights, order, segments, 40, fan=4, method=method)
    np.testing.assert_allclose(got, want, atol=2e-4)
    assert not np.asarray(got[39]).any()


def test_mean_pool_of_hand_computable_rows():
    """Coarse rows: 0 has two children, 1 none, 2 one, 3 is padding."""
    trace = np.array([2, 0, 0, 3], np.int32)
    order = np.argsort(trace, kind="stable").astype(np.int32)
    features = np.array([[6.0], [1], [3], [0]], np.float32)
    out = mean_pool(features, Trace(trace, order, trace[order]), num_coarse=4)
    np.testing.assert_array_equal(out, [[2], [0], [6], [0]])

"""The rule by which results are compared with stored ones: rounding passes, wrong values do not, nothing is skipped."""

import hashlib
import pathlib
import re

import numpy as np
import pytest

from tests import parity_tools
from tests.parity_tools import (
    FIXTURES,
    Float32,
    TrackedNpz,
    assert_close_in_norm,
    assert_close_to_largest,
    assert_each_close,
    known_digests,
)

COMPARISONS = [assert_close_in_norm, assert_close_to_largest]


def gradient(seed: int = 0) -> np.ndarray:
    """float64 [27, 8, 16]: a gradient as the float64 run gives it."""
    return np.random.default_rng(seed).standard_normal((27, 8, 16))


def flipped(exact: np.ndarray, share: float = 3.5e-3) -> np.ndarray:
    """The gradient of a float32 run in which a unit of a later layer changed sign: off by `share` of its norm."""
    off = np.random.default_rng(1).standard_normal(exact.shape)
    return (exact + off * share * np.linalg.norm(exact) / np.linalg.norm(off)).astype(np.float32)


BUGS = {
    "one per cent in one channel": lambda g: g * np.where(np.arange(g.shape[-1]) == 5, 1.1, 1),
    "sign": lambda g: -g,
    "swapped channels": lambda g: g[..., [1, 0, *range(2, g.shape[-1])]],
    "zeros": np.zeros_like,
    "mirrored kernel": lambda g: g[::-1],
    "scaled by one per cent": lambda g: 1.01 * g,
    "not a number": lambda g: np.where(g == g.max(), np.nan, g),
}


@pytest.mark.parametrize("compare", COMPARISONS)
def test_float32_noise_of_the_original_is_allowed_twice(compare):
    exact = gradient()
    stored = Float32(flipped(exact), exact)
    compare(exact, stored, 2e-4)
    compare(exact - (stored.value - exact) * 0.99, stored, 2e-4)
    with pytest.raises(AssertionError, match="allowed"):
        compare(exact - (stored.value - exact) * 1.05, stored, 2e-4)
    with pytest.raises(AssertionError, match="allowed"):
        compare(exact, stored._replace(exact=None), 2e-4)
    compare(exact, stored._replace(exact=None, own_error=lambda: 0.6 * abs(stored.value - exact).sum()), 2e-4)


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("compare", COMPARISONS)
def test_wrong_values_fail_however_large_the_noise_of_the_original_is(compare, bug):
    exact = gradient()
    wrong = BUGS[bug](exact)
    for stored in (Float32(flipped(exact), exact), Float32(exact.astype(np.float32)), exact):
        with pytest.raises(AssertionError, match="allowed"):
            compare(wrong, stored, 2e-4)


@pytest.mark.parametrize("compare", COMPARISONS)
def test_exact_results_and_known_files_have_the_tests_tolerance_only(compare):
    exact = gradient()
    rounded = flipped(exact)
    for stored in (rounded, Float32(rounded, exact, 1.0, known=True)):
        with pytest.raises(AssertionError, match="allowed"):
            compare(exact, stored, 2e-4)
        compare(rounded * (1 + 1e-4), stored, 2e-4)


@pytest.mark.parametrize("tolerance", [0.0, 3e-6, 2e-4, 0.05])
def test_the_allowance_is_the_largest_of_the_three(tolerance):
    value, unit = np.float32([3, -7, 1]), np.finfo(np.float32).eps
    measure = parity_tools._largest_difference
    for own_error in (0.0, 1e-5, 1.0):
        stored = Float32(value, value.astype(np.float64) + own_error)
        allowed = stored.allowance(tolerance, 7, measure)
        assert allowed == pytest.approx(max(tolerance, 2 * own_error, 8 * unit * 7), rel=1e-6)
        assert stored._replace(known=True).allowance(tolerance, 7, measure) == tolerance


def test_eight_units_of_the_largest_magnitude():
    value, unit = np.float32([1e-3, 100]), float(np.finfo(np.float32).eps)
    near = value.astype(np.float64) + np.array([7.5 * unit * 100, 0])
    assert_close_to_largest(near, Float32(value), 0)
    with pytest.raises(AssertionError, match="allowed"):
        assert_close_to_largest(near + np.array([unit * 100, 0]), Float32(value), 0)
    with pytest.raises(AssertionError, match="allowed"):
        assert_close_to_largest(near, value, 0)


def test_numbers_are_compared_one_by_one_and_the_worst_is_named():
    exact = np.array([1.0, 200.0, 3e-9])
    stored = Float32(np.array([1.002, 200.0001, 1e-9]), exact)
    names = ["conv", "head", "key"]
    assert_each_close(exact, stored, 1e-4 * exact, names)
    with pytest.raises(AssertionError, match="head: difference 2"):
        assert_each_close(exact * [1, 1.01, 1], stored, 1e-4 * exact, names)
    with pytest.raises(AssertionError, match="key"):
        assert_each_close(exact, stored._replace(known=True), 1e-4 * exact, names)


@pytest.mark.parametrize("compare", COMPARISONS)
def test_shapes_have_to_be_equal(compare):
    with pytest.raises(AssertionError, match="shape"):
        compare(np.ones((3, 1)), np.ones(3), 1.0)


def test_the_message_names_file_and_array(tmp_path):
    np.savez(tmp_path / "a.npz", out=np.float32([1.5]))
    theirs = TrackedNpz(tmp_path / "a.npz").float32("out")
    with pytest.raises(AssertionError, match=r"a\.npz: out: difference 0\.5, allowed"):
        assert_close_to_largest([1.0], theirs)
    with pytest.raises(AssertionError, match="conv1: difference"):
        assert_close_to_largest([1.0], theirs, what="conv1")


def test_a_twin_that_only_widens_counts_as_unread(tmp_path):
    np.savez(tmp_path / "a.npz", out=np.float32([1.5]), out64=np.array([1.25]), error=0.5)
    stored = TrackedNpz(tmp_path / "a.npz")
    theirs = stored.float32("out", twin="out64", own_error=stored.peek("error"))
    assert (theirs.value, theirs.exact, theirs.own_error, theirs.known) == (1.5, 1.25, 0.5, False)
    assert stored.unread == {"out64", "error"}
    assert stored["out64"] == 1.25
    assert stored.unread == {"error"}


def test_a_file_is_known_by_its_content(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", out=np.float32([1.5]))
    assert not TrackedNpz(tmp_path / "a.npz").known
    listed = tmp_path / "list"
    digest = hashlib.sha256((tmp_path / "a.npz").read_bytes()).hexdigest()
    listed.write_text(f"{digest}  elsewhere/b.npz\n")
    monkeypatch.setattr(parity_tools, "KNOWN", listed)
    known_digests.cache_clear()
    try:
        assert TrackedNpz(tmp_path / "a.npz").known
    finally:
        known_digests.cache_clear()


def test_every_stored_file_belongs_to_a_parity_test():
    """Whose last test shows that it read every array."""
    sources = [p.read_text() for p in pathlib.Path(__file__).parent.rglob("test_*_parity_*.py")]
    named = set(re.findall(r"\w+", " ".join(sources)))
    stored = sorted(path.stem for system in ("vmnet", "sdclr") for path in (FIXTURES / system).glob("*.npz"))
    assert stored
    assert set(stored) <= named

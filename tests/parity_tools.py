"""Stored results of the original programs: where they are, which arrays were read, and how near ours have to be.

A stored array is one of two kinds. The results of the original's float64 run are exact to about 1e-15; a plain array is
taken as such, and the tolerance given by the test is the whole allowance. The results of its float32 run carry that
run's own rounding, which differs from seed to seed by orders of magnitude: where a unit changes sign at a ReLU, float32
gradients are 3e-3 from the float64 ones. `TrackedNpz.float32` returns them together with that error, and the allowance
is the largest of

* the tolerance given by the test,
* twice the original's own float32 error, as its float32 and float64 runs show it,
* 8 units of float32 rounding of the array's largest magnitude.

In the files named in parity_fixtures.sha256 the tolerances of the tests hold without the last two, so they stay the
whole allowance there.
"""

import functools
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

FIXTURES = pathlib.Path(os.environ.get("PARITY_FIXTURES", pathlib.Path(__file__).parent / "data"))
KNOWN = pathlib.Path(__file__).parent / "parity_fixtures.sha256"
"""Output of `sha256sum */*.npz` in the folder of the fixtures."""

ROUNDING = 8 * float(np.finfo(np.float32).eps)
NO_TWIN = 3e-6
"""Of the largest magnitude: the tolerance for float32 results that have no float64 twin."""


class Float32(NamedTuple):
    """A stored result of the original's float32 run."""

    value: np.ndarray
    exact: np.ndarray | None = None
    """The same from its float64 run, if stored: shape of `value`."""
    own_error: float | np.ndarray | Callable[[], float] = 0.0
    """Error of the float32 run where `exact` does not show it, in the unit and measure of the comparison; or a function
    that finds it, called only if the tolerance is not enough."""
    known: bool = False
    """The file is one of those whose arrays need no more than the tests' own tolerances."""
    name: str = ""
    """File and key, for the message."""

    def allowance(self, tolerance, size, distance: Callable[[np.ndarray, np.ndarray], np.ndarray]):
        """Largest distance allowed between a result and `value`.

        Args:
          tolerance: the test's own allowance, in the unit of `value`.
          size: magnitude that counts for rounding.
          distance: measure of the comparison, of two float64 arrays.

        Returns:
          An array of the shape of what `distance` returns.
        """
        if self.known:
            return np.asarray(tolerance)
        own = np.asarray(self.own_error() if callable(self.own_error) else self.own_error, np.float64)
        if self.exact is not None:
            own = np.maximum(own, distance(_double(self.value), _double(self.exact)))
        return np.maximum(np.maximum(tolerance, 2 * own), ROUNDING * size)


def _double(array) -> np.ndarray:
    return np.asarray(array, np.float64)


def largest(array) -> float:
    """Largest magnitude of an array; 0 if it is empty."""
    return np.abs(_double(array)).max(initial=0)


def _largest_difference(a, b) -> float:
    return largest(a - b)


def _norm_of_difference(a, b) -> float:
    return np.linalg.norm(a - b)


def _differences(a, b) -> np.ndarray:
    return np.abs(a - b)


def _compare(actual, expected, tolerance, size, distance, what):
    """Fails unless distance(actual, expected) is within the allowance; `size` None takes the distance from zero."""
    stored = expected if isinstance(expected, Float32) else Float32(np.asarray(expected), known=True)
    actual, value, what = _double(actual), _double(stored.value), what or stored.name
    assert actual.shape == value.shape, f"{what}: shape {actual.shape}, stored is {value.shape}"
    size = distance(value, np.zeros_like(value)) if size is None else size
    error, tolerance = distance(actual, value), tolerance(size)
    if np.all(error <= tolerance):
        return
    allowed = stored.allowance(tolerance, size, distance)
    if np.all(error <= allowed):
        return
    excess = np.ravel(np.where(error <= allowed, 0, error / np.maximum(allowed, 1e-300)))
    place = int(np.argmax(np.where(np.isnan(excess), np.inf, excess)))
    difference, limit = np.ravel(error)[place], np.ravel(np.broadcast_to(allowed, np.shape(error)))[place]
    raise AssertionError(
        f"{what if isinstance(what, str) else what[place]}: difference {difference:.3g}, allowed {limit:.3g}, "
        f"size of the stored {np.ravel(np.broadcast_to(size, np.shape(error)))[place]:.3g}"
    )


def assert_close_in_norm(actual, expected, tolerance: float, what: str = ""):
    """|actual - expected| <= tolerance |expected| in the Euclidean norm, shapes equal.

    Args:
      actual: array of any shape, ours.
      expected: array of the same shape, exact, or `Float32`.
      tolerance: relative to the norm of the stored array.
      what: name in the message; empty takes the name of the stored array, if it has one.
    """
    _compare(actual, expected, lambda size: tolerance * size, None, _norm_of_difference, what)


def assert_close_to_largest(
    actual,
    expected,
    tolerance: float = NO_TWIN,
    what: str = "",
    *,
    scale: float | None = None,
    absolute: float = 0.0,
):
    """max |actual - expected| <= tolerance max |expected|, shapes equal; arguments as `assert_close_in_norm`.

    Args:
      scale: the magnitude to compare by, for what is zero but for rounding; None takes the stored array's largest.
      absolute: allowance in the unit of the array, if it is more.
    """
    _compare(actual, expected, lambda size: max(tolerance * size, absolute), scale, _largest_difference, what)


def assert_each_close(actual, expected, tolerance, names, *, scale=None):
    """|actual[i] - expected[i]| <= tolerance[i] for each of N numbers.

    Args:
      actual: [N], ours.
      expected: [N], exact, or `Float32`, whose `own_error` is then a float or [N].
      tolerance: float or [N], in the unit of the numbers.
      names: N names for the message.
      scale: float or [N], the magnitude that counts for rounding; None takes each number's own.
    """
    _compare(actual, expected, lambda size: tolerance, scale, _differences, names)


@functools.cache
def known_digests() -> frozenset[str]:
    """SHA-256 of the files on which the tests' own tolerances are the whole allowance."""
    return frozenset(line.split()[0] for line in KNOWN.read_text().splitlines())


class TrackedNpz:
    """An .npz that remembers which of its keys were read, so that a suite can show that it compared all of them."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._file = np.load(path)
        self.unread = set(self._file.files)
        self.known = hashlib.sha256(path.read_bytes()).hexdigest() in known_digests()

    def __getitem__(self, key: str) -> np.ndarray:
        value = self._file[key]
        self.unread.discard(key)
        return value

    def __contains__(self, key: str) -> bool:
        return key in self._file.files

    def keys(self) -> list[str]:
        """Names of all arrays, none of them counted as read."""
        return list(self._file.files)

    def peek(self, key: str) -> np.ndarray:
        """An array that only widens an allowance: it does not count as read."""
        return self._file[key]

    def float32(self, key: str, twin: str | None = None, own_error=0.0) -> Float32:
        """The result `key` of the float32 run with what the file shows of its error.

        Args:
          key: name of the array; it counts as read.
          twin: name of the same array of the float64 run, which a comparison of its own has to read.
          own_error: see `Float32`.
        """
        exact = None if twin is None else self.peek(twin)
        return Float32(self[key], exact, own_error, self.known, f"{self.path.name}: {key}")

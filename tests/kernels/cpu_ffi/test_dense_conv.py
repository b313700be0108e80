"""The Numba kernels of image convolutions against lax in float64, and the same bytes however they are called."""

import functools
import hashlib
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax import lax

from kernels.cpu_ffi.runtime.availability import unsupported_machine_reason
from kernels.device.image_conv import conv2d

pytestmark = pytest.mark.skipif(unsupported_machine_reason() is not None, reason=str(unsupported_machine_reason()))

CASES = {  # images, height, width, Cin, Cout, side, stride, padding
    "first layer": (2, 33, 20, 3, 64, 3, 1, 1),
    "several panels": (5, 9, 11, 32, 96, 3, 1, 1),
    "no whole vector": (3, 7, 5, 20, 17, 3, 1, 1),
    "stride 2, odd size": (2, 13, 10, 20, 48, 3, 2, 1),
    "stride 2, even size": (2, 8, 12, 16, 32, 3, 2, 1),
    "1 x 1": (2, 6, 7, 24, 40, 1, 1, 0),
    "1 x 1, stride 2": (2, 9, 8, 24, 40, 1, 2, 0),
    "ImageNet stem": (1, 21, 18, 3, 20, 7, 2, 3),
    "7 x 7": (1, 5, 9, 4, 16, 7, 1, 3),
    "no padding": (2, 8, 9, 8, 16, 3, 1, 0),
    "more padding than the kernel": (1, 4, 3, 8, 16, 3, 2, 4),
    "one pixel": (1, 1, 1, 4, 5, 3, 1, 1),
    "several parts": (3, 60, 50, 2, 18, 3, 1, 1),
}


def arrays_of(case, seed=0):
    """x, kernel, cotangent, float32, and the static arguments."""
    images, height, width, cin, cout, side, stride, padding = case
    rng = np.random.default_rng(seed)
    sizes = [(length + 2 * padding - side) // stride + 1 for length in (height, width)]
    shapes = (images, height, width, cin), (side, side, cin, cout), (images, *sizes, cout)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes], {"stride": stride, "padding": padding}


@functools.partial(jax.jit, static_argnames=("stride", "padding"))
def output_and_gradients(x, kernel, cotangent, *, stride, padding):
    out, pull = jax.vjp(lambda x, kernel: conv2d(x, kernel, stride, padding, method="numba"), x, kernel)
    return out, *pull(cotangent)


def exact(x, kernel, cotangent, stride, padding):
    """The same from lax in float64."""

    def conv(x, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        pads = [(padding, padding)] * 2
        return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=numbers)

    @jax.jit
    def run(x, kernel, cotangent):
        out, pull = jax.vjp(conv, x, kernel)
        return out, *pull(cotangent)

    with jax.enable_x64(True):
        return jax.device_get(run(*(np.asarray(array, np.float64) for array in (x, kernel, cotangent))))


def checksum(arrays):
    return hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()


@pytest.mark.parametrize("name", CASES)
def test_equals_lax_in_float64(name):
    arrays, static = arrays_of(CASES[name])
    for got, want in zip(output_and_gradients(*arrays, **static), exact(*arrays, **static), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * np.abs(want).max())


def test_many_items_are_shared_without_a_gap():
    """Few pixels and many channels, which are shared out by taps and columns, and more tiles than items."""
    for case in ((2, 4, 4, 64, 256, 3, 1, 1), (9, 32, 32, 8, 16, 3, 1, 1)):
        arrays, static = arrays_of(case)
        for got, want in zip(output_and_gradients(*arrays, **static), exact(*arrays, **static), strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * np.abs(want).max())


def test_values_outside_of_the_image_are_never_read():
    """An image between two others that are NaN: neither the output nor the gradient by x has one in its place."""
    (x, kernel, cotangent), static = arrays_of((3, 5, 6, 16, 16, 3, 1, 1))
    want = output_and_gradients(x[1:2], kernel, cotangent[1:2], **static)
    x[[0, 2]], cotangent[[0, 2]] = np.nan, np.nan
    got = output_and_gradients(x, kernel, cotangent, **static)
    for a, b in zip(got[:2], want[:2]):
        np.testing.assert_array_equal(a[1:2], b)


REPEATED = (3, 60, 50, 3, 20, 3, 2, 1)


def repeated_checksum():
    arrays, static = arrays_of(REPEATED)
    return checksum(jax.jit(functools.partial(output_and_gradients, **static))(*arrays))


ON_ONE_CPU = """
import os, runpy, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(runpy.run_path(sys.argv[1])["repeated_checksum"]())
"""


def test_one_cpu_and_several_make_the_same_bytes():
    here = {repeated_checksum() for _ in range(5)}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "XLA_FLAGS": ""}
    command = [sys.executable, "-c", ON_ONE_CPU, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {done.stdout.strip()} == here


def test_four_devices_get_what_one_gets():
    (x, kernel, cotangent), static = arrays_of((2, 9, 8, 8, 24, 3, 1, 1))
    run = functools.partial(output_and_gradients, **static)
    xs = np.array([1, -2, 0.5, 3], np.float32)[:, None, None, None, None] * x
    want = [checksum(jax.jit(run)(one, kernel, cotangent)) for one in xs]
    outputs = jax.pmap(run, in_axes=(0, None, None))(xs, kernel, cotangent)
    assert [checksum([part[i] for part in outputs]) for i in range(4)] == want


def test_vmap_equals_a_loop():
    (x, kernel, cotangent), static = arrays_of((2, 5, 6, 8, 16, 3, 1, 1))
    run = functools.partial(output_and_gradients, **static)
    mapped = jax.vmap(run, in_axes=(0, 0, None))(np.stack([x, -x]), np.stack([kernel, 2 * kernel]), cotangent)
    for i, scale in enumerate((1, 2)):
        want = run((1 - 2 * i) * x, scale * kernel, cotangent)
        assert checksum([part[i] for part in mapped]) == checksum(want)

"""How the Numba kernels are called: chosen or not, from threads, on several devices, with the same bytes every time."""

import concurrent.futures
import hashlib
import logging
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from kernels.cpu_ffi.runtime import abi, abi_probe, availability
from kernels.device.attention.api import one_ring_attention
from kernels.device.sparse_conv.api import strided_conv, submanifold_conv, transposed_conv
from kernels.device.trilinear import trilinear_read_out
from kernels.host.tables import Rings, Trilinear

needs_kernels = pytest.mark.skipif(
    availability.unsupported_machine_reason() is not None, reason=str(availability.unsupported_machine_reason())
)
TARGET = "kernels_cpu_"
ROWS, CIN, COUT = 9001, 8, 24


def make_conv(cout=COUT):
    """Features, weights and a table that mirrors itself: voxels in a row along x, with gaps; dW is a sum of two parts.

    Which form is taken is part of a function's trace, and traces are kept by shape: a test that changes the choice has
    a width of its own.
    """
    rng = np.random.default_rng(1)
    present = rng.random(ROWS + 1) < 0.8
    present[[0, -2, -1]] = False
    row = np.arange(ROWS)
    table = np.full((ROWS, 27), ROWS - 1, np.int32)
    for tap, step in ((12, -1), (13, 0), (14, 1)):
        table[:, tap] = np.where(present[row] & present[row + step], row + step, ROWS - 1)
    x = rng.normal(size=(ROWS, CIN)).astype(np.float32) * present[:ROWS, None]
    return x, rng.normal(size=(27, CIN, cout)).astype(np.float32), table


def value_and_grads(x, kernel, table, method=None):
    out, pull = jax.vjp(lambda x, w: submanifold_conv(x, w, table, method=method), x, kernel)
    return out, *pull(out)


def read_out_and_grad(x, table):
    """A read-out at the first eight columns of a convolution's table."""
    corners = table[:, 9:17]
    order = np.argsort(corners.ravel(), kind="stable").astype(np.int32)
    read_out = Trilinear(corners, np.sin(corners, dtype=np.float32), order, corners.ravel()[order])
    out, pull = jax.vjp(lambda x: trilinear_read_out(x, read_out), x)
    return out, *pull(out)


def everything(x, kernel, table):
    return *value_and_grads(x, kernel, table), *read_out_and_grad(x, table)


def checksum(arrays):
    return hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()


def lowered(function, *arguments, platform="cpu"):
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


@needs_kernels
def test_the_kernels_are_chosen_on_cpu_only():
    assert TARGET in lowered(value_and_grads, *make_conv())
    assert TARGET not in lowered(value_and_grads, *make_conv(), platform="cuda")
    assert "stablehlo.while" not in lowered(value_and_grads, *make_conv())


@needs_kernels
def test_every_operation_takes_them():
    x, kernel, _ = make_conv()
    children, slots = np.zeros((8, 8), np.int32), np.zeros(ROWS, np.int32)
    table = np.zeros((ROWS, 4), np.int32)
    rings = Rings(table, table, *[np.zeros(2, np.int32)] * 3)
    corners = np.zeros((4, 8), np.int32)
    read_out = Trilinear(corners, np.zeros((4, 8), np.float32), corners.ravel(), corners.ravel())
    for text in (
        lowered(lambda x: strided_conv(x, kernel[:8], children, slots), x),
        lowered(lambda x: transposed_conv(x, kernel[:8], children, slots), x[:8]),
        lowered(lambda x: one_ring_attention(x, x, x, rings), x),
        lowered(lambda x: trilinear_read_out(x, read_out), x),
    ):
        assert TARGET in text


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_other_types_take_the_xla_form(dtype):
    x, kernel, table = make_conv()
    with jax.enable_x64(True):
        x = jax.numpy.asarray(x, dtype)
        assert TARGET not in lowered(value_and_grads, x, kernel, table)
        with pytest.raises(ValueError, match=dtype):
            submanifold_conv(x, kernel, table, method="numba")


def test_tables_of_64_bits_take_the_xla_form():
    x, kernel, table = make_conv()
    with jax.enable_x64(True):
        assert TARGET not in lowered(value_and_grads, x, kernel, table.astype(np.int64))


def test_the_switch_turns_them_off(monkeypatch):
    monkeypatch.setenv("KERNELS_CPU", "xla")
    assert TARGET not in lowered(value_and_grads, *make_conv(25))
    with pytest.raises(ValueError, match="KERNELS_CPU=xla"):
        submanifold_conv(*make_conv(25), method="numba")


@pytest.fixture
def forget_the_machine():
    availability.unsupported_machine_reason.cache_clear()
    yield
    availability.unsupported_machine_reason.cache_clear()


@pytest.mark.parametrize(
    ("name", "value", "message", "width"),
    [
        ("ffi_version", lambda: (1, 0), "(1, 0)", 26),
        ("ffi_version", lambda: (0, 2), "(0, 2)", 34),
        ("ffi_version", lambda: None, "None", 28),
        ("MACHINES", (("system", "processor"),), "processor", 30),
        ("unsupported_layout_reason", lambda: "a buffer has 56 bytes", "a buffer has 56 bytes", 32),
    ],
)
def test_another_machine_or_jaxlib_is_told_once(monkeypatch, caplog, forget_the_machine, name, value, message, width):
    monkeypatch.setattr(availability, name, value)
    with caplog.at_level(logging.WARNING):
        for cout in (width, width + 1):
            assert TARGET not in lowered(value_and_grads, *make_conv(cout))
    assert len(caplog.records) == 1
    assert message in caplog.text


def test_the_header_of_jaxlib_names_a_version():
    major, minor = availability.ffi_version()
    assert (major, minor) >= (0, 1)


def test_without_cpu_devices_nothing_is_said(monkeypatch, caplog, forget_the_machine):
    """A program on a GPU under JAX_PLATFORMS=cuda never comes to the CPU form."""
    monkeypatch.setattr(availability, "has_cpu_devices", lambda: False)
    assert TARGET not in lowered(value_and_grads, *make_conv(34))
    assert not caplog.records


@needs_kernels
def test_the_trial_call_works_while_a_function_is_traced():
    found = []

    def function(x):
        found.append(abi_probe.unsupported_layout_reason())
        return x.sum()

    spec = jax.sharding.PartitionSpec()
    mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    jax.jit(jax.vmap(jax.grad(function)))(np.zeros((2, 3)))
    jax.jit(jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec))(np.zeros(3))
    with jax.enable_x64(True):
        jax.pmap(function)(np.zeros((4, 3)))
    assert found == [None] * 3


STRUCTS = {
    "FRAME_SIZE": 176,
    "ARGUMENT_BLOCK": 48,
    "RESULT_COUNT": 88,
    "ATTRIBUTE_BLOCK_SIZE": 40,
    "BUFFER_SIZE": 56,
    "BUFFER_RANK": 16,
    "BUFFER_DATA": 40,
    "ARRAY_LENGTH": 16,
    "API_SIZE": 4096,
    "API_OWN_VERSION": 40,
}


@needs_kernels
@pytest.mark.parametrize("name", STRUCTS)
def test_the_trial_call_finds_a_struct_that_is_laid_out_otherwise(monkeypatch, name):
    """What a jaxlib with other structs would look like: the same memory against other expectations."""
    monkeypatch.setattr(abi, name, STRUCTS[name])
    assert abi_probe.unsupported_layout_reason() is not None


@needs_kernels
def test_a_version_that_xla_refuses_is_a_reason(monkeypatch):
    monkeypatch.setattr(abi, "VERSION", (7, 0))
    assert "version" in abi_probe.unsupported_layout_reason()


@needs_kernels
def test_threads_get_what_one_thread_gets():
    """Four threads call two jitted functions at once, many times."""
    arguments = make_conv()
    forward, both = jax.jit(submanifold_conv), jax.jit(value_and_grads)
    want = checksum([forward(*arguments)]), checksum(both(*arguments))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(lambda i=i: checksum([forward(*arguments)] if i % 2 else both(*arguments))) for i in range(40)
        ]
        got = [job.result() for job in jobs]
    assert got == [want[0] if i % 2 else want[1] for i in range(40)]


@needs_kernels
@pytest.mark.parametrize("mapped", ["pmap", "shard_map"])
def test_four_devices_get_what_one_gets(mapped):
    x, kernel, table = make_conv()
    scales = np.array([1, -2, 0.5, 3], np.float32)
    xs = scales[:, None, None] * x
    want = [checksum(jax.jit(value_and_grads)(one, kernel, table)) for one in xs]
    if mapped == "pmap":
        run = jax.pmap(value_and_grads, in_axes=(0, None, None))
    else:
        spec = jax.sharding.PartitionSpec
        mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))

        def body(x, kernel, table):
            return jax.tree.map(lambda a: a[None], value_and_grads(x[0], kernel, table))

        run = jax.jit(
            jax.shard_map(body, mesh=mesh, in_specs=(spec("d"), spec(), spec()), out_specs=spec("d"), check_vma=False)
        )
    for _ in range(3):
        outputs = run(xs, kernel, table)
        assert [checksum([part[i] for part in outputs]) for i in range(4)] == want


ON_ONE_CPU = """
import os, runpy, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax
tests = runpy.run_path(sys.argv[1])
assert "kernels_cpu_" in tests["lowered"](tests["value_and_grads"], *tests["make_conv"]())
arguments = tests["make_conv"]()
run = jax.jit(lambda x, kernel: tests["everything"](x, kernel, arguments[2]))
print(tests["checksum"](run(*arguments[:2])))
"""


@needs_kernels
def test_one_cpu_and_several_make_the_same_bytes():
    x, kernel, table = make_conv()
    run = jax.jit(lambda x, kernel: everything(x, kernel, table))
    here = {checksum(run(x, kernel)) for _ in range(5)}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "XLA_FLAGS": ""}
    command = [sys.executable, "-c", ON_ONE_CPU, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {done.stdout.strip()} == here


WITHOUT_AVX512 = """
import sys, pytest
status = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]])
from kernels.cpu_ffi.loops.simd import LANES
sys.exit(status or (LANES != 8 and f"{LANES} numbers per register"))
"""
ORACLES = (
    "test_numba_convolutions.py::test_equals_the_sums_in_float64[32-20-submanifold]",
    "test_numba_convolutions.py::test_equals_the_sums_in_float64[48-48-transposed]",
    "test_numba_attention.py::test_equals_the_reference_in_float64[5-70-vertex]",
    "test_numba_trilinear.py::test_equals_the_sums_in_float64[70]",
)


@needs_kernels
def test_a_machine_without_avx512_gets_kernels_of_its_own():
    """The same oracles in a process in which Numba compiles for AVX2."""
    features = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"}
    environment = os.environ | features | {"PYTHONPATH": os.pathsep.join(sys.path)}
    tests = [str(pathlib.Path(__file__).with_name(name)) for name in ORACLES]
    command = [sys.executable, "-c", WITHOUT_AVX512, *tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

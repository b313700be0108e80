"""`conv2d`: which form is taken, its types and its errors. The Numba kernels have tests of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from kernels.cpu_ffi.runtime.availability import unsupported_machine_reason
from kernels.device.image_conv import conv2d

TARGET = "kernels_cpu_dense"
X = np.random.default_rng(0).normal(size=(2, 5, 6, 4)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 4, 8)).astype(np.float32)


def squares(x, kernel, method=None):
    return jnp.square(conv2d(x, kernel, 2, 1, method=method)).sum()


gradients = jax.grad(squares, argnums=(0, 1))


def lowered(x, kernel, platform="cpu"):
    return jax.jit(gradients).trace(x, kernel).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.skipif(unsupported_machine_reason() is not None, reason=str(unsupported_machine_reason()))
def test_the_kernels_are_chosen_on_cpu_and_for_float32_only():
    assert TARGET in lowered(X, KERNEL)
    assert TARGET not in lowered(X, KERNEL, platform="cuda")
    assert TARGET not in lowered(X.astype(jnp.bfloat16), KERNEL)
    with jax.enable_x64(True):
        assert TARGET not in lowered(X.astype(np.float64), KERNEL)
        with pytest.raises(ValueError, match="float64"):
            conv2d(X.astype(np.float64), KERNEL, method="numba")


def test_the_switch_turns_them_off(monkeypatch):
    monkeypatch.setenv("KERNELS_CPU", "xla")
    x = np.concatenate([X, X])  # traces are kept by shape
    assert TARGET not in lowered(x, KERNEL)
    with pytest.raises(ValueError, match="KERNELS_CPU=xla"):
        conv2d(x, KERNEL, method="numba")


@pytest.mark.parametrize("method", [None, "xla"])
@pytest.mark.parametrize(("stride", "padding", "side"), [(1, 1, 3), (2, 1, 3), (2, 0, 1), (2, 3, 7), (1, 0, 3)])
def test_equals_lax_and_its_gradients_in_float64(method, stride, padding, side):
    with jax.enable_x64(True):
        x = X.astype(np.float64)
        kernel = np.random.default_rng(2).normal(size=(side, side, 4, 8))

        def reference(x, kernel):
            numbers = ("NHWC", "HWIO", "NHWC")
            pads = [(padding, padding)] * 2
            return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=numbers)

        def ours(x, kernel):
            return conv2d(x, kernel, stride, padding, method=method)

        want, pull = jax.vjp(jax.jit(reference), x, kernel)
        got, custom_pull = jax.vjp(jax.jit(ours), x, kernel)
        for a, b in zip((got, *custom_pull(want)), (want, *pull(want)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_weights_of_another_type_are_cast_and_get_their_gradient_in_it():
    kernel = jnp.asarray(KERNEL, jnp.bfloat16)
    assert conv2d(X, kernel).dtype == np.float32
    np.testing.assert_array_equal(conv2d(X, kernel), conv2d(X, np.asarray(kernel, np.float32)))
    dx, dw = gradients(X, kernel)
    assert (dx.dtype, dw.dtype) == (np.float32, jnp.bfloat16)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="method 'fft'"):
        conv2d(X, KERNEL, method="fft")
    with pytest.raises(ValueError, match="stride=3"):
        conv2d(X, KERNEL, 3)
    with pytest.raises(ValueError, match="padding=-1"):
        conv2d(X, KERNEL, 1, -1)
    with pytest.raises(ValueError, match="7 x 7"):
        conv2d(X, np.zeros((7, 7, 4, 8), np.float32))
    with pytest.raises(AssertionError):
        conv2d(X, KERNEL[:, :, :3])
    with pytest.raises(AssertionError):
        conv2d(X, KERNEL[:2])

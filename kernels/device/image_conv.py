"""Convolution of images, channels last: XLA's, and Numba kernels where XLA's is slow."""

import functools

import chex
import jax
from jax import lax

from kernels.cpu_ffi import bind as on_cpu
from kernels.device.dispatch import by_platform, check_method


@functools.partial(jax.jit, static_argnames=("stride", "padding", "method"))
def conv2d(
    x: jax.Array, kernel: jax.Array, stride: int = 1, padding: int = 0, *, method: str | None = None
) -> jax.Array:
    """y[n, h, w] = sum_ij x[n, h * stride + i - padding, w * stride + j - padding] @ kernel[i, j], zero outside of x.

    Args:
        x: float [N, H, W, Cin], images.
        kernel: float [side, side, Cin, Cout], correlation order. It is cast to the dtype of `x`; its gradient has its
            own dtype.
        stride: 1 or 2, of both axes.
        padding: zero pixels on each side of both axes.
        method: "numba" (compiled by Numba; float32 on CPU), "xla" (lax.conv_general_dilated), or None: numba where
            possible on CPU, xla elsewhere.

    Returns:
        [N, (H + 2 padding - side) // stride + 1, the same of W, Cout] in the dtype of `x`. Reverse mode only.

    Raises:
        AssertionError: shapes do not fit.
        ValueError: unknown method or stride, padding below 0, a kernel larger than the padded image, or "numba" where
            it is not possible.
    """
    check_method(method, ("numba", "xla"))
    chex.assert_rank([x, kernel], 4)
    side = kernel.shape[0]
    chex.assert_shape(kernel, (side, side, x.shape[3], None))
    if stride not in (1, 2) or padding < 0:
        raise ValueError(f"{stride=}, {padding=}: known strides are 1 and 2, the padding is not negative")
    if min(x.shape[1:3]) + 2 * padding < side:
        raise ValueError(f"a kernel of {side} x {side} does not fit into images {x.shape[1:3]} with {padding=}")
    return _conv(method, stride, padding, x, kernel)


def _xla(x, kernel, *, stride, padding, blocked=False):  # blocked or not, the form is the same
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=numbers)


def _xla_gradients(x, kernel, cotangent, **static):
    (dx,) = jax.linear_transpose(lambda x: _xla(x, kernel, **static), x)(cotangent)
    (dw,) = jax.linear_transpose(lambda kernel: _xla(x, kernel, **static), kernel)(cotangent)
    return dx, dw


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _conv(method: str | None, stride: int, padding: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
    forms = {"numba": on_cpu.conv2d, "stride": stride, "padding": padding}
    return by_platform(_xla, method, x, kernel.astype(x.dtype), **forms)


def _conv_forward(method, stride, padding, x, kernel):
    return _conv(method, stride, padding, x, kernel), (x, kernel)


def _conv_backward(method, stride, padding, saved, cotangent):
    x, kernel = saved
    forms = {"numba": on_cpu.conv2d_gradients, "stride": stride, "padding": padding}
    dx, dw = by_platform(_xla_gradients, method, x, kernel.astype(x.dtype), cotangent, **forms)
    return dx, dw.astype(kernel.dtype)


_conv.defvjp(_conv_forward, _conv_backward)

"""The operations of `kernels.device` through the Numba kernels, on CPU: JAX functions of float32 features.

Arguments and results are those of the XLA forms, and tables are int32. An absent entry, the last row or anything out of
range, adds nothing. Types and shapes are checked (AssertionError), since the kernels read raw memory.
"""

from types import ModuleType

import chex
import jax
import jax.numpy as jnp

from kernels.host.tables import Rings

Edges = tuple[jax.Array, jax.Array]

MIN_ITEMS = 32
"""Where there are fewer tiles or parts, columns and taps are shared out as well."""
PART_ROWS = 4096
MAX_PARTS = 16
"""Rows or pixels per partial sum of a weight gradient, and the largest number of those."""


def _kernels() -> ModuleType:
    """`kernels.cpu_ffi.runtime.registry`, which imports Numba. Callers that use no kernel do not wait for it."""
    from kernels.cpu_ffi.runtime import registry

    return registry


def gather_gemm(source: jax.Array, kernel: jax.Array, table: jax.Array) -> jax.Array:
    """out[n] = sum_t source[table[n, t]] @ kernel[t]; source [M, A], kernel [T, A, B], table [N, T] -> [N, B]."""
    chex.assert_shape([source, kernel, table], [(None, kernel.shape[1]), (table.shape[1], None, None), (None, None)])
    return _multiply("gather_gemm", source, kernel, table)


def slot_gemm(source: jax.Array, kernel: jax.Array, slots: jax.Array) -> jax.Array:
    """out[p] = source[slots[p] // 8] @ kernel[slots[p] % 8]; source [Q, A], kernel [8, A, B], slots [P] -> [P, B]."""
    chex.assert_shape([source, kernel, slots], [(None, kernel.shape[1]), (8, None, None), (None,)])
    return _multiply("slot_gemm", source, kernel, slots)


def _multiply(name: str, source: jax.Array, kernel: jax.Array, table: jax.Array) -> jax.Array:
    chex.assert_type([source, kernel, table], [jnp.float32, jnp.float32, jnp.int32])
    loops, lanes = _kernels().sparse_conv, _kernels().simd.LANES
    by_slots = name == "slot_gemm"
    rows, width = table.shape[0], kernel.shape[2]
    kernel = _kernels().whole_vectors(kernel)
    step = columns = kernel.shape[2]
    tiles = -(-rows // (loops.SLOT_TILE if by_slots else loops.TILE))
    while tiles * -(-columns // step) < MIN_ITEMS and step > 2 * lanes:
        step = -(-step // (4 * lanes)) * 2 * lanes
    groups = -(-columns // step)
    plan = int(by_slots), groups, step
    (out,) = _kernels().call(name, [(rows, columns)], (source, kernel, table), tiles * groups, *plan)
    return out[:, :width]


def gather_outer(rows: jax.Array, source: jax.Array, table: jax.Array) -> jax.Array:
    """out[t] = sum_n rows[n]^T source[table[n, t]]; rows [N, A], source [M, B], table [N, T] -> [T, A, B]."""
    chex.assert_shape([rows, source, table], [(table.shape[0], None), (None, None), (None, None)])
    chex.assert_type([rows, source, table], [jnp.float32, jnp.float32, jnp.int32])
    width = source.shape[1]
    source = _kernels().whole_vectors(source)
    count, taps = table.shape
    parts = min(max(count // PART_ROWS, 1), MAX_PARTS)
    groups = min(taps, -(-MIN_ITEMS // parts))
    shape = (parts, taps, rows.shape[1], source.shape[1])
    (out,) = _kernels().call("gather_outer", [shape], (rows, source, table), parts * groups, parts, groups)
    return out.sum(axis=0)[..., :width]


def gather_gemm_outer(
    rows: jax.Array, source: jax.Array, kernel: jax.Array, table: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(gather_gemm(source, kernel, table) [N, B], gather_outer(rows, source, table) [T, A, B])."""
    return gather_gemm(source, kernel, table), gather_outer(rows, source, table)


def slot_gemm_outer(
    source: jax.Array, rows: jax.Array, kernel: jax.Array, slots: jax.Array, table: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(slot_gemm(source, kernel, slots) [P, B], gather_outer(source, rows, table) [T, A, B])."""
    return slot_gemm(source, kernel, slots), gather_outer(source, rows, table)


def _check_edges(rings: Rings, edges: Edges, kind: jnp.dtype, *features: jax.Array) -> None:
    tables = rings[:5]
    chex.assert_type([*tables, *edges, *features], [jnp.int32] * 5 + [kind] * 2 + [jnp.float32] * len(features))
    chex.assert_equal_shape([rings.ring, rings.reverse, edges[0]])
    chex.assert_equal_shape([*tables[2:], edges[1]])
    chex.assert_shape(features, (rings.ring.shape[0], features[0].shape[1]))


def edge_dots(targets: jax.Array, sources: jax.Array, real: Edges, rings: Rings) -> Edges:
    """targets[i] . sources[j] for every `real` edge j -> i, zero for the others; targets, sources [V, D]."""
    _check_edges(rings, real, jnp.bool_, targets, sources)
    loops, whole = _kernels().attention, _kernels().whole_vectors
    tiles = -(-rings.ring.shape[0] // loops.TILE)
    extra_tiles = -(-rings.overflow_target.shape[0] // loops.EDGE_TILE)
    operands = (whole(targets), whole(sources), *real, rings.ring, rings.overflow_target, rings.overflow_source)
    return tuple(_kernels().call("edge_dots", [part.shape for part in real], operands, tiles + extra_tiles, tiles))


def edge_sums(weights: Edges, sources: jax.Array, rings: Rings, *, opposite: bool) -> jax.Array:
    """out[i] = sum over the edges j -> i of weight * sources[j], or of the weight of i -> j; sources [V, D]."""
    _check_edges(rings, weights, jnp.float32, sources)
    columns = _kernels().whole_vectors(sources)
    tiles = -(-rings.ring.shape[0] // _kernels().attention.TILE)
    operands = (*weights, columns, *rings[:5])
    (out,) = _kernels().call("edge_sums", [columns.shape], operands, tiles, int(opposite))
    return out[:, : sources.shape[1]]


def interpolate(features: jax.Array, corners: jax.Array, weights: jax.Array) -> jax.Array:
    """out[v] = sum_c weights[v, c] * features[corners[v, c]]; features [P, C], corners, weights [V, 8] -> [V, C]."""
    chex.assert_type([features, corners, weights], [jnp.float32, jnp.int32, jnp.float32])
    chex.assert_shape([corners, weights], (None, 8))
    columns = _kernels().whole_vectors(features)
    shape = corners.shape[0], columns.shape[1]
    items = -(-shape[0] // _kernels().weighted_sums.TILE)
    (out,) = _kernels().call("table_sums", [shape], (columns, weights, corners), items)
    return out[:, : features.shape[1]]


def segment_sum(
    source: jax.Array, weights: jax.Array | None, order: jax.Array, segments: jax.Array, *, num_segments: int, fan: int
) -> jax.Array:
    """out[s] = sum of weights[order[e]] * source[order[e] // fan] over the entries e with segments[e] == s.

    source [N, C], order, segments [E] -> [num_segments, C]. The last segment's sum is zero. ValueError unless `fan` is
    a power of two.
    """
    chex.assert_type([source, order, segments], [jnp.float32, jnp.int32, jnp.int32])
    chex.assert_equal_shape([order, segments])
    if fan & (fan - 1):
        raise ValueError(f"fan must be a power of two, not {fan}")
    plan = num_segments, fan.bit_length() - 1, int(weights is not None)
    weights = jnp.ones(1, jnp.float32) if weights is None else weights
    chex.assert_type(weights, jnp.float32)
    columns = _kernels().whole_vectors(source)
    items = -(-num_segments // _kernels().weighted_sums.TILE)
    operands = columns, weights, order, segments
    (out,) = _kernels().call("segment_sums", [(num_segments, columns.shape[1])], operands, items, *plan)
    return out[:, : source.shape[1]]


def conv2d(x: jax.Array, kernel: jax.Array, *, stride: int, padding: int) -> jax.Array:
    """y[n, h, w] = sum_ij x[n, h * stride + i - padding, w * stride + j - padding] @ kernel[i, j], zero outside.

    x [N, H, W, A], kernel [side, side, A, B] -> [N, H', W', B]. The stride of image convolutions is a power of two.
    """
    height, width = ((length + 2 * padding - kernel.shape[0]) // stride + 1 for length in x.shape[1:3])
    return _convolve(x, kernel, (x.shape[0], height, width), (stride, 1, padding))


def conv2d_gradients(
    x: jax.Array, kernel: jax.Array, cotangent: jax.Array, *, stride: int, padding: int
) -> tuple[jax.Array, jax.Array]:
    """The gradients by x [N, H, W, A] and by the kernel [side, side, A, B], for a cotangent [N, H', W', B].

    The first one is a convolution with the mirrored kernel over a grid with gaps.
    """
    chex.assert_type(x, jnp.float32)
    side = kernel.shape[0]
    mirrored = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    dx = _convolve(cotangent, mirrored, x.shape[:3], (1, stride, side - 1 - padding))
    loops, taps, width = _kernels().dense_conv, side * side, cotangent.shape[3]
    cotangent = _kernels().whole_vectors(cotangent)
    images, *size, columns = cotangent.shape
    parts = min(max(images * size[0] * size[1] // PART_ROWS, 1), MAX_PARTS)
    groups = min(taps, -(-MIN_ITEMS // parts))
    slices = min(-(-MIN_ITEMS // (parts * groups)), -(-columns // loops.PANEL))
    step = -(-columns // (slices * loops.PANEL)) * loops.PANEL
    items = parts * groups * -(-columns // step)
    plan = (*size, *x.shape[1:3], stride, 0, padding, side, parts, groups, step)
    shape = parts, taps, x.shape[3], columns
    (out,) = _kernels().call("dense_outer", [shape], (x, cotangent), items, *plan)
    return dx, out.sum(axis=0)[..., :width].reshape(side, side, x.shape[3], width)


def _convolve(
    source: jax.Array, kernel: jax.Array, shape: tuple[int, int, int], geometry: tuple[int, int, int]
) -> jax.Array:
    """[N, H', W', A] and [side, side, A, B] -> [*shape, B].

    `kernels.cpu_ffi.loops.dense_conv` defines the geometry: up, down and before.
    """
    chex.assert_type([source, kernel], jnp.float32)
    loops, side, width = _kernels().dense_conv, kernel.shape[0], kernel.shape[3]
    up, down, before = geometry
    kernel = _kernels().whole_vectors(kernel)
    columns = kernel.shape[3]
    panel = loops.PANEL if columns % loops.PANEL == 0 else loops.LANES
    panels = kernel.reshape(side * side, -1, columns // panel, panel).transpose(2, 0, 1, 3)
    tiles = -(-shape[0] * shape[1] * shape[2] // loops.TILE)
    groups = min(-(-MIN_ITEMS // tiles), columns // panel)
    plan = (*shape[1:], *source.shape[1:3], up, down.bit_length() - 1, before, side, groups)
    (out,) = _kernels().call("dense_conv", [(*shape, columns)], (source, panels), tiles * groups, *plan)
    return out[..., :width]

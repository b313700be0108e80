"""Register-blocked products over lists of row pairs, as LLVM vector code: the inner loops of the sparse convolutions.

A pair is a row of a source and a row of a target, given by two lists of addresses. A block of them times a block of
LANES-wide columns stays in registers through the whole sum.
"""

from collections.abc import Callable

from llvmlite import ir
from numba import njit
from numba.core.registry import cpu_target
from numba.core.types import UniTuple, int64
from numba.extending import intrinsic

from kernels.cpu_ffi.runtime.memory import I32, I64, external, pointer

FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
"""What Numba compiles for, "+avx2" and the like: this machine, or what NUMBA_CPU_FEATURES says."""
LANES = 16 if "+avx512f" in FEATURES else 8 if "+avx" in FEATURES else 4
"""float32 numbers per vector register."""
WIDEST = (16, 12, 8) if LANES == 16 else (8, 6, 4)
"""Rows per block for 1, 2 and 3 vectors: rows * vectors sums, the vectors and one spread number fill 32 or 16
registers."""
WIDEST_OUTER = (8, 8, 8) if LANES == 16 else (8, 6, 4)
"""The same for the outer product."""

FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
ZERO = ir.Constant(VECTOR, [0.0] * LANES)
WIDE = ir.VectorType(ir.DoubleType(), LANES)
WIDE_ZERO = ir.Constant(WIDE, [0.0] * LANES)


def load_vector(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.load(pointer(builder, address, VECTOR), typ=VECTOR, align=4)


def store_vector(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
    builder.store(value, pointer(builder, address, VECTOR), align=4)


def spread(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    """A vector of LANES times the same number."""
    nothing = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, number, I32(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))


def load_spread(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return spread(builder, builder.load(pointer(builder, address, FLOAT), typ=FLOAT))


def multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a * b + c for vectors of float32 or float64."""
    name = f"llvm.fmuladd.v{LANES}f{32 if a.type == VECTOR else 64}"
    return builder.call(external(builder, name, a.type, a.type, a.type, a.type), [a, b, c])


def counted_loop(builder: ir.IRBuilder, count: ir.Value, carried: list[ir.Value], body: Callable) -> list[ir.Value]:
    """carried = body(i, carried) for i in range(count), count >= 1, with everything carried in registers."""
    before = builder.block
    loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    values = [I64(0), *carried]
    phis = [builder.phi(value.type) for value in values]
    for phi, value in zip(phis, values):
        phi.add_incoming(value, before)
    carried = body(phis[0], phis[1:])
    following = builder.add(phis[0], I64(1))
    for phi, value in zip(phis, [following, *carried]):
        phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", following, count), loop, after)
    builder.position_at_end(after)
    return carried


def _add_block(builder, addresses, sums, vectors):
    """Adds sums[r * vectors + v] to vector v at addresses[r]."""
    for r, start in enumerate(addresses):
        for v in range(vectors):
            address = builder.add(start, I64(4 * LANES * v))
            total = builder.fadd(load_vector(builder, address), sums[r * vectors + v])
            store_vector(builder, address, total)


def _row_block(rows: int, vectors: int) -> Callable:
    """An intrinsic: target[r] += source[r] @ weights for `rows` listed pairs and `vectors` vectors of columns."""

    @intrinsic
    def block(typing_context, lists, column, weights, stride, depth):
        def emit(context, builder, signature, args):
            lists, column, weights, stride, depth = args
            sources, targets = (builder.extract_value(lists, i) for i in range(2))

            def listed(addresses, r):
                return builder.load(pointer(builder, builder.add(addresses, I64(8 * r)), I64), typ=I64)

            source = [listed(sources, r) for r in range(rows)]
            target = [builder.add(listed(targets, r), column) for r in range(rows)]

            def body(i, carried):
                row, *sums = carried
                columns = [load_vector(builder, builder.add(row, I64(4 * LANES * v))) for v in range(vectors)]
                offset = builder.shl(i, I64(2))
                for r in range(rows):
                    number = load_spread(builder, builder.add(source[r], offset))
                    for v in range(vectors):
                        at = r * vectors + v
                        sums[at] = multiply_add(builder, number, columns[v], sums[at])
                return [builder.add(row, stride), *sums]

            sums = counted_loop(builder, depth, [weights] + [ZERO] * (rows * vectors), body)[1:]
            _add_block(builder, target, sums, vectors)
            return I64(0)

        return int64(UniTuple(int64, 2), int64, int64, int64, int64), emit

    return block


def _outer_block(rows: int, vectors: int) -> Callable:
    """An intrinsic: out[r] += sum over pairs of left[pair, r] * right[pair], for `rows` rows of the result and
    `vectors` vectors of its columns, summed from zero and added at the end."""

    @intrinsic
    def block(typing_context, lists, left_column, right_column, out, stride):
        def emit(context, builder, signature, args):
            lists, left_column, right_column, out, stride = args
            pairs, lefts, rights = (builder.extract_value(lists, i) for i in range(3))

            def listed(addresses, i):
                at = builder.add(addresses, builder.shl(i, I64(3)))
                return builder.load(pointer(builder, at, I64), typ=I64)

            def body(i, sums):
                left = builder.add(listed(lefts, i), left_column)
                right = builder.add(listed(rights, i), right_column)
                columns = [load_vector(builder, builder.add(right, I64(4 * LANES * v))) for v in range(vectors)]
                sums = list(sums)
                for r in range(rows):
                    number = load_spread(builder, builder.add(left, I64(4 * r)))
                    for v in range(vectors):
                        at = r * vectors + v
                        sums[at] = multiply_add(builder, number, columns[v], sums[at])
                return sums

            sums = counted_loop(builder, pairs, [ZERO] * (rows * vectors), body)
            _add_block(builder, [builder.add(out, builder.mul(stride, I64(r))) for r in range(rows)], sums, vectors)
            return I64(0)

        return int64(UniTuple(int64, 3), int64, int64, int64, int64), emit

    return block


@intrinsic
def store_dot(typing_context, out, a, b, vectors):
    """Writes to the float32 at `out` the dot product of two rows of `vectors` * LANES numbers, summed in float64: an
    error in a softmax's large scores comes back as a relative error of its weights."""

    def emit(context, builder, signature, args):
        out, a, b, vectors = args

        def body(i, carried):
            offset = builder.mul(i, I64(4 * LANES))
            pair = (load_vector(builder, builder.add(row, offset)) for row in (a, b))
            left, right = (builder.fpext(vector, WIDE) for vector in pair)
            return [multiply_add(builder, left, right, carried[0])]

        (lanes,) = counted_loop(builder, vectors, [WIDE_ZERO], body)
        half = LANES // 2
        while half:  # the upper half is added to the lower one until one number is left
            nothing = ir.Constant(lanes.type, ir.Undefined)
            low, high = (
                builder.shuffle_vector(
                    lanes, nothing, ir.Constant(ir.VectorType(I32, half), list(range(first, first + half)))
                )
                for first in (0, half)
            )
            lanes = builder.fadd(low, high)
            half //= 2
        total = builder.fptrunc(builder.extract_element(lanes, I32(0)), FLOAT)
        builder.store(total, pointer(builder, out, FLOAT))
        return I64(0)

    return int64(int64, int64, int64, int64), emit


def row_products(vectors: int) -> Callable:
    """A Numba function: target += source @ weights for all listed pairs, widest blocks first.

    (lists: number of pairs and addresses of the lists of sources and targets,
    column: byte offset in the targets, weights: address of the block
    [depth, LANES * vectors], stride: its bytes per row, depth)
    """
    widest = WIDEST[vectors - 1]
    widest_block, by_4, by_2, by_1 = (_row_block(rows, vectors) for rows in (widest, 4, 2, 1))

    @njit(error_model="numpy")
    def products(lists, column, weights, stride, depth):
        pairs, sources, targets = lists
        i = 0
        while i + widest <= pairs:
            widest_block((sources + 8 * i, targets + 8 * i), column, weights, stride, depth)
            i += widest
        while i + 4 <= pairs:
            by_4((sources + 8 * i, targets + 8 * i), column, weights, stride, depth)
            i += 4
        if i + 2 <= pairs:
            by_2((sources + 8 * i, targets + 8 * i), column, weights, stride, depth)
            i += 2
        if i < pairs:
            by_1((sources + 8 * i, targets + 8 * i), column, weights, stride, depth)

    return products


def outer_products(vectors: int) -> Callable:
    """A Numba function: out += left^T right over all listed pairs, one block of LANES * vectors columns of the result.

    (lists: number of pairs and addresses of the lists of left and right rows,
    right_column: byte offset in the right rows, out: address of the
    block, stride: its bytes per row, width: number of its rows)
    """
    widest = WIDEST_OUTER[vectors - 1]
    widest_block, by_2, by_1 = (_outer_block(rows, vectors) for rows in (widest, 2, 1))

    @njit(error_model="numpy")
    def products(lists, right_column, out, stride, width):
        c = 0
        while c + widest <= width:
            widest_block(lists, 4 * c, right_column, out + stride * c, stride)
            c += widest
        while c + 2 <= width:
            by_2(lists, 4 * c, right_column, out + stride * c, stride)
            c += 2
        if c < width:
            by_1(lists, 4 * c, right_column, out + stride * c, stride)

    return products


row_products_1, row_products_2, row_products_3 = (row_products(vectors) for vectors in (1, 2, 3))
outer_products_1, outer_products_2, outer_products_3 = (outer_products(vectors) for vectors in (1, 2, 3))
outer_row_1, outer_row_2, outer_row_4 = (_outer_block(1, vectors) for vectors in (1, 2, 4))


@njit(error_model="numpy")
def multiply_columns(lists, first, last, weights, stride, depth):
    """Columns first..last (whole vectors) of target += source @ weights for the listed pairs."""
    c = first
    if (last - first) % (3 * LANES) == 0:
        while c < last:
            row_products_3(lists, 4 * c, weights + 4 * c, stride, depth)
            c += 3 * LANES
    while c + 2 * LANES <= last:
        row_products_2(lists, 4 * c, weights + 4 * c, stride, depth)
        c += 2 * LANES
    if c < last:
        row_products_1(lists, 4 * c, weights + 4 * c, stride, depth)


@njit(error_model="numpy")
def outer_columns(lists, out, width, columns):
    """out [width, columns] += left^T right over the listed pairs, whole vectors of columns."""
    c = 0
    if columns % (3 * LANES) == 0:
        while c < columns:
            outer_products_3(lists, 4 * c, out + 4 * c, 4 * columns, width)
            c += 3 * LANES
    while c + 2 * LANES <= columns:
        outer_products_2(lists, 4 * c, out + 4 * c, 4 * columns, width)
        c += 2 * LANES
    if c < columns:
        outer_products_1(lists, 4 * c, out + 4 * c, 4 * columns, width)


@njit(error_model="numpy")
def add_weighted(count, weights, rows, out, columns):
    """out [columns] += sum of the listed weights times the listed rows, whole vectors of columns."""
    c = 0
    while c + 4 * LANES <= columns:
        outer_row_4((count, weights, rows), 0, 4 * c, out + 4 * c, 0)
        c += 4 * LANES
    if c + 2 * LANES <= columns:
        outer_row_2((count, weights, rows), 0, 4 * c, out + 4 * c, 0)
        c += 2 * LANES
    if c < columns:
        outer_row_1((count, weights, rows), 0, 4 * c, out + 4 * c, 0)

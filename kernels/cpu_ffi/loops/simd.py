"""Register-blocked products over lists of rows, as LLVM vector code: the inner loops of all kernels.

Rows are given by lists of addresses. A block of them times LANES-wide columns stays in registers through the whole sum.
"""

from collections.abc import Callable, Sequence

from llvmlite import ir
from numba import njit
from numba.core.registry import cpu_target

from kernels.cpu_ffi.runtime.memory import I32, I64, external, instruction, load_as, pointer

FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
"""What Numba compiles for, "+avx2" and the like: this machine, or the value of NUMBA_CPU_FEATURES."""
LANES = 16 if "+avx512f" in FEATURES else 8 if "+avx" in FEATURES else 4
"""float32 numbers per vector register; features come in whole ones."""
WIDEST = (16, 12, 8) if LANES == 16 else (8, 6, 4)
"""Rows per block for 1, 2 and 3 vectors: rows * vectors sums, the vectors and one spread number fill 32 or 16
registers."""
WIDEST_OUTER = (8, 8, 8) if LANES == 16 else (8, 6, 4)
"""The same for the outer product."""

FLOAT = ir.FloatType()
VECTOR, WIDE = ir.VectorType(FLOAT, LANES), ir.VectorType(ir.DoubleType(), LANES)


def load_vector(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    """LANES float32 numbers at `address`."""
    return builder.load(pointer(builder, address, VECTOR), typ=VECTOR, align=4)


def load_spread(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    """A vector of LANES times the float32 number at `address`."""
    nothing = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, load_as(builder, address, FLOAT), I32(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))


def load_listed(builder: ir.IRBuilder, addresses: ir.Value, place: ir.Value) -> ir.Value:
    """The address at a place of a list."""
    return load_as(builder, builder.add(addresses, builder.shl(place, I64(3))), I64)


def multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a * b + c for vectors of float32 or float64."""
    name = f"llvm.fmuladd.v{LANES}f{32 if a.type == VECTOR else 64}"
    return builder.call(external(builder, name, a.type, a.type, a.type, a.type), [a, b, c])


def summed(builder: ir.IRBuilder, count: ir.Value, sums: Sequence[ir.Value], body: Callable) -> list[ir.Value]:
    """sums = body(i, sums) for i in range(count), count >= 1, with all sums kept in registers."""
    before = builder.block
    loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    values = [I64(0), *sums]
    phis = [builder.phi(value.type) for value in values]
    for phi, value in zip(phis, values):
        phi.add_incoming(value, before)
    sums = body(phis[0], phis[1:])
    following = builder.add(phis[0], I64(1))
    for phi, value in zip(phis, [following, *sums]):
        phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", following, count), loop, after)
    builder.position_at_end(after)
    return sums


def of_rows(builder: ir.IRBuilder, rows: Sequence[ir.Value], lists: ir.Value, column: ir.Value, matrix: ir.Value):
    """Addresses for target[r] += source[r] @ matrix, for listed rows of sources and targets.

    Returns what gives the addresses of the numbers and of the first vector that are multiplied in step i, and the
    addresses of the sums.
    """
    sources, targets = (builder.extract_value(lists, i) for i in range(2))
    address, stride = (builder.extract_value(matrix, i) for i in range(2))
    source = [load_listed(builder, sources, row) for row in rows]
    target = [builder.add(load_listed(builder, targets, row), column) for row in rows]
    return (
        lambda i: [builder.add(start, builder.shl(i, I64(2))) for start in source],
        lambda i: builder.add(address, builder.mul(i, stride)),
        target,
    )


def of_outer(builder: ir.IRBuilder, rows: Sequence[ir.Value], lists: ir.Value, column: ir.Value, matrix: ir.Value):
    """Addresses for matrix[r] += sum over pairs of left[pair, r] * right[pair], listed rows of both; as `of_rows`."""
    lefts, rights = (builder.extract_value(lists, i) for i in range(2))
    address, stride = (builder.extract_value(matrix, i) for i in range(2))

    def numbers(i):
        left = load_listed(builder, lefts, i)
        return [builder.add(left, builder.shl(row, I64(2))) for row in rows]

    return (
        numbers,
        lambda i: builder.add(load_listed(builder, rights, i), column),
        [builder.add(address, builder.mul(row, stride)) for row in rows],
    )


def block(product: Callable, rows: int, vectors: int) -> Callable:
    """A function for compiled code: one block of `of_rows` or `of_outer`, summed from zero and added at the end.

    (lists: two addresses of lists, first: row of the block, column: byte offset in the second rows, matrix: address and
    bytes per row, depth: number of steps)
    """

    @instruction
    def add(builder, lists, first, column, matrix, depth):
        indices = [builder.add(first, I64(r)) for r in range(rows)]
        numbers, vector, starts = product(builder, indices, lists, column, matrix)

        def body(i, sums):
            start, sums, after = vector(i), iter(sums), []
            columns = [load_vector(builder, builder.add(start, I64(4 * LANES * v))) for v in range(vectors)]
            for address in numbers(i):
                number = load_spread(builder, address)
                after += [multiply_add(builder, number, column, next(sums)) for column in columns]
            return after

        sums = iter(summed(builder, depth, [ir.Constant(VECTOR, [0.0] * LANES)] * (rows * vectors), body))
        for start in starts:
            for v in range(vectors):
                address = builder.add(start, I64(4 * LANES * v))
                total = builder.fadd(load_vector(builder, address), next(sums))
                builder.store(total, pointer(builder, address, VECTOR), align=4)

    return add


@instruction
def store_dot(builder, out, a, b, vectors):
    """Writes to the float32 at `out` the dot product of two rows of `vectors` * LANES numbers, summed in float64.

    An error in a softmax's large scores would come back as a relative error of its weights.
    """

    def body(i, sums):
        offset = builder.mul(i, I64(4 * LANES))
        left, right = (builder.fpext(load_vector(builder, builder.add(row, offset)), WIDE) for row in (a, b))
        return [multiply_add(builder, left, right, sums[0])]

    (lanes,) = summed(builder, vectors, [ir.Constant(WIDE, [0.0] * LANES)], body)
    half = LANES // 2
    while half:  # the upper half is added to the lower one until one number is left
        nothing, kind = ir.Constant(lanes.type, ir.Undefined), ir.VectorType(I32, half)
        masks = (ir.Constant(kind, list(range(first, first + half))) for first in (0, half))
        lanes = builder.fadd(*(builder.shuffle_vector(lanes, nothing, mask) for mask in masks))
        half //= 2
    total = builder.fptrunc(builder.extract_element(lanes, I32(0)), FLOAT)
    builder.store(total, pointer(builder, out, FLOAT))


def by_rows(product: Callable, vectors: int, widest: int) -> Callable:
    """A Numba function: `product` for all rows of `vectors` vectors of columns, widest blocks first."""
    widest_block, by_4, by_2, by_1 = (block(product, rows, vectors) for rows in (widest, 4, 2, 1))

    @njit(error_model="numpy")
    def products(lists, rows, column, matrix, depth):
        row = 0
        while row + widest <= rows:
            widest_block(lists, row, column, matrix, depth)
            row += widest
        while row + 4 <= rows:
            by_4(lists, row, column, matrix, depth)
            row += 4
        if row + 2 <= rows:
            by_2(lists, row, column, matrix, depth)
            row += 2
        if row < rows:
            by_1(lists, row, column, matrix, depth)

    return products


def by_columns(product: Callable, widest: tuple[int, int, int]) -> Callable:
    """A Numba function: `product` for all rows and columns.

    (lists: two addresses of lists, rows: their number, span: first and last column, whole vectors, matrix: address and
    bytes per row, depth: number of steps)
    """
    one, two, three = (by_rows(product, vectors, widest[vectors - 1]) for vectors in (1, 2, 3))

    @njit(error_model="numpy")
    def products(lists, rows, span, matrix, depth):
        (c, last), (address, stride) = span, matrix
        if (last - c) % (3 * LANES) == 0:
            while c < last:
                three(lists, rows, 4 * c, (address + 4 * c, stride), depth)
                c += 3 * LANES
        while c + 2 * LANES <= last:
            two(lists, rows, 4 * c, (address + 4 * c, stride), depth)
            c += 2 * LANES
        if c < last:
            one(lists, rows, 4 * c, (address + 4 * c, stride), depth)

    return products


multiply_rows = by_columns(of_rows, WIDEST)
"""target += source @ matrix [depth, columns] for all listed pairs of rows."""
add_outer = by_columns(of_outer, WIDEST_OUTER)
"""matrix [rows, columns] += left^T right over all listed pairs; depth is the number of pairs."""
outer_row_1, outer_row_2, outer_row_4 = (block(of_outer, 1, vectors) for vectors in (1, 2, 4))


@njit(error_model="numpy")
def add_weighted(count, lists, out, columns):
    """out [columns] += sum of the listed weights times the listed rows, whole vectors of columns.

    Returns the new length of the lists, zero.
    """
    c = 0
    while c + 4 * LANES <= columns:
        outer_row_4(lists, 0, 4 * c, (out + 4 * c, 0), count)
        c += 4 * LANES
    if c + 2 * LANES <= columns:
        outer_row_2(lists, 0, 4 * c, (out + 4 * c, 0), count)
        c += 2 * LANES
    if c < columns:
        outer_row_1(lists, 0, 4 * c, (out + 4 * c, 0), count)
    return 0

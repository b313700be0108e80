"""Raw memory for Numba kernels: loads and stores at int64 addresses, atomics, calls through function pointers.

XLA hands over structures of C, and worker threads share one block of memory: both are read by address. Nothing is
checked here.
"""

from collections.abc import Callable

from llvmlite import ir
from numba.core import cgutils
from numba.core.types import int64
from numba.extending import intrinsic

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def pointer(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """The integer `address` as a pointer to `kind`."""
    return builder.inttoptr(address, kind.as_pointer())


def external(builder: ir.IRBuilder, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
    """The declaration of a function outside of the module: the C library's, LLVM's own, or an added symbol."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


@intrinsic
def load(typing_context, address):
    """The int64 at `address`."""

    def emit(context, builder, signature, args):
        return builder.load(pointer(builder, args[0], I64), typ=I64)

    return int64(int64), emit


@intrinsic
def load_index(typing_context, address):
    """The four bytes at `address` as an unsigned number: a negative int32 becomes one beyond every table."""

    def emit(context, builder, signature, args):
        return builder.zext(builder.load(pointer(builder, args[0], I32), typ=I32), I64)

    return int64(int64), emit


@intrinsic
def load_flag(typing_context, address):
    """The byte at `address`: 0 or 1 for a bool."""

    def emit(context, builder, signature, args):
        return builder.zext(builder.load(pointer(builder, args[0], I8), typ=I8), I64)

    return int64(int64), emit


@intrinsic
def store(typing_context, address, value):
    """Writes the int64 `value` to `address`."""

    def emit(context, builder, signature, args):
        builder.store(args[1], pointer(builder, args[0], I64))
        return I64(0)

    return int64(int64, int64), emit


@intrinsic
def fetch_add(typing_context, address, value):
    """Adds to the int64 at `address` and returns what was there, as one step for all threads."""

    def emit(context, builder, signature, args):
        return builder.atomic_rmw("add", pointer(builder, args[0], I64), args[1], "seq_cst")

    return int64(int64, int64), emit


@intrinsic
def load_atomic(typing_context, address):
    """The int64 at `address`; what other threads wrote before they changed it is visible afterwards."""

    def emit(context, builder, signature, args):
        return builder.load_atomic(pointer(builder, args[0], I64), "seq_cst", 8, typ=I64)

    return int64(int64), emit


@intrinsic
def allocate(typing_context, size):
    """Address of `size` new bytes, 0 if there are none left."""

    def emit(context, builder, signature, args):
        return builder.ptrtoint(builder.call(external(builder, "malloc", I8.as_pointer(), I64), args), I64)

    return int64(int64), emit


@intrinsic
def release(typing_context, address):
    """Gives back what `allocate` returned."""

    def emit(context, builder, signature, args):
        builder.call(external(builder, "free", ir.VoidType(), I8.as_pointer()), [pointer(builder, args[0], I8)])
        return I64(0)

    return int64(int64), emit


@intrinsic
def fill_zero(typing_context, address, size):
    """Sets `size` bytes to zero."""

    def emit(context, builder, signature, args):
        cgutils.memset(builder, pointer(builder, args[0], I8), args[1], 0)
        return I64(0)

    return int64(int64, int64), emit


@intrinsic
def give_way(typing_context):
    """Lets another thread run (sched_yield of POSIX)."""

    def emit(context, builder, signature, args):
        builder.call(external(builder, "sched_yield", I32), [])
        return I64(0)

    return int64(), emit


@intrinsic
def prefetch(typing_context, address):
    """Asks for the cache line at `address`, which need not exist."""

    def emit(context, builder, signature, args):
        ask = external(builder, "llvm.prefetch.p0", ir.VoidType(), I8.as_pointer(), I32, I32, I32)
        builder.call(ask, [pointer(builder, args[0], I8), I32(0), I32(3), I32(1)])
        return I64(0)

    return int64(int64), emit


@intrinsic
def call_one(typing_context, function, a):
    """function(a), both int64, at the address `function`."""

    def emit(context, builder, signature, args):
        return builder.call(pointer(builder, args[0], ir.FunctionType(I64, [I64])), args[1:])

    return int64(int64, int64), emit


@intrinsic
def call_two(typing_context, function, a, b):
    """function(a, b), all int64, at the address `function`."""

    def emit(context, builder, signature, args):
        return builder.call(pointer(builder, args[0], ir.FunctionType(I64, [I64, I64])), args[1:])

    return int64(int64, int64, int64), emit


def stack(size: int) -> Callable[[], int]:
    """An intrinsic whose value is the address of `size` bytes in the frame of the function that is compiled. Each
    intrinsic has its own bytes in each place where it is called."""

    @intrinsic
    def address(typing_context):
        def emit(context, builder, signature, args):
            return builder.ptrtoint(cgutils.alloca_once(builder, ir.ArrayType(I64, size // 8)), I64)

        return int64(), emit

    return address


def symbol(name: str) -> Callable[[], int]:
    """An intrinsic whose value is the address of `name`, looked up when the machine code is loaded (also from Numba's
    cache), so that no address is ever stored on disk."""

    @intrinsic
    def address(typing_context):
        def emit(context, builder, signature, args):
            return builder.ptrtoint(external(builder, name, ir.VoidType(), I8.as_pointer()), I64)

        return int64(), emit

    return address

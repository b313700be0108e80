"""Raw memory for Numba kernels: loads and stores at int64 addresses, atomics, calls through function pointers.

XLA hands over structures of C, and worker threads share one block of memory: both are read by address. Nothing is
checked here.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.core.types import BaseTuple, UniTuple, int64
from numba.extending import intrinsic

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
ZERO = np.int64(0)
"""Of the type of every other number: what is called with a literal 0, Numba compiles once more for that, which pays
where the 0 simplifies an inner loop."""


def pointer(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """The integer `address` as a pointer to `kind`."""
    return builder.inttoptr(address, kind.as_pointer())


def load_as(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """The value of type `kind` at `address`."""
    return builder.load(pointer(builder, address, kind), typ=kind)


def external(builder: ir.IRBuilder, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
    """The declaration of a function outside of the module: the C library's, LLVM's own, or an added symbol."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def instruction(emit: Callable[..., ir.Value | None]) -> Any:
    """Decorator: `emit(builder, a, b, ...)`, which writes LLVM code, becomes a function for compiled code.

    Its arguments are int64 numbers and tuples of them. It returns the int64 that `emit` does, 0 for None.
    """

    def define(typing_context, *arguments):
        kinds = [UniTuple(int64, len(kind)) if isinstance(kind, BaseTuple) else int64 for kind in arguments]
        return int64(*kinds), lambda context, builder, signature, values: emit(builder, *values) or I64(0)

    return intrinsic(functools.wraps(emit)(define))


@instruction
def load(builder, address):
    """The int64 at `address`."""
    return load_as(builder, address, I64)


@instruction
def load_index(builder, address):
    """The four bytes at `address` as an unsigned number: a negative int32 becomes one beyond every table."""
    return builder.zext(load_as(builder, address, I32), I64)


@instruction
def load_flag(builder, address):
    """The byte at `address`: 0 or 1 for a bool."""
    return builder.zext(load_as(builder, address, I8), I64)


@instruction
def store(builder, address, value):
    """Writes the int64 `value` to `address`."""
    builder.store(value, pointer(builder, address, I64))


@instruction
def fetch_add(builder, address, value):
    """Adds to the int64 at `address` and returns what was there, as one step for all threads."""
    return builder.atomic_rmw("add", pointer(builder, address, I64), value, "seq_cst")


@instruction
def load_atomic(builder, address):
    """The int64 at `address`; what other threads wrote before they changed it is visible afterwards."""
    return builder.load_atomic(pointer(builder, address, I64), "seq_cst", 8, typ=I64)


@instruction
def allocate(builder, size):
    """Address of `size` new bytes, 0 if there are none left."""
    return builder.ptrtoint(builder.call(external(builder, "malloc", I8.as_pointer(), I64), [size]), I64)


@instruction
def release(builder, address):
    """Gives back what `allocate` returned."""
    builder.call(external(builder, "free", ir.VoidType(), I8.as_pointer()), [pointer(builder, address, I8)])


@instruction
def fill_zero(builder, address, size):
    """Sets `size` bytes to zero."""
    cgutils.memset(builder, pointer(builder, address, I8), size, 0)


@instruction
def sched_yield(builder):
    """Lets another thread run (POSIX)."""
    builder.call(external(builder, "sched_yield", I32), [])


@instruction
def prefetch(builder, address):
    """Asks for the cache line at `address`, which need not exist."""
    hint = external(builder, "llvm.prefetch.p0", ir.VoidType(), I8.as_pointer(), I32, I32, I32)
    builder.call(hint, [pointer(builder, address, I8), I32(0), I32(3), I32(1)])


@instruction
def call_one(builder, function, a):
    """function(a), both int64, at the address `function`."""
    return builder.call(pointer(builder, function, ir.FunctionType(I64, [I64])), [a])


@instruction
def call_two(builder, function, a, b):
    """function(a, b), all int64, at the address `function`."""
    return builder.call(pointer(builder, function, ir.FunctionType(I64, [I64, I64])), [a, b])


def stack_buffer(size: int) -> Callable[[], int]:
    """A function for compiled code: the address of `size` bytes in the stack frame of its caller.

    Each of these functions has its own bytes in each place where it is called.
    """
    kind = ir.ArrayType(I64, size // 8)
    return instruction(lambda builder: builder.ptrtoint(cgutils.alloca_once(builder, kind), I64))


def external_address(name: str) -> Callable[[], int]:
    """A function for compiled code: the address of the symbol `name`.

    It is looked up when the machine code is loaded, also from Numba's cache, so no address is ever stored on disk.
    """
    return instruction(lambda builder: builder.ptrtoint(external(builder, name, ir.VoidType(), I8.as_pointer()), I64))

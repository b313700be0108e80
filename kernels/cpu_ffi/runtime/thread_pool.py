"""One XLA handler for all kernels, and the sharing of a call's items among the threads of XLA's own pool.

A kernel is a C function work(frame, item). Items are independent and write to different places, so results do not
depend on who does which. Threads claim them from an atomic counter. The calling thread works too and waits only for
items that others have already begun, so a busy or nested pool cannot dead-lock; a helper that starts late finds nothing
to do and does not touch the frame, which is gone by then. The last one to leave frees the job.
"""

import ctypes

import jax
import llvmlite.binding as llvm
from numba import njit

from kernels.cpu_ffi.runtime import abi
from kernels.cpu_ffi.runtime.cache import cached_cfunc
from kernels.cpu_ffi.runtime.call_frame import answered_metadata, plan
from kernels.cpu_ffi.runtime.memory import (
    allocate,
    call_one,
    call_two,
    fetch_add,
    give_way,
    load,
    load_atomic,
    release,
    stack,
    store,
    symbol,
)

KERNELS = (
    "gather_gemm",
    "slot_gemm",
    "gather_outer",
    "edge_dots",
    "edge_sums",
    "table_sums",
    "segment_sums",
    "dense_conv",
    "dense_outer",
)
"""Their place is the first number of a call's plan; the second is the number of items."""
PREFIX = "kernels_cpu_"
"""Names of the FFI targets begin with it."""
SPINS = 2000
"""Looks at the counter before the caller lets other threads run."""

# The job: addresses relative to its start.
NEXT, DONE, HOLDERS, ITEMS, WORK, FRAME, JOB_BYTES = 0, 8, 16, 24, 32, 40, 48

_works = (ctypes.c_int64 * len(KERNELS))()
llvm.add_symbol("kernels_cpu_ffi_works", ctypes.addressof(_works))
works = symbol("kernels_cpu_ffi_works")
call_arguments = stack(64)


@njit(error_model="numpy")
def leave(job):
    if fetch_add(job + HOLDERS, -1) == 1:
        release(job)


@cached_cfunc(1)
def help_out(job):
    """Does items until none is left; the task that runs in the pool, and in the caller."""
    items = load(job + ITEMS)
    while True:
        item = fetch_add(job + NEXT, 1)
        if item >= items:
            break
        call_two(load(job + WORK), load(job + FRAME), item)
        fetch_add(job + DONE, 1)
    leave(job)
    return 0


llvm.add_symbol("kernels_cpu_ffi_help_out", help_out.address)
help_out_address = symbol("kernels_cpu_ffi_help_out")


@njit(error_model="numpy")
def succeeded(api, error):
    """Whether a function of XLA returned no error; destroys the error."""
    if error == 0:
        return True
    arguments = call_arguments()
    store(arguments, abi.ERROR_DESTROY_SIZE)
    store(arguments + 8, 0)
    store(arguments + 16, error)
    call_one(load(api + abi.ERROR_DESTROY), arguments)
    return False


@njit(error_model="numpy")
def pool_threads(frame):
    """Threads of the pool; 1 where there is none."""
    api = load(frame + abi.API)
    arguments = call_arguments()
    store(arguments, abi.POOL_NUM_THREADS_SIZE)
    store(arguments + 8, 0)
    store(arguments + 16, load(frame + abi.CONTEXT))
    store(arguments + 24, arguments + 32)
    store(arguments + 32, 1)
    if not succeeded(api, call_one(load(api + abi.POOL_NUM_THREADS), arguments)):
        return 1
    return load(arguments + 32)


@njit(error_model="numpy")
def ask_for_help(frame, job):
    """Puts one task into the pool; False if it takes none."""
    api = load(frame + abi.API)
    arguments = call_arguments()
    store(arguments, abi.POOL_SCHEDULE_SIZE)
    store(arguments + 8, 0)
    store(arguments + 16, load(frame + abi.CONTEXT))
    store(arguments + 24, help_out_address())
    store(arguments + 32, job)
    fetch_add(job + HOLDERS, 1)
    if succeeded(api, call_one(load(api + abi.POOL_SCHEDULE), arguments)):
        return True
    leave(job)
    return False


@njit(error_model="numpy")
def share(frame, work, items, helpers):
    """True when all items are done, False when there was no memory to begin."""
    job = allocate(JOB_BYTES)
    if job == 0:
        return False
    store(job + NEXT, 0)
    store(job + DONE, 0)
    store(job + HOLDERS, 2)  # this function, and help_out called from it
    store(job + ITEMS, items)
    store(job + WORK, work)
    store(job + FRAME, frame)
    for _ in range(helpers):
        if not ask_for_help(frame, job):
            break
    call_one(help_out_address(), job)
    spins = 0
    while load_atomic(job + DONE) < items:
        spins += 1
        if spins > SPINS:
            give_way()
    leave(job)
    return True


@cached_cfunc(1)
def handle(frame):
    """XLA's entry for every kernel: 0, no error."""
    if answered_metadata(frame):
        return 0
    work = load(works() + 8 * plan(frame, 0))
    items = plan(frame, 1)
    helpers = min(pool_threads(frame), items) - 1 if items > 1 else 0
    if helpers < 1 or not share(frame, work, items, helpers):
        for item in range(items):
            call_two(work, frame, item)
    return 0


def register(name: str, work: object) -> None:
    """Makes the compiled function work(frame, item) known to XLA as the target PREFIX + `name`."""
    _works[KERNELS.index(name)] = work.address
    jax.ffi.register_ffi_target(PREFIX + name, jax.ffi.pycapsule(ctypes.c_void_p(handle.address)), platform="cpu")

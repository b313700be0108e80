"""One XLA handler for all kernels, and the sharing of a call's items among the threads of XLA's own pool.

A kernel is a C function work(frame, item). Items are independent and write to different places, so results do not
depend on who does which. Threads claim them from an atomic counter. The calling thread works too and waits only for
items that others have already begun, so a busy or nested pool cannot dead-lock; a helper that starts late finds nothing
to do and does not touch the frame, which is gone by then. The last one to leave frees the job.
"""

import ctypes

import llvmlite.binding as llvm
from numba import njit

from kernels.cpu_ffi.runtime import abi, memory
from kernels.cpu_ffi.runtime.call_frame import answered_metadata, cached_cfunc, plan
from kernels.cpu_ffi.runtime.memory import call_one, call_two, fetch_add, load, store

SPINS = 2000
"""Looks at the counter before the caller lets other threads run."""
WORKS = (ctypes.c_int64 * 16)()
"""Addresses of the kernels; a kernel's place is the first number of a call's plan, the number of items the second."""

# The job: addresses relative to its start.
NEXT, DONE, HOLDERS, ITEMS, WORK, FRAME, JOB_BYTES = 0, 8, 16, 24, 32, 40, 48

llvm.add_symbol("kernels_cpu_ffi_works", ctypes.addressof(WORKS))
works = memory.external_address("kernels_cpu_ffi_works")
call_arguments, number_of_threads = memory.stack_buffer(40), memory.stack_buffer(8)


@njit(error_model="numpy")
def leave(job):
    """Frees the job if nobody else holds it."""
    if fetch_add(job + HOLDERS, -1) == 1:
        memory.release(job)


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
help_out_address = memory.external_address("kernels_cpu_ffi_help_out")


@njit(error_model="numpy")
def succeeded(frame, function, size, a, b):
    """Calls an entry of XLA's table of functions with the context, a and, if the struct's size includes it, b.

    Returns whether there was no error; an error is destroyed.
    """
    api, arguments = load(frame + abi.API), call_arguments()
    store(arguments, size)
    store(arguments + 8, 0)
    store(arguments + 16, load(frame + abi.CONTEXT))
    store(arguments + 24, a)
    store(arguments + 32, b)
    error = call_one(load(api + function), arguments)
    if error != 0:
        store(arguments, abi.ERROR_DESTROY_SIZE)
        store(arguments + 16, error)
        call_one(load(api + abi.ERROR_DESTROY), arguments)
    return error == 0


@njit(error_model="numpy")
def pool_threads(frame):
    """Threads of the pool; 1 without a pool."""
    threads = number_of_threads()
    store(threads, 1)
    known = succeeded(frame, abi.POOL_NUM_THREADS, abi.POOL_NUM_THREADS_SIZE, threads, memory.ZERO)
    return load(threads) if known else 1


@njit(error_model="numpy")
def share(frame, work, items, helpers):
    """True when all items are done, False when there was no memory to begin."""
    job = memory.allocate(JOB_BYTES)
    if job == 0:
        return False
    store(job + NEXT, 0)
    store(job + DONE, 0)
    store(job + HOLDERS, 2)  # this function, and help_out called from it
    store(job + ITEMS, items)
    store(job + WORK, work)
    store(job + FRAME, frame)
    for _ in range(helpers):
        fetch_add(job + HOLDERS, 1)
        if not succeeded(frame, abi.POOL_SCHEDULE, abi.POOL_SCHEDULE_SIZE, help_out_address(), job):
            leave(job)
            break
    call_one(help_out_address(), job)
    spins = 0
    while memory.load_atomic(job + DONE) < items:
        spins += 1
        if spins > SPINS:
            memory.sched_yield()
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

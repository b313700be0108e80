"""Whether the Numba kernels can be used here. This file needs neither Numba nor a compilation."""

import functools
import logging
import os
import pathlib
import platform
import re
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from kernels.cpu_ffi.runtime import abi
from kernels.cpu_ffi.runtime.abi_probe import unsupported_layout_reason

SWITCH = "KERNELS_CPU"
"""Environment variable: "xla" turns the Numba kernels off. Read when a function is traced."""
MACHINES = (("linux", "x86_64"),)
"""Where the kernels are tested: sys.platform, platform.machine()."""


def ffi_version() -> tuple[int, int] | None:
    """Major and minor version of the FFI of the installed jaxlib, from its header; None if it has none."""
    header = pathlib.Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h")
    if not header.is_file():
        return None
    numbers = dict(re.findall(r"#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", header.read_text()))
    return int(numbers["MAJOR"]), int(numbers["MINOR"])


def has_cpu_devices() -> bool:
    """Whether JAX may use the CPU here; JAX_PLATFORMS can forbid it."""
    try:
        return bool(jax.local_devices(backend="cpu"))
    except RuntimeError:
        return False


@functools.cache
def unsupported_machine_reason() -> str | None:
    """Why this machine or jaxlib cannot run the kernels, None if it can.

    It is logged once, except where nothing runs on the CPU anyway.
    """
    if not has_cpu_devices():
        return "JAX has no CPU devices here"
    machine = (sys.platform, platform.machine())
    if machine not in MACHINES:
        reason = f"they are made for {' on '.join(MACHINES[0])}, this is {' on '.join(machine)}"
    elif not abi.is_supported(version := ffi_version()):
        needed = ".".join(map(str, abi.VERSION))
        reason = f"they need XLA's FFI {needed} or a later minor version, jaxlib {jax.lib.__version__} has {version}"
    elif reason := unsupported_layout_reason():
        reason = f"jaxlib {jax.lib.__version__} does not lay out XLA's FFI as expected: {reason}"
    if reason:
        logging.getLogger(__name__).warning("Numba kernels are off, XLA forms are used: %s", reason)
    return reason


def targets() -> dict[str, Callable[[], None]]:
    """FFI target -> what registers it, of the Numba kernels; empty where they cannot be used."""
    if os.environ.get(SWITCH) == "xla" or unsupported_machine_reason():
        return {}
    from kernels.cpu_ffi.runtime.registry import TARGETS, register

    return {target: functools.partial(register, name) for name, target in TARGETS.items()}


def unsupported_reason(operands: Any) -> str | None:
    """Why these operands (a pytree of arrays) cannot go through the Numba kernels on CPU, None if they can."""
    if os.environ.get(SWITCH) == "xla":
        return f"the environment says {SWITCH}=xla"
    for array in jax.tree.leaves(operands):
        known = (jnp.float32, jnp.int32, jnp.bool_)
        if array.dtype not in known:
            return f"they take float32 and int32, not {array.dtype}"
        if array.size == 0 and array.ndim > 1:
            return f"they take no empty matrices, such as {array.shape}"
    return unsupported_machine_reason()

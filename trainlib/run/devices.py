"""What the run computes on: the devices at start, the platform that a config asks for, the compilation cache."""

import contextlib
import logging
import os
import pathlib

import jax

from trainlib.core import cli
from trainlib.core.caches import NAME, user_cache
from trainlib.core.errors import UserError
from trainlib.run import processes

PLATFORMS = ("any", "cpu", "gpu", "tpu")

_log = logging.getLogger(__name__)


def start_devices(platform: str = "any") -> None:
    """Starts the devices and logs which they are; compiled programs are kept from here on.

    Raises UserError if there are none, or if they are not of the `platform` (see `check_platform`).
    """
    cli.imported()
    enable_compilation_cache()
    check_platform(platform)
    several = f" in each of {processes.count()} processes" if processes.count() > 1 else ""
    _log.info("%s%s", device_line(), several)


def device_line() -> str:
    """Number and kind of this process's devices: "2 x cpu (host)", "8 x NVIDIA H200"."""
    devices = _local_devices()
    suffix = " (host)" if devices[0].platform == "cpu" else ""
    return f"{len(devices)} x {devices[0].device_kind}{suffix}"


def check_platform(platform: str) -> None:
    """Raises UserError when `platform` ("any", "cpu", "gpu" or "tpu") is not what JAX runs on; "any" is always fine."""
    if platform not in PLATFORMS:
        raise UserError(f"config.platform is {platform!r}; known: {', '.join(PLATFORMS)}")
    found = _local_devices()[0].platform
    if platform not in ("any", found):
        raise UserError(
            f"the config expects platform {platform!r} but JAX runs on {found!r} ({device_line()}). "
            f"Install JAX for {platform!r} (see README.md) or pass --config.platform=any."
        )


def enable_compilation_cache() -> pathlib.Path | None:
    """Keeps compiled programs in $JAX_COMPILATION_CACHE_DIR or the user's cache folder.

    JAX keeps those that took a second or longer, or $JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS.

    Returns the folder, or None with a logged warning if it cannot be written.
    """
    named, user = os.environ.get("JAX_COMPILATION_CACHE_DIR"), user_cache()
    if not named and user is None:
        _log.warning("compiled programs are not kept: this user has no home (set JAX_COMPILATION_CACHE_DIR)")
        return None
    folder = pathlib.Path(named) if named else user / NAME / "xla"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        _log.warning("compiled programs are not kept: cannot write in %s (set JAX_COMPILATION_CACHE_DIR)", folder)
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


def _local_devices() -> list[jax.Device]:
    """JAX's devices. Raises UserError if the platform of JAX_PLATFORMS, or any, cannot be used."""
    try:
        return jax.local_devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts where a platform without devices is its only choice
        asked = os.environ.get("JAX_PLATFORMS")
        if not asked:
            raise UserError(f"JAX finds no usable device: {error}") from error
        cause = str(error).split(" (set JAX_PLATFORMS")[0] or f"there is no device of the platform {asked!r}"
        raise UserError(
            f"JAX_PLATFORMS is {asked!r}, but JAX finds no such device: {cause.rstrip('.')}. Unset JAX_PLATFORMS or "
            "set it to cpu, or install JAX for that device (see README.md)."
        ) from error

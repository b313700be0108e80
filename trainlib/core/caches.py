"""Where caches are kept if neither the installation nor the user's own folder can be written, as in many containers."""

import logging
import os
import pathlib
import stat
import sys
import tempfile

NAME = "vmnet-sdclr-jax"

_log = logging.getLogger(__name__)


def prepare_caches(package: str | os.PathLike) -> None:
    """Gives Numba, Matplotlib and JAX a private temporary folder for what they have no other writable folder for.

    To be called before Numba compiles, so at the import of every package with compiled code. Sets NUMBA_CACHE_DIR,
    MPLCONFIGDIR and JAX_COMPILATION_CACHE_DIR where they are needed and not set, and logs the folder. Processes that
    this one starts inherit them. Without any writable folder nothing is set: then the programs run without caches.

    Args:
        package: folder of the importing package; `kernels` is installed next to it.
    """
    user, settings = user_cache(), user_folder("XDG_CONFIG_HOME", ".config")
    has_cache = user is not None and _can_write(user)
    package = pathlib.Path(package)
    compiled = (package, package.parent / "kernels" / "host", package.parent / "kernels" / "cpu_ffi")
    beside_sources = all(_can_write(folder / "__pycache__") for folder in compiled)
    needed = {
        "NUMBA_CACHE_DIR": not beside_sources and not (has_cache and _can_write(user / "numba")),
        "MPLCONFIGDIR": not has_cache or settings is None or not _can_write(settings / "matplotlib"),
        "JAX_COMPILATION_CACHE_DIR": not has_cache,
    }
    names = [name for name, is_needed in needed.items() if is_needed and not os.environ.get(name)]
    folder = private_folder() if names else None
    if folder is None:
        return
    for name in names:
        os.environ[name] = str(folder / name.split("_")[0].removesuffix("CONFIGDIR").lower())
    if "numba.core.config" in sys.modules and "NUMBA_CACHE_DIR" in names:
        sys.modules["numba.core.config"].CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]
    text = "Caches are in %s: the user's folders cannot be written. To keep them elsewhere, set %s."
    _log.warning(text, folder, ", ".join(names))


def user_cache() -> pathlib.Path | None:
    """$XDG_CACHE_HOME or ~/.cache, whether or not it exists; None for a user without a home."""
    return user_folder("XDG_CACHE_HOME", ".cache")


def user_folder(variable: str, name: str) -> pathlib.Path | None:
    """The folder that an environment variable names, or `name` in the home folder; None for a user without a home."""
    home = os.path.expanduser("~")
    if os.environ.get(variable):
        return pathlib.Path(os.environ[variable])
    return pathlib.Path(home, name) if os.path.isabs(home) else None


def private_folder() -> pathlib.Path | None:
    """A folder of this user alone (mode 700) among the temporary files; None if there is none.

    A folder or link of that name which somebody else has made, or which others may enter, is not used.
    """
    bases = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")] + ["/tmp", "/var/tmp", "/dev/shm"]
    for base in filter(None, bases):
        folder = pathlib.Path(base, f"{NAME}-{os.geteuid()}")
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            found = os.lstat(folder)
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
                tempfile.TemporaryFile(dir=folder).close()
                return folder
        except OSError:
            continue
    return None


def _can_write(folder: pathlib.Path) -> bool:
    """Whether files can be made in a folder, which is made if missing; nothing is made here."""
    try:
        while not folder.exists():
            folder = folder.parent
        return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        return False

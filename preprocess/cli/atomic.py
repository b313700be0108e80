"""Files that are either complete under their name or not there at all."""

import contextlib
import errno
import glob
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import BinaryIO

TEMPORARY = ".partial"


@contextlib.contextmanager
def atomic_file(path: pathlib.Path, size: int = 0) -> Iterator[BinaryIO]:
    """A new binary file that appears as `path` when the block ends without an error, with all bytes on the disk.

    Until then it lies beside it as .NAME.PID.partial, which an error removes. size: bytes that it will take, if known.
    A full disk raises OSError with the needed and the free space.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise _disk_full(path, size, free)
    try:
        with open(partial, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(path, max(size, partial.stat().st_size if partial.exists() else 1), free) from None
        raise
    finally:
        partial.unlink(missing_ok=True)


def _disk_full(path: pathlib.Path, needed: int, free: int) -> OSError:
    message = f"disk full: {needed} bytes needed, {free} free; make room and run the same command again"
    return OSError(errno.ENOSPC, message, str(path))


def _sync_folder(folder: pathlib.Path) -> None:
    """Makes a rename durable; only POSIX systems can and need to."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(path: pathlib.Path) -> None:
    """Removes partial files that killed processes left for `path`; nobody else may be writing it."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*{TEMPORARY}"):
        partial.unlink(missing_ok=True)

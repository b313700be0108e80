"""Writing files so that a kill or a power cut leaves the old content or the new one, never a half; full disks."""

import contextlib
import errno
import glob
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import BinaryIO

PARTIAL = ".partial"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike, size: int = 0) -> Iterator[BinaryIO]:
    """A new binary file that appears as `path` when the block ends without an error, with all bytes on the disk.

    Until then it is .NAME.PID.partial in the same folder, which an error removes.

    Args:
        path: the file to replace.
        size: bytes that it will take, if known.

    Raises:
        OSError: among others a full disk, with the needed and the free space.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise _disk_full(path, size, free)
    try:
        with open(partial, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync(path.parent)
    except OSError as error:
        if is_full(error):
            raise _disk_full(path, max(size, partial.stat().st_size if partial.exists() else 1), free) from None
        raise
    finally:
        partial.unlink(missing_ok=True)


def remove_leftovers(path: pathlib.Path) -> None:
    """Removes partial files that killed processes left for `path`; nobody else may be writing it."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def write_atomic(path: str | os.PathLike, data: bytes | str) -> None:
    """Replaces the file `path` by one that holds `data`, text in UTF-8; durable on return. Raises OSError."""
    with atomic_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_json(path: str | os.PathLike, value: object) -> None:
    """Replaces the file `path` by a JSON document, as `write_atomic` does.

    Raises ValueError for NaN and infinities, which JSON lacks, and TypeError for other than JSON values.
    """
    write_atomic(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


class GrowingFile:
    """A file that bytes are appended to. What a full disk has no room for is kept and written with the next bytes.

    Raises OSError for every other failure.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._waiting = b""

    def append(self, data: bytes) -> None:
        """Hands the bytes to the system, or keeps them with a logged warning if the disk is full."""
        self._waiting += data
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self._file, self._waiting) :]
        except OSError as error:
            if not is_full(error):
                raise
            _log.warning("%s: %s; %d bytes wait for room", self._path, error.strerror, len(self._waiting))

    def close(self) -> None:
        """Tries once more to write what has waited."""
        self.append(b"")
        os.close(self._file)


def is_full(error: Exception) -> bool:
    """Whether a failure to write is for lack of space (disk, quota or limit of the process), whoever reports it."""
    if isinstance(error, OSError):
        return error.errno in _NO_SPACE
    return any(os.strerror(number) in str(error) for number in _NO_SPACE)


def _disk_full(path: pathlib.Path, needed: int, free: int) -> OSError:
    message = f"disk full: {needed} bytes needed, {free} free; make room and run the same command again"
    return OSError(errno.ENOSPC, message, str(path))


def sync(path: str | os.PathLike) -> None:
    """Forces a file's bytes or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Writing files so that a kill or a power cut leaves the old content or the new one, never a half; full disks."""

import errno
import json
import logging
import os
import pathlib

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_log = logging.getLogger(__name__)


def write_atomic(path: str | os.PathLike, data: bytes) -> None:
    """Replaces the file `path` by one that holds `data`; durable on return. Raises OSError."""
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.new")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_json(path: str | os.PathLike, value: object) -> None:
    """Replaces the file `path` by a JSON document, as `write_atomic` does.

    Raises ValueError for NaN and infinities, which JSON has no word for, and TypeError for what is no JSON value.
    """
    write_atomic(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


class GrowingFile:
    """A file that bytes are appended to. What a full disk has no room for is kept and written with the next bytes.

    Raises OSError for every other failure.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._waiting = b""

    def append(self, data: bytes) -> None:
        """Hands the bytes to the system, or keeps them with a logged warning where there is no room."""
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
    """Whether a failure to write is for want of space (disk, quota or limit of the process), whoever reports it."""
    if isinstance(error, OSError):
        return error.errno in _NO_SPACE
    return any(os.strerror(number) in str(error) for number in _NO_SPACE)


def sync(path: str | os.PathLike) -> None:
    """Forces a file's bytes or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

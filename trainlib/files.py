"""Writing files so that a kill or a power cut leaves the old content or the new one, never a half."""

import os
import pathlib


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


def sync(path: str | os.PathLike) -> None:
    """Forces a file's bytes or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Outputs are tried before the work begins, so that nothing is computed that cannot be written."""

import os
import pathlib
import tempfile
from collections.abc import Collection

from trainlib.core.errors import UserError
from trainlib.core.text import did_you_mean


def require_folder(path: str | os.PathLike, flag: str = "--output", *, make: bool = True) -> pathlib.Path:
    """Makes a folder with its parents if it is missing and writes a file into it, which is removed again.

    Without `make` nothing is made: the file is tried in the nearest existing folder. Raises UserError with the
    flag, the folder and the cause.
    """
    path = pathlib.Path(path)
    try:
        there = next(part for part in (path, *path.absolute().parents) if part.exists())
        if not there.is_dir():
            raise UserError(f"{flag} {path}: {there} is a file, not a folder. Name a folder; it is made if missing.")
        if make:
            path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path if make else there).close()
    except OSError as error:
        raise UserError(
            f"{flag} {path}: cannot write there: {error.strerror or error}. Name a folder that can be written."
        ) from None
    return path


def require_file(path: str | os.PathLike, flag: str = "--output", endings: Collection[str] = ()) -> pathlib.Path:
    """Checks that a file can be written: its ending, its folder (see `require_folder`) and an existing file.

    Args:
        endings: allowed ends of the name, such as "png"; empty for any.

    Raises:
        UserError: with the flag, the path and the cause.
    """
    path = pathlib.Path(path)
    ending = path.suffix.removeprefix(".").lower()
    if endings and ending not in endings:
        *others, last = (f".{known}" for known in sorted(endings))
        listed = f"{', '.join(others)} or {last}" if others else last
        raise UserError(f"{flag} {path}: the name must end in {listed}{did_you_mean(ending, endings)}")
    if path.is_dir():
        raise UserError(f"{flag} {path}: that is a folder; name a file")
    require_folder(path.parent, flag)
    if path.exists() and not os.access(path, os.W_OK):
        raise UserError(f"{flag} {path}: the file cannot be written. Change its permissions, or name another.")
    return path

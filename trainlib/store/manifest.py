"""The list of a checkpoint's files with their checksums, which reveal a damaged checkpoint."""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

from trainlib.core.errors import CheckpointError
from trainlib.core.files import sync, write_json

MANIFEST_NAME = "manifest.json"


class DamagedCheckpoint(CheckpointError):
    """A checkpoint's files are not what was written."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a checkpoint's folder holds."""

    step: int
    metric: float | None  # validation figure
    files: dict[str, str]  # relative path -> sha256 (hexadecimal)
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)  # the run's own, as JSON values

    def signed(self) -> dict[str, Any]:
        """As JSON values, with the sha256 of all others as `checksum`; empty notes are omitted."""
        content = {name: value for name, value in dataclasses.asdict(self).items() if name != "notes" or value}
        return content | {"checksum": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def write_manifest(folder: pathlib.Path, step: int, metric: float | None, notes: dict[str, Any]) -> None:
    """Describes all files below `folder` and forces them, and the description, to the disk. Raises OSError."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = _sha256(path)
        sync(path)
    write_json(folder / MANIFEST_NAME, Manifest(step, metric, files, notes).signed())


def write_metric(folder: pathlib.Path, metric: float) -> None:
    """Notes the validation figure of a checkpoint that has been written without it. Raises OSError."""
    write_json(folder / MANIFEST_NAME, dataclasses.replace(read_manifest(folder), metric=metric).signed())


def read_manifest(folder: pathlib.Path) -> Manifest:
    """Reads the description alone. Raises DamagedCheckpoint naming the file."""
    path = folder / MANIFEST_NAME
    try:
        content = json.loads(path.read_bytes())
        checksum = content.pop("checksum")
        manifest = Manifest(**content)
    except FileNotFoundError:
        raise DamagedCheckpoint(f"{path} is missing") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpoint(f"{path} cannot be read: {error}") from error
    if manifest.signed()["checksum"] != checksum:
        raise DamagedCheckpoint(f"{path} does not have its checksum")
    return manifest


def verify(folder: pathlib.Path) -> None:
    """Reads every file that the manifest names. Raises DamagedCheckpoint naming the first that is not as written."""
    for name, expected in read_manifest(folder).files.items():
        path = folder / name
        try:
            found = _sha256(path)
        except FileNotFoundError:
            raise DamagedCheckpoint(f"{path} is missing") from None
        except OSError as error:
            raise DamagedCheckpoint(f"{path} cannot be read: {error.strerror}") from error
        if found != expected:
            raise DamagedCheckpoint(
                f"{path} ({os.path.getsize(path)} bytes) does not have its checksum: truncated or altered"
            )


def _sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

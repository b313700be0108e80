"""Whether a zip is a valid submission to the ScanNet benchmark (3D semantic label)."""

import pathlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence

from preprocess.labels.label_map import scannet20
from trainlib.core.errors import UserError

_LISTED = 8


def require_scenes(folder: str | pathlib.Path, present: Iterable[str], names: Sequence[str]) -> None:
    """Raises UserError if a folder, whose scenes are `present`, lacks listed ones."""
    missing = sorted(set(names).difference(present))
    if missing:
        raise UserError(
            f"{len(missing)} of {len(names)} listed scenes are not in {folder}: {_some(missing)}. A submission "
            "needs them all: run python -m preprocess.scenes on their meshes."
        )


def check_submission(path: str | pathlib.Path, counts: Mapping[str, int]) -> None:
    """Checks a zip as the benchmark's server would.

    Args:
        path: the zip.
        counts: number of vertices by scene of the list.

    Raises:
        UserError: every finding: scenes missing or too many, folders, lines that are not an NYU40 id of the benchmark,
            wrong numbers of lines.
    """
    allowed = set(scannet20().ids)
    expected = {f"{name}.txt": count for name, count in counts.items()}
    found: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [info.filename for info in archive.infolist()]
            folders = [entry for entry in entries if "/" in entry or "\\" in entry]
            if folders:
                found.append(f"entries in folders, the files must be at the top: {_some(folders)}")
            missing = sorted(expected.keys() - set(entries))
            if missing:
                found.append(f"{len(missing)} scenes of the list are missing: {_some(missing)}")
            extra = sorted(set(entries) - expected.keys() - set(folders))
            if extra:
                found.append(f"{len(extra)} entries are none of the list's: {_some(extra)}")
            if len(set(entries)) < len(entries):
                found.append("an entry is repeated")
            for name, count in expected.items():
                if name in entries:
                    found += _findings(name, archive.read(name), count, allowed)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: no readable zip file: {error}") from error
    if found:
        raise UserError(f"{path}: not a valid submission:\n" + "\n".join(f"  {line}" for line in found))


def _findings(name: str, content: bytes, count: int, allowed: set[int]) -> list[str]:
    """What is wrong with one scene's file."""
    lines = content.split()
    found = [f"{name}: {len(lines)} lines for {count} vertices"] if len(lines) != count else []
    for number, line in enumerate(lines, 1):
        if not line.isdigit() or int(line) not in allowed:
            found.append(f"{name}, line {number}: {line.decode(errors='replace')!r} is none of {sorted(allowed)}")
            break
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (" ..." if len(names) > _LISTED else "")

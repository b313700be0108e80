"""Walking a folder: links are followed, circles are cut, and what is skipped is counted and named."""

import os
import pathlib
from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

SHOWN = 5
SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "system volume information"})

HIDDEN = "hidden or of the system"
CIRCLE = "links to a folder that contains them"
AGAIN = "links to a folder that is read already"
BROKEN = "broken links"
CLOSED = "folders that cannot be opened"


class Walk(NamedTuple):
    """What is under a folder: files and folders by path, and {why: paths} of what is skipped."""

    files: list[pathlib.Path]
    folders: list[pathlib.Path]
    skipped: dict[str, list[pathlib.Path]]


def is_hidden(name: str) -> bool:
    """Whether a name is hidden (`.git`, `._scan.ply`) or belongs to a system (`Thumbs.db`, `__MACOSX`)."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def walk(top: str | os.PathLike) -> Walk:
    """All files and folders under `top`, which itself is the first folder.

    Links to files and folders are followed. A folder that is reached by several ways is read once: as itself rather
    than by a link, else by the first link in the order of the paths. Links to a folder that contains them are cut.
    """
    found = Walk([], [], {})
    folders, links = deque([pathlib.Path(top)]), deque()
    seen: set[tuple[int, int]] = set()
    while folders or links:
        folder = folders.popleft() if folders else links.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                found.skipped.setdefault(AGAIN, []).append(folder)
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            found.skipped.setdefault(CLOSED, []).append(folder)
            continue
        found.folders.append(folder)
        for entry in inside:
            path = folder / entry.name
            why = _why_skipped(entry, path)
            if why is not None:
                found.skipped.setdefault(why, []).append(path)
            elif entry.is_file():
                found.files.append(path)
            elif entry.is_dir():
                (links if entry.is_symlink() else folders).append(path)
    return Walk(sorted(found.files), sorted(found.folders), found.skipped)


def _why_skipped(entry: os.DirEntry, path: pathlib.Path) -> str | None:
    """The key of `Walk.skipped`, or None for what is read."""
    if is_hidden(entry.name):
        return HIDDEN
    if not entry.is_symlink():
        return None
    if not os.path.exists(path):
        return BROKEN
    target = path.resolve()
    return CIRCLE if entry.is_dir() and path.parent.resolve().is_relative_to(target) else None


def skipped_lines(skipped: dict[str, list[pathlib.Path]], top: pathlib.Path) -> list[str]:
    """One line for each reason: how many paths, and the first of them below `top`."""
    lines = []
    for why, paths in skipped.items():
        shown = ", ".join(path.relative_to(top).as_posix() for path in sorted(paths)[:SHOWN])
        lines.append(f"skipped, {why}: {len(paths)} ({shown}{', ...' if len(paths) > SHOWN else ''})")
    return lines


def endings_line(files: Iterable[pathlib.Path]) -> list[str]:
    """`other files, not read as meshes: 3 .png, 1 .mtl` for files of other kinds; no line for none."""
    counts = Counter(file.suffix.lower() or "without an ending" for file in files)
    if not counts:
        return []
    shown = ", ".join(f"{count} {ending}" for ending, count in counts.most_common(SHOWN))
    return [f"other files, not read as meshes: {shown}{', ...' if len(counts) > SHOWN else ''}"]

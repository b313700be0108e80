"""Walking a folder: links are followed, circles are cut, and what is skipped is counted and named."""

import collections
import os
import pathlib
from typing import NamedTuple

SHOWN = 5
SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "system volume information"})


class Walk(NamedTuple):
    """What is under a folder: files and folders by path, and {why: paths} of what is skipped."""

    files: list[pathlib.Path]
    folders: list[pathlib.Path]
    skipped: dict[str, list[pathlib.Path]]


def walk(top: str | os.PathLike) -> Walk:
    """All files and folders under `top`, which itself is the first folder.

    Links to files and folders are followed. A folder that is reached by several ways is read once: as itself rather
    than by a link, else by the first link in the order of the paths. Links to a folder that contains them are cut.
    """
    files, visited, skipped = [], [], collections.defaultdict(list)
    folders, links = collections.deque([pathlib.Path(top)]), collections.deque()
    seen: set[tuple[int, int]] = set()
    while folders or links:
        folder = folders.popleft() if folders else links.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                skipped["links to a folder that is read already"].append(folder)
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            skipped["folders that cannot be opened"].append(folder)
            continue
        visited.append(folder)
        for entry in inside:
            path = folder / entry.name
            why = _why_skipped(entry, path)
            if why is not None:
                skipped[why].append(path)
            elif entry.is_file():
                files.append(path)
            elif entry.is_dir():
                (links if entry.is_symlink() else folders).append(path)
    return Walk(sorted(files), sorted(visited), dict(skipped))


def _why_skipped(entry: os.DirEntry, path: pathlib.Path) -> str | None:
    """The key of `Walk.skipped`, or None for what is read."""
    if entry.name.startswith(".") or entry.name.lower() in SYSTEM_NAMES:
        return "hidden or of the system"
    if entry.is_symlink() and not os.path.exists(path):
        return "broken links"
    if entry.is_symlink() and entry.is_dir() and path.parent.resolve().is_relative_to(path.resolve()):
        return "links to a folder that contains them"
    return None


def skipped_lines(skipped: dict[str, list[pathlib.Path]], top: pathlib.Path) -> list[str]:
    """One line for each reason: how many paths, and the first of them below `top`."""
    lines = []
    for why, paths in skipped.items():
        shown = ", ".join(path.relative_to(top).as_posix() for path in sorted(paths)[:SHOWN])
        lines.append(f"skipped, {why}: {len(paths)} ({shown}{', ...' if len(paths) > SHOWN else ''})")
    return lines

"""Files that a mesh file names: material libraries and textures, written on any system."""

import os
import pathlib
import re
import unicodedata

from trainlib.core.text import decode

_QUOTED = re.compile(r'"([^"]*)"|\'([^\']*)\'')
_COMMENT = re.compile(r"(?:^|\s)#.*")


def name_of(raw: bytes) -> str:
    """The text of a name in any encoding."""
    try:
        return decode(raw)
    except ValueError:
        return raw.decode("latin-1")


def spellings(rest: str) -> list[str]:
    """What the rest of a line may mean as one name: all of it, without `# comment`, without quotes; none is empty."""
    found = [rest.strip(), _COMMENT.sub("", rest).strip()]
    for quoted in filter(None, map(_QUOTED.fullmatch, tuple(found))):
        found.append((quoted[1] or quoted[2] or "").strip())
    return [name for name in dict.fromkeys(found) if name]


def several(rest: str, ending: str) -> list[str]:
    """The names on one line: quoted ones, ones with blanks that have the ending (`.mtl`), and single words."""
    one = rf'"[^"]*"|\'[^\']*\'|\S.*?{re.escape(ending)}(?=\s|$)|\S+'
    return [name.strip("\"'") for name in re.findall(one, _COMMENT.sub("", rest), re.IGNORECASE)]


def find_beside(folder: pathlib.Path, rest: str) -> pathlib.Path | None:
    """The file that a line of a mesh or material file in `folder` names, in any spelling, or None.

    Tries the name, with slashes for back-slashes, in other case and other Unicode form, and its last part alone next
    to the file: paths of the machine that wrote it mean nothing here.
    """
    for name in spellings(rest):
        slashed = name.replace("\\", "/")
        for candidate in dict.fromkeys((name, slashed, slashed.rsplit("/", 1)[-1])):
            if candidate and "\0" not in candidate:
                if os.path.isfile(folder / candidate):
                    return folder / candidate
                found = None if candidate.startswith("/") else _in_other_case(folder, candidate)
                if found is not None:
                    return found
    return None


def _in_other_case(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """The file under `folder` whose path differs from `name` in case and Unicode form alone, or None."""
    here = folder
    for part in pathlib.PurePosixPath(name).parts:
        try:
            entries = [".."] if part == ".." else sorted(os.listdir(here))
        except OSError:
            return None
        match = next((entry for entry in entries if _folded(entry) == _folded(part)), None)
        if match is None:
            return None
        here = here / match
    return here if here.is_file() else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()

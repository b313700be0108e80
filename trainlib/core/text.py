"""Text files from any editor and system, words that were nearly right, numbers with their words."""

import codecs
import difflib
import os
import pathlib
from collections.abc import Iterable

# UTF-32 first: the mark of its little-endian form begins with the mark of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 4096


def decode(content: bytes) -> str:
    """Text from bytes: by its byte-order mark, else UTF-16 if its zero bytes fit, else UTF-8, else Windows-1252.

    Raises ValueError for bytes that are not text: zero bytes outside UTF-16, an odd or a damaged UTF-16.
    """
    encoding, sample = next((name for mark, name in _MARKS if content.startswith(mark)), None), content[:_SAMPLE]
    if encoding is None and b"\0" in sample:
        even, odd = sample[0::2].count(0), sample[1::2].count(0)  # in Western text nearly all are high bytes
        if min(even, odd) * 8 > max(even, odd):
            raise ValueError("zero bytes in it, so it is not a text")
        encoding = "utf-16-le" if odd > even else "utf-16-be"
    try:
        return content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise ValueError(f"not a text in {encoding.upper()}: {error.reason} at byte {error.start}") from None
        return content.decode("cp1252", "replace")


def read_text(path: str | os.PathLike) -> str:
    """The text of a file (see `decode`). Raises OSError, and ValueError that names the file if it is not text."""
    try:
        return decode(pathlib.Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}. Save it as plain text in UTF-8.") from None


def read_names(path: str | os.PathLike) -> list[str]:
    """The names of a list file, one per line, in its order.

    Names may contain blanks; blanks around them and empty lines are skipped. Raises as `read_text` does.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'wall'?` for the known word that is nearest to `word`, or "" if none is near."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def pluralize(number: int, noun: str, rest: str = "") -> str:
    """`1 face`, `2 faces skipped`, `3 vertices kept`: number, noun in its number, and what follows."""
    if number != 1 and noun.endswith("vertex"):
        noun = noun.removesuffix("ex") + "ices"
    elif number != 1:
        noun += "es" if noun[-1] == "s" else "s"
    return f"{number} {noun}{rest and ' ' + rest}"


def duration(seconds: float) -> str:
    """Two units of a time span: "0s", "2m 13s", "3h 05m", "4d 02h"."""
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {seconds:02d}s" if minutes else f"{seconds}s"

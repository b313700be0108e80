"""Numbers of text files: any white space, any line ends, any byte-order mark, and the line of what is not a number."""

import math
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kernels.host.jit import compiled
from preprocess.mesh.mesh import MeshError
from trainlib.core.text import decode

EXPORT_AGAIN = "Export it again, or convert it to PLY."
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_FORTRAN = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)[dD][+-]?\d+")
_MSVC = re.compile(rb"([+-]?)\d+\.#(IND|QNAN|SNAN|INF|J)\w*", re.IGNORECASE)
_NAN = re.compile(rb"[+-]?nan(\(\w*\)|\w+)", re.IGNORECASE)
_COMMENT = re.compile(rb"(?<!\.)#[^\r\n]*|#(?!IND|QNAN|SNAN|INF|J)[^\r\n]*", re.IGNORECASE)
_LONGEST_WORD = 40


class WordError(ValueError):
    """A word that is not a number.

    Attributes:
        index: of the word among all words of the text.
        line: where it is, counted from 1.
    """

    def __init__(self, index: int, line: int, word: bytes):
        super().__init__(index, line, word)
        self.index, self.line = index, line
        shown = repr(word[:_LONGEST_WORD].decode("latin-1")) + ("..." if len(word) > _LONGEST_WORD else "")
        decimal = " (a decimal comma)" if re.fullmatch(rb"[+-]?\d*,\d+", word) else ""
        self.cause = f"{shown} is not a number{decimal}"


class Numbers(NamedTuple):
    """All numbers of a text.

    Attributes:
        values: float64 [N].
        per_line: int32 [L], how many are on each line.
        first_line: the number of the first line.
    """

    values: np.ndarray
    per_line: np.ndarray
    first_line: int

    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each line with numbers: index of the first number, their count, number of the line; int64 [R]."""
        filled = np.flatnonzero(self.per_line)
        counts = self.per_line[filled].astype(np.int64)
        return np.cumsum(counts) - counts, counts, filled + self.first_line

    def line_of(self, index: int) -> int:
        """The number of the line that holds values[index]."""
        return int(np.searchsorted(np.cumsum(self.per_line), index, side="right")) + self.first_line


def plain_text(path: pathlib.Path, content: bytes) -> bytes:
    """The text of a file in UTF-8 without a byte-order mark; text in any 8-bit encoding stays as it is.

    Raises MeshError for a damaged file in UTF-16 or UTF-32.
    """
    if content.startswith(_MARKS[0]):
        return content[len(_MARKS[0]) :]
    zeros = tuple(byte == 0 for byte in content[:4])
    if not content.startswith(_MARKS) and zeros not in ((False, True) * 2, (True, False) * 2):
        return content
    try:
        return decode(content).encode("utf-8", "replace")
    except ValueError as error:
        raise MeshError(path, f"{error}", "Save it as plain text in UTF-8, or convert it to PLY.") from None


def name_of(raw: bytes) -> str:
    """The text of a name in any encoding."""
    try:
        return decode(raw)
    except ValueError:
        return raw.decode("latin-1")


def without_comments(text: bytes) -> bytes:
    """The text without `# ...` to the end of each line; `1.#IND` and its kin are numbers."""
    return _COMMENT.sub(b"", text) if b"#" in text else text


def count_lines(text: bytes, start: int = 0, stop: int | None = None) -> int:
    """Line ends in text[start:stop]: LF, CR LF or CR."""
    lf, cr, both = (text.count(end, start, stop) for end in (b"\n", b"\r", b"\r\n"))
    return lf + cr - both


def read_numbers(text: bytes, start: int = 0) -> Numbers:
    """Every word of a text from byte `start` on as a number.

    Words are separated by white space. Fortran's exponents (`2.5D-01`) are read, and so are the words of Microsoft's
    libraries for infinity and for what is not a number (`1.#INF`, `-1.#IND`, `nan(ind)`). Raises WordError for others.
    """
    per_line, first_line = words_per_line(text, start), 1 + count_lines(text, 0, start)
    total = int(per_line.sum())
    try:
        # With a count, no memory is taken beyond it; the 0 is reached only if every word before it is a number.
        ended = b"".join([memoryview(text)[start:], b" 0"])
        values = np.fromstring(ended, sep=" ", count=total + 1)[:-1]
    except ValueError:  # word by word, which is slow
        values = np.empty(total)
        for index, word in enumerate(text[start:].split()):
            try:
                values[index] = number_of(word)
            except ValueError:
                raise WordError(index, Numbers(values, per_line, first_line).line_of(index), word) from None
    return Numbers(values, per_line, first_line)


def file_numbers(
    path: pathlib.Path, text: bytes, start: int = 0, line_of: Callable[[int], int] = int, remedy: str = EXPORT_AGAIN
) -> Numbers:
    """The numbers of a text from byte `start` on. Raises MeshError for another word, with its line by `line_of`."""
    try:
        return read_numbers(text, start)
    except WordError as error:
        raise MeshError(path, f"line {line_of(error.line)}: {error.cause}", remedy) from None


def whole_numbers(
    path: pathlib.Path, values: np.ndarray, what: str, line_of: Callable[[int], int] | None = None
) -> np.ndarray:
    """The values [N] as int64 [N]. Raises MeshError for a floating-point value that is not an integer of 32 bits.

    Args:
        what: of what they are the values, for the message.
        line_of: the line of the file for a row of the values, if it is known.
    """
    with np.errstate(invalid="ignore"):
        integers = values.astype(np.int64)
    if values.dtype.kind != "f":
        return integers
    fits = (integers == values) & (np.abs(values) < 2**32)
    if not fits.all():
        row = int(np.argmin(fits))
        where = f"value {row} of {what}" if line_of is None else f"line {line_of(row)}: {what}"
        cause = f"{where} is {values[row]:g}, which is not a 32-bit integer"
        raise MeshError(path, cause, "Write it with an integer type." if line_of is None else EXPORT_AGAIN)
    return integers


def words_per_line(text: bytes, start: int = 0) -> np.ndarray:
    """How many words are on each line of text[start:]; int32 [L]."""
    counts = np.zeros(count_lines(text, start) + 1, np.int32)
    _count_words(np.frombuffer(text, np.uint8)[start:], counts)
    return counts


def number_of(word: bytes) -> float:
    """One word, as `read_numbers` reads it. Raises ValueError."""
    if b"_" in word:
        raise ValueError("an underscore in a number")
    try:
        return float(word)
    except ValueError:
        if _FORTRAN.fullmatch(word):
            return float(word.replace(b"d", b"e").replace(b"D", b"e"))
        special = _MSVC.fullmatch(word)
        if special and special[2].upper() in (b"INF", b"J"):
            return -math.inf if special[1] == b"-" else math.inf
        if special or _NAN.fullmatch(word):
            return math.nan
        raise


@compiled
def is_space(byte):
    """Whether a byte separates words: a blank, a tab, a line end or a form feed."""
    return byte == 32 or 9 <= byte <= 13


@compiled
def _count_words(source, counts):
    """Words of each line of the bytes `source`; a line ends with LF, CR LF or CR."""
    line, inside, previous = 0, False, np.uint8(0)
    for place in range(len(source)):
        byte = source[place]
        if byte == 10 or byte == 13:
            if not (byte == 10 and previous == 13):
                line += 1
            inside = False
        elif is_space(byte):
            inside = False
        elif not inside:
            inside = True
            counts[line] += 1
        previous = byte

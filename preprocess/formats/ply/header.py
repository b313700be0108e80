"""The header of a PLY file: its elements, their properties and the names of its textures."""

import pathlib
import re
from dataclasses import dataclass, field

from preprocess.mesh.mesh import MeshError
from trainlib.core.text import decode

TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
TYPES |= {"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"}
TYPES |= {"float": "f4", "double": "f8", "float32": "f4", "float64": "f8", "int64": "i8", "uint64": "u8"}
CUT = "The file was cut off or its header is wrong; copy or export it again."
WRITE_AGAIN = "Export it again as PLY (ascii or binary, version 1.0)."
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST_HEADER = 1 << 20
_DIGITS = 18
"""Most digits of a declared count: int64 holds them."""
_BEGIN = re.compile(rb"ply[ \t]*[\r\n]", re.IGNORECASE)
_END = re.compile(rb"(\r\n|\r|\n)[ \t]*end_header[ \t]*(?=[\r\n]|\Z)", re.IGNORECASE)
_TEXTURE = re.compile(r"\s*comment\s+texturefile\s+(.*\S)\s*", re.IGNORECASE)


@dataclass
class Property:
    """name, NumPy type code, and for a list the type code of its length."""

    name: str
    type: str
    length_type: str | None = None


@dataclass
class Element:
    """name, declared count and properties in file order."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list)


@dataclass
class Header:
    """The header of a PLY file.

    Attributes:
        byte_order: "" for ASCII, "<" or ">".
        start: where the data begin.
        textures: names in MeshLab's comments.
    """

    byte_order: str
    elements: list[Element]
    start: int
    textures: list[str] = field(default_factory=list)


def parse_header(path: pathlib.Path, content: bytes) -> Header:
    """Elements and properties; line ends may be LF, CR LF or CR, also mixed. MeshError if it is not a PLY header."""
    if not _BEGIN.match(content):
        begin = content[:40].decode("latin-1")
        raise MeshError(path, f"not a PLY: begins with {begin!r}" if content else "not a PLY: the file is empty", CUT)
    end = _END.search(content, 0, _LONGEST_HEADER)
    if end is None:
        raise MeshError(path, "the PLY header has no end_header", CUT)
    header = Header("", [], _data_start(content, end))
    formats = []
    for number, line in enumerate(content[: end.start()].splitlines()[1:], start=2):
        _parse_line(path, number, line, header, formats)
    if not formats:
        raise MeshError(path, "the PLY header has no format line", WRITE_AGAIN)
    header.byte_order = formats[-1]
    for names in ([e.name for e in header.elements], *([p.name for p in e.properties] for e in header.elements)):
        if len(set(names)) < len(names):
            raise MeshError(path, f"the PLY header has a name twice: {', '.join(names)}", WRITE_AGAIN)
    return header


def _data_start(content: bytes, end: re.Match) -> int:
    """Where the data begin. After a CR a byte of the data may look like LF, unless the header has CR LF elsewhere."""
    after = content[end.end() : end.end() + 2]
    only_cr = end[1] == b"\r" and b"\r\n" not in content[: end.start()]
    return end.end() + (2 if after == b"\r\n" and not only_cr else min(len(after), 1))


def _parse_line(path: pathlib.Path, number: int, line: bytes, header: Header, formats: list[str]) -> None:
    """Adds a line of the header to `header` and `formats`."""
    text, elements = line.decode("latin-1"), header.elements
    words = text.split()
    keyword = words[0].lower() if words else "comment"
    if keyword in ("comment", "obj_info"):
        texture = _TEXTURE.fullmatch(_decoded(line))
        if texture:
            header.textures.append(texture[1])
    elif keyword == "format" and len(words) == 3 and words[1].lower() in _FORMATS:
        formats.append(_FORMATS[words[1].lower()])
    elif keyword == "element" and len(words) == 3 and words[2].isdecimal() and len(words[2]) <= _DIGITS:
        elements.append(Element(words[1], int(words[2])))
    elif keyword == "property" and elements and len(words) == 3 and words[1].lower() in TYPES:
        elements[-1].properties.append(Property(words[2], TYPES[words[1].lower()]))
    elif keyword == "property" and elements and _is_list([word.lower() for word in words]):
        length, item = (TYPES[word.lower()] for word in words[2:4])
        elements[-1].properties.append(Property(words[4], item, length))
    else:
        raise MeshError(path, f"line {number} of the PLY header is {text!r}", WRITE_AGAIN)


def _is_list(words: list[str]) -> bool:
    """Whether the words are `property list <integer type> <type> <name>`."""
    return len(words) == 5 and words[1] == "list" and words[3] in TYPES and TYPES.get(words[2], "f")[0] in "iu"


def _decoded(line: bytes) -> str:
    try:
        return decode(line)
    except ValueError:
        return line.decode("latin-1")

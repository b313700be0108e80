"""The header of a PLY file: its elements, their properties and the names of its textures."""

import pathlib
import re
from dataclasses import dataclass, field

from preprocess.formats.text_numbers import name_of
from preprocess.mesh.mesh import MeshError

_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
_TYPES |= {"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"}
_TYPES |= {"float": "f4", "double": "f8", "float32": "f4", "float64": "f8", "int64": "i8", "uint64": "u8"}
CUT = "The file was cut off or its header is wrong; copy or export it again."
WRITE_AGAIN = "Export it again as PLY (ascii or binary, version 1.0)."
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_BEGIN = re.compile(rb"ply[ \t]*[\r\n]", re.IGNORECASE)
_END = re.compile(rb"(\r\n|\r|\n)[ \t]*end_header[ \t]*(?=[\r\n]|\Z)", re.IGNORECASE)
_TYPE, _INTEGER = "|".join(_TYPES), "|".join(name for name, code in _TYPES.items() if code[0] in "iu")
_FORMAT = re.compile(rf"\s*format\s+({'|'.join(_FORMATS)})\s+\S+\s*", re.IGNORECASE)
_ELEMENT = re.compile(r"\s*element\s+(\S+)\s+(\d{1,18})\s*", re.IGNORECASE)  # int64 holds 18 digits
_PROPERTY = re.compile(rf"\s*property\s+(?:list\s+({_INTEGER})\s+)?({_TYPE})\s+(\S+)\s*", re.IGNORECASE)
_COMMENT = re.compile(r"\s*((comment|obj_info)(\s.*)?)?", re.IGNORECASE)
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
    end = _END.search(content, 0, 2**20)
    if end is None:
        raise MeshError(path, "the PLY header has no end_header", CUT)
    elements, textures, formats = [], [], []
    for number, line in enumerate(content[: end.start()].splitlines()[1:], start=2):
        text = line.decode("latin-1")
        if _COMMENT.fullmatch(text):
            texture = _TEXTURE.fullmatch(name_of(line))
            textures += [texture[1]] if texture else []
        elif found := _FORMAT.fullmatch(text):
            formats.append(_FORMATS[found[1].lower()])
        elif found := _ELEMENT.fullmatch(text):
            elements.append(Element(found[1], int(found[2])))
        elif (found := _PROPERTY.fullmatch(text)) and elements:
            length_type = found[1] and _TYPES[found[1].lower()]
            elements[-1].properties.append(Property(found[3], _TYPES[found[2].lower()], length_type))
        else:
            raise MeshError(path, f"line {number} of the PLY header is {text!r}", WRITE_AGAIN)
    if not formats:
        raise MeshError(path, "the PLY header has no format line", WRITE_AGAIN)
    for names in ([e.name for e in elements], *([p.name for p in e.properties] for e in elements)):
        if len(set(names)) < len(names):
            raise MeshError(path, f"the PLY header has a name twice: {', '.join(names)}", WRITE_AGAIN)
    return Header(formats[-1], elements, _data_start(content, end), textures)


def _data_start(content: bytes, end: re.Match) -> int:
    """Where the data begin. After a CR a byte of the data may look like LF, unless the header has CR LF elsewhere."""
    after = content[end.end() : end.end() + 2]
    only_cr = end[1] == b"\r" and b"\r\n" not in content[: end.start()]
    return end.end() + (2 if after == b"\r\n" and not only_cr else min(len(after), 1))

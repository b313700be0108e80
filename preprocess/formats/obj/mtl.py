"""Material libraries of OBJ files (MTL): diffuse colours (`Kd`) and their textures (`map_Kd`)."""

import math
import pathlib
import re
from dataclasses import dataclass

import numpy as np

from preprocess.formats.text_numbers import number_of
from preprocess.formats.textures import find_beside, read_texture, sampled, several, spellings
from trainlib.core.text import pluralize, read_text

_OPTION_WORDS = {"-blendu": 1, "-blendv": 1, "-boost": 1, "-bm": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-mm": 2}
_OPTION_WORDS |= {"-texres": 1, "-type": 1, "-o": 3, "-s": 3, "-t": 3}
"""Words that follow an option of a texture; of -o, -s and -t up to three numbers."""
_PLACING = ("-o", "-s", "-t")
_NOT_APPLIED = ("-imfchan", "-mm", "-t")
"""Options that change the colours and are ignored."""
_OPTION = re.compile(r"(-[A-Za-z]+)\s+")
_WORD = re.compile(r"(\S+)\s+")
_SHOWN = 5


@dataclass
class Texture:
    """A picture as a `map_Kd` line names it.

    Attributes:
        file: the line without its options.
        offset, scale: of u and v.
        clamp: whether it ends at 0 and 1.
        ignored: options that are not applied.
        image: uint8 [H, W, 3], None until it is read.
    """

    file: str
    offset: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    clamp: bool = False
    ignored: tuple[str, ...] = ()
    image: np.ndarray | None = None

    def colors(self, places: np.ndarray) -> np.ndarray:
        """uint8 [N, 3] at texture coordinates float64 [N, 2], v upwards."""
        offset = self.offset if self.clamp else np.mod(self.offset, 1.0)  # whole textures lead to the same place
        u, v = (places * self.scale + offset).T
        wrap = "clamp" if self.clamp else "repeat"
        return sampled(self.image, np.stack([u, 1 - v], axis=1), (wrap, wrap))


@dataclass
class Material:
    """A material of the library in `folder`: its colour, 0 to 255, and its texture, each None if absent."""

    folder: pathlib.Path
    color: tuple[float, ...] | None = None
    texture: Texture | None = None


def read_materials(
    folder: pathlib.Path, libraries: list[str], used: list[str]
) -> tuple[dict[str, Material], list[str]]:
    """The materials that are used, with their pictures, by the name in `used`, and notes on what is missing.

    Args:
        folder: of the OBJ file.
        libraries: the rest of each `mtllib` line.
        used: the rest of each `usemtl` line.
    """
    known: dict[str, Material] = {}
    missing, notes = [], []
    for rest in libraries:
        whole = find_beside(folder, rest)
        if whole is not None:
            _read_library(whole, known, notes)
            continue
        for name in dict.fromkeys(several(rest, ".mtl")):
            file = find_beside(folder, name)
            if file is None:
                missing.append(name)
            else:
                _read_library(file, known, notes)
    found = {name: material for name in used if (material := _of_name(known, name)) is not None}
    undefined = [name for name in used if name not in found]
    if missing:
        absent = f"{', '.join(missing)} is not next to it"
        lost = bool(undefined) or not known
        notes.insert(0, f"warning: its materials are missing, {absent}" if lost else f"{absent}, and is not needed")
    elif undefined:
        where = f"not in its libraries: {', '.join(undefined[:_SHOWN])}" + (" ..." if undefined[_SHOWN:] else "")
        where = where if libraries else "named, but no library (`mtllib`)"
        notes.append(f"warning: {pluralize(len(undefined), 'material')} {where}")
    _read_images(found, notes)
    return found, notes


def _read_library(file: pathlib.Path, known: dict[str, Material], notes: list[str]) -> None:
    """Adds the materials of a file to `known`, under every spelling of their names; the first of a name counts."""
    try:
        lines = read_text(file).splitlines()
    except (OSError, ValueError) as error:
        notes.append(f"warning: a material library cannot be read: {error}")
        return
    material = Material(file.parent)
    for number, line in enumerate(lines, start=1):
        keyword, _, rest = line.strip().replace("\t", " ").partition(" ")
        keyword = keyword.lower()
        if keyword == "newmtl":
            material = Material(file.parent)
            for name in spellings(rest):
                known.setdefault(name, material)
        elif keyword == "kd":
            material.color = _color(rest)
            if material.color is None:
                notes.append(f"warning: line {number} of {file.name} is not a colour: {line.strip()[:60]}")
        elif keyword == "map_kd" and spellings(rest):
            material.texture = _texture(rest)


def _of_name(known: dict[str, Material], name: str) -> Material | None:
    """The material that a `usemtl` line means: with its exact name, else in other case."""
    for spelling in spellings(name):
        if spelling in known:
            return known[spelling]
    folded = {key.casefold(): material for key, material in reversed(known.items())}
    return next((folded[s.casefold()] for s in spellings(name) if s.casefold() in folded), None)


def _color(rest: str) -> tuple[float, ...] | None:
    """0 to 255 of the numbers after `Kd`; one number is a grey. None for other forms."""
    try:
        values = [number_of(word) for word in rest.split("#", 1)[0].encode().split()[:3]]
    except ValueError:
        return None
    values = values * 3 if len(values) == 1 else values
    return tuple(255 * min(max(value, 0.0), 1.0) for value in values) if len(values) == 3 else None


def _texture(rest: str) -> Texture:
    """A picture and its options from what follows `map_Kd`."""
    texture, rest = Texture(""), rest.strip()
    while (option := _OPTION.match(rest)) and option[1].lower() in _OPTION_WORDS:
        name, values = option[1].lower(), []
        rest = rest[option.end() :]
        while len(values) < _OPTION_WORDS[name] and (word := _WORD.match(rest)):
            if name in _PLACING and not _is_number(word[1]):
                break
            values.append(word[1])
            rest = rest[word.end() :]
        if name == "-o":
            texture.offset = (*map(float, values[:2]), 0.0, 0.0)[:2]
        elif name == "-s":
            texture.scale = (*map(float, values[:2]), 1.0, 1.0)[:2]
        elif name == "-clamp":
            texture.clamp = values == ["on"]
        elif name in _NOT_APPLIED:
            texture.ignored += (name,)
    texture.file = rest
    return texture


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _read_images(materials: dict[str, Material], notes: list[str]) -> None:
    """Reads the picture of each texture once; a texture without one is dropped, with a note."""
    images: dict[pathlib.Path | None, tuple[np.ndarray | None, str]] = {None: (None, "")}
    told = set()
    for material in materials.values():
        texture = material.texture
        if texture is None or texture.image is not None:
            continue
        path = find_beside(material.folder, texture.file)
        if path not in images:
            images[path] = read_texture(path)
        texture.image, reason = images[path]
        if texture.image is None:
            material.texture = None
            told.add(f"warning: a texture cannot be read, {texture.file}{reason and ': ' + reason}")
        elif texture.ignored:
            told.add(f"warning: options of the texture {texture.file} ignored: {', '.join(texture.ignored)}")
    notes += sorted(told)

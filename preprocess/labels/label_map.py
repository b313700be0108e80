"""Label maps: from the ids of a data set to class indices and back, with names and colours."""

import colorsys
import csv
import io
import pathlib
from dataclasses import dataclass

import numpy as np

from preprocess.mesh.mesh import MeshError
from trainlib.core.files import atomic_file
from trainlib.core.text import read_text

IGNORED = -1
UNLABELLED = 0  # raw id of a vertex without annotation in ScanNet's files, and the default of --unlabelled
MINUS_ONE = -1  # raw id that many programs write for "ignore"; it is always unlabelled
ABSENT = -(2**31)  # raw id of a vertex to which nobody gave one

# NYU40 id, name and colour of the 20 classes of ScanNet's benchmark (scannet util.py, MIT licence).
_SCANNET20 = (
    (1, "wall", 174, 199, 232),
    (2, "floor", 152, 223, 138),
    (3, "cabinet", 31, 119, 180),
    (4, "bed", 255, 187, 120),
    (5, "chair", 188, 189, 34),
    (6, "sofa", 140, 86, 75),
    (7, "table", 255, 152, 150),
    (8, "door", 214, 39, 40),
    (9, "window", 197, 176, 213),
    (10, "bookshelf", 148, 103, 189),
    (11, "picture", 196, 156, 148),
    (12, "counter", 23, 190, 207),
    (14, "desk", 247, 182, 210),
    (16, "curtain", 219, 219, 141),
    (24, "refrigerator", 255, 127, 14),
    (28, "shower curtain", 158, 218, 229),
    (33, "toilet", 44, 160, 44),
    (34, "sink", 112, 128, 144),
    (36, "bathtub", 227, 119, 194),
    (39, "otherfurniture", 82, 84, 163),
)
LARGEST_ID = 65535
_NYU40 = range(1, 41)
_COLUMNS = ["id", "name", "red", "green", "blue"]


@dataclass(frozen=True)
class LabelMap:
    """The classes of a data set, row = class.

    Attributes:
        ids: raw id of each class.
        names, colors: name and (red, green, blue), 0 to 255, of each class.
        unlabelled: raw id that means "without annotation", None if there is no such id. An id among `ids` is a class.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    unlabelled: int | None = UNLABELLED

    def __post_init__(self):
        if len(set(self.ids)) != len(self.ids):
            repeated = sorted({i for i in self.ids if self.ids.count(i) > 1})
            raise ValueError(f"ids {repeated} appear more than once")
        if not self.ids or min(self.ids) < 0 or max(self.ids) > LARGEST_ID:
            raise ValueError(f"a label map needs ids between 0 and {LARGEST_ID}, it has {list(self.ids)}")
        if any(not 0 <= part <= 255 for color in self.colors for part in color):
            raise ValueError("colours must be between 0 and 255")

    def to_classes(self, raw: np.ndarray) -> tuple[np.ndarray, dict[int, int]]:
        """Raw ids to class indices.

        Args:
            raw: integer [V], any values.

        Returns:
            int32 [V] (-1 where the id is not in the map) and {id: vertices} of the ids that are not in the map, without
            those that `is_unlabelled`.
        """
        present, inverse, counts = np.unique(raw, return_inverse=True, return_counts=True)
        found = {int(id_): int(count) for id_, count in zip(present, counts)}
        index = {id_: row for row, id_ in enumerate(self.ids)}
        classes = np.array([index.get(id_, IGNORED) for id_ in found], np.int32)
        unknown = {id_: n for id_, n in found.items() if id_ not in index and not self.is_unlabelled(id_)}
        return classes[inverse.reshape(-1)], unknown

    def is_unlabelled(self, id_: int) -> bool:
        """Whether a raw id means "without annotation": the map's `unlabelled`, -1, or no id at all."""
        return id_ not in self.ids and id_ in (self.unlabelled, MINUS_ONE, ABSENT)

    def foreign(self, unknown: dict[int, int]) -> int:
        """Vertices whose id the data set of the map does not know either, from the counts of `to_classes`.

        The benchmark leaves 20 of the NYU40 ids out on purpose; every other map is taken to name all ids of its data.
        """
        known = _NYU40 if self.ids == scannet20().ids else ()
        return sum(count for id_, count in unknown.items() if id_ not in known)

    def to_ids(self, classes: np.ndarray) -> np.ndarray:
        """Class indices [V] (-1 allowed) to raw ids uint16 [V]; -1 becomes `unlabelled`.

        Raises ValueError for -1 if no id from 0 to 65535 is unlabelled.
        """
        classes = np.asarray(classes)
        possible = self.unlabelled is not None and 0 <= self.unlabelled <= LARGEST_ID
        if not possible and (classes == IGNORED).any():
            raise ValueError(f"{int((classes == IGNORED).sum())} vertices have no class, and no id means unlabelled")
        table = np.array([*self.ids, self.unlabelled if possible else 0], np.uint16)
        return table[classes]


def scannet20() -> LabelMap:
    """The 20 classes of ScanNet's benchmark among the NYU40 ids."""
    return _from_rows(_SCANNET20)


def auto_label_map(ids: np.ndarray, unlabelled: int | None = UNLABELLED) -> LabelMap:
    """One class for each distinct id, named after it, in colours that are easy to distinguish.

    Args:
        ids: integer [...], any shape; negative ids are skipped.
        unlabelled: the id that is not a class, None if there is none.
    """
    present = [int(id_) for id_ in np.unique(ids) if id_ >= 0 and id_ != unlabelled]
    # Golden-ratio steps around the colour circle keep neighbours apart for any number of classes.
    hues = [(0.1 + 0.6180339887498949 * row) % 1 for row in range(len(present))]
    colors = [colorsys.hls_to_rgb(hue, (0.45, 0.6, 0.7)[row % 3], 0.55) for row, hue in enumerate(hues)]
    rows = [(id_, f"class {id_}", *(round(255 * c) for c in color)) for id_, color in zip(present, colors)]
    return _from_rows(rows, unlabelled)


def read_label_map(path: str | pathlib.Path) -> LabelMap:
    """Reads a CSV with the header id,name,red,green,blue; row order is class order. Raises MeshError."""
    remedy = f"A label map is a CSV file with the header {','.join(_COLUMNS)} and a row for each class."
    try:
        text = read_text(path)
    except ValueError as error:
        raise MeshError(path, str(error).removeprefix(f"{path}: "), remedy) from None
    try:
        rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise MeshError(path, f"not a CSV file ({error})", remedy) from None
    if not rows or [name.strip().lower() for name in rows[0]] != _COLUMNS:
        raise MeshError(path, f"begins with {text[:60]!r}", remedy)
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(_COLUMNS) or not all(row[i].strip().lstrip("-").isdecimal() for i in (0, 2, 3, 4)):
            raise MeshError(path, f"row {number} is {','.join(row)!r}", remedy)
    try:
        return _from_rows([(int(i), name.strip(), int(r), int(g), int(b)) for i, name, r, g, b in rows[1:]])
    except ValueError as error:
        raise MeshError(path, str(error), remedy) from None


def write_label_map(path: str | pathlib.Path, label_map: LabelMap) -> None:
    """Writes what `read_label_map` reads, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for id_, name, color in zip(label_map.ids, label_map.names, label_map.colors):
        writer.writerow([id_, name, *color])
    with atomic_file(pathlib.Path(path)) as file:
        file.write(text.getvalue().encode())


def _from_rows(rows, unlabelled: int | None = UNLABELLED) -> LabelMap:
    """(id, name, red, green, blue) rows to a LabelMap."""
    ids, names, *colors = zip(*rows) if rows else ((), ())
    return LabelMap(ids, names, tuple(zip(*colors)), unlabelled)

"""Image files that stay on the disk until a batch needs them, decoded by Pillow in threads."""

import concurrent.futures
import contextlib
import copy
import dataclasses
import functools
import logging
import os
import pathlib
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from PIL import ExifTags, Image

from trainlib.core.errors import UserError
from trainlib.core.pictures import to_rgb
from trainlib.core.text import pluralize

_log = logging.getLogger(__name__)

# Formats that Pillow recognises but decodes not at all, or with programs of others alone.
_NOT_DECODED = frozenset(("BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"))
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
# What Pillow's decoders raise for a damaged file.
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, RuntimeError, *_BOMBS)
_METADATA_ERRORS = (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error)
_SHOWN = 10
_END_OF = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND", "GIF": b";"}
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
# What turns an image of EXIF orientation 2 .. 8 upright; from 5 on height and width change places.
_TURNS = dict(
    enumerate(
        ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"), 2
    )
)


@functools.cache
def image_suffixes() -> frozenset[str]:
    """The endings, in lower case with their dot, of the formats that the installed Pillow decodes."""
    Image.init()
    decoded = Image.OPEN.keys() - _NOT_DECODED
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in decoded)


class Canvas(NamedTuple):
    """Images of different sizes in one array, each in the upper left corner of a square.

    `pixels` uint8 [N, S, S, 3], RGB, are never read outside an image; `sizes` int32 [N, 2] are heights and widths.
    """

    pixels: np.ndarray
    sizes: np.ndarray


@dataclasses.dataclass(eq=False, repr=False)
class Decoded:
    """Array-like of images whose rows are decoded when they are asked for: `decoded[rows]` is what `read` makes."""

    images: "ImageFiles"
    read: Callable[["ImageFiles"], Any]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: np.ndarray) -> Any:
        return self.read(self.images[rows])


@dataclasses.dataclass(eq=False, repr=False)
class ImageFiles:
    """A list of image files; `files[rows]` is another such list, and nothing is decoded before it is read.

    Attributes:
        root: folder that the paths begin at.
        paths: relative paths, with "/".
        origin: row -> where the path was named ("val.txt, line 7"), for messages.
        canvas: S; larger images are reduced to fit, smaller ones stay as they are.
        resize, size: of `centre_crops`: the shorter side first becomes `resize` pixels.
        threads: decode at a time.
        upright: rotate images by the orientation in their EXIF data.
    """

    root: str | os.PathLike
    paths: Sequence[str]
    _: dataclasses.KW_ONLY
    origin: Callable[[int], str]
    canvas: int
    resize: int
    size: int
    threads: int
    upright: bool = False

    def __post_init__(self):
        if not 1 <= self.size <= self.resize:
            raise UserError(f"a central crop of {self.size} pixels does not fit into a shorter side of {self.resize}")
        if self.canvas < 1 or self.threads < 1:
            raise UserError(f"canvas {self.canvas} and decoding threads {self.threads} must be at least 1")
        self.root = pathlib.Path(self.root)
        self._rows = np.arange(len(self.paths))
        self._pool = concurrent.futures.ThreadPoolExecutor(self.threads, thread_name_prefix="decode")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: np.ndarray | slice) -> "ImageFiles":
        part = copy.copy(self)
        part._rows = self._rows[rows]
        return part

    def path(self, row: int) -> pathlib.Path:
        """The file of a row."""
        return self.root / self.paths[int(self._rows[row])]

    @property
    def canvases(self) -> Decoded:
        """Rows as a `Canvas`."""
        return Decoded(self, ImageFiles.read_canvas)

    @property
    def centre_crops(self) -> Decoded:
        """Rows as uint8 [n, size, size, 3]: shorter side to `resize` (bilinear, antialiased), then the centre."""
        return Decoded(self, ImageFiles._read_centres)

    def read_canvas(self, rows: int | None = None) -> Canvas:
        """All images of the list. With `rows`, empty squares follow them up to that number."""
        rows, side = len(self) if rows is None else rows, self.canvas
        canvas = Canvas(np.zeros((rows, side, side, 3), np.uint8), np.full((rows, 2), side, np.int32))

        def read(place: int, pixels: np.ndarray) -> None:
            height, width, _ = pixels.shape
            canvas.pixels[place, :height, :width] = pixels
            canvas.sizes[place] = height, width

        self._decode_all(lambda image: reduced(image, side, self.upright), read)
        return canvas

    def _read_centres(self) -> np.ndarray:
        crops = np.empty((len(self), self.size, self.size, 3), np.uint8)
        self._decode_all(lambda image: resized_centre(image, self.resize, self.size, self.upright), crops.__setitem__)
        return crops

    def _decode_all(
        self, decode: Callable[[Image.Image], np.ndarray], store: Callable[[int, np.ndarray], None]
    ) -> None:
        """store(place, decode(image)) of every row, in threads; Raises UserError for a damaged image."""

        def one(place: int) -> None:
            path = self.path(place)
            try:
                with Image.open(path) as image:
                    pixels = decode(image)
            except _DECODING_ERRORS as error:
                origin = self.origin(int(self._rows[place]))
                raise UserError(
                    f"{path} ({origin}) cannot be read as an image: {_cause(path, error)}. Replace the file, or take "
                    "it out of the data set."
                ) from error
            store(place, pixels)

        for _ in self._pool.map(one, range(len(self))):
            pass

    def check_present(self) -> None:
        """Raises UserError with the number of missing files and the first of them. Each folder is read once."""
        names: dict[str, set[str]] = {}
        missing = []
        for row in self._rows.tolist():
            folder, name = os.path.split(self.paths[row])
            if folder not in names:
                names[folder] = _file_names(self.root / folder)
            if name not in names[folder]:
                missing.append(row)
        if missing:
            first = missing[0]
            raise UserError(
                f"{len(missing)} of {len(self)} image files are missing; the first is {self.root / self.paths[first]} "
                f"({self.origin(first)}). config.data_path names the folder that the paths begin at."
            )

    def check_readable(self) -> None:
        """Raises UserError with the number of damaged files, the first ones and the cause.

        Reads the header of every file, and decodes those that do not end as files of their format do. Logs the names
        of images so large that Pillow warns of them.
        """
        paths = [self.paths[row] for row in self._rows]
        found = list(self._pool.map(lambda path: _examine(self.root / path), paths))
        faults = [f"{self.root / path}: {fault}" for path, (_, fault) in zip(paths, found) if fault]
        if faults:
            more = len(faults) - _SHOWN
            lines = [*faults[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
            raise UserError(
                f"{len(faults)} of {len(self)} image files cannot be read:\n  " + "\n  ".join(lines) + "\n"
                "Replace these files, or take them out of the data set."
            )
        large = [path for path, (pixels, _) in zip(paths, found) if pixels > Image.MAX_IMAGE_PIXELS]
        if large:
            what = pluralize(len(large), "image"), Image.MAX_IMAGE_PIXELS // 1_000_000, ", ".join(large[:_SHOWN])
            _log.warning("%s of more than %d million pixels, slow to decode: %s", *what)


def _examine(path: pathlib.Path) -> tuple[int, str]:
    """The number of pixels of a file, and why it cannot be read, "" if it can."""
    try:
        with Image.open(path) as image:
            if not _has_its_end(path, image.format):
                image.load()
            return image.width * image.height, ""
    except _DECODING_ERRORS as error:
        return 0, _cause(path, error)


def _has_its_end(path: pathlib.Path, name: str | None) -> bool:
    """Whether a file ends as whole files of the format `name` do; False of formats without a mark at their end."""
    with open(path, "rb") as file:
        head = file.read(8)
        size = file.seek(0, os.SEEK_END)
        file.seek(-min(size, 16), os.SEEK_END)
        tail = file.read()
    if name == "WEBP":
        return int.from_bytes(head[4:8], "little") + 8 <= size
    return name in _END_OF and _END_OF[name] in tail


def _cause(path: pathlib.Path, error: Exception) -> str:
    """Why a file cannot be decoded, with more than Pillow reports for an empty file and for other content."""
    if not isinstance(error, Image.UnidentifiedImageError):
        return str(error)
    with open(path, "rb") as file:
        head = file.read(64)
    if not head:
        return "the file is empty"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "it is an HEIC image, which Pillow does not read; convert it to JPEG"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the image; run git lfs pull"
    return "its content is not an image that Pillow knows"


def _file_names(folder: pathlib.Path) -> set[str]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file()}
    return set()


def reduced(image: Image.Image, side: int, upright: bool = False) -> np.ndarray:
    """uint8 [h, w, 3], RGB, of an opened image; reduced (bicubic, antialiased) if it is larger than `side` pixels.

    A JPEG that is more than twice too large is reduced within its decoder first; see `ImageFiles` for `upright`.
    """
    longer, target = max(image.size), image.size
    if longer > side:
        target = tuple(max(1, round(length * side / longer)) for length in image.size)
        image.draft(None, target)
    rgb, sideways = _rgb(image, upright)
    target = target[::-1] if sideways else target
    return np.asarray(rgb if rgb.size == target else rgb.resize(target, Image.Resampling.BICUBIC))


def resized_centre(image: Image.Image, resize: int, size: int, upright: bool = False) -> np.ndarray:
    """uint8 [size, size, 3], RGB: torchvision's Resize(resize), bilinear with antialias, then CenterCrop(size)."""
    rgb, _ = _rgb(image, upright)
    shorter = min(rgb.size)
    target = tuple(resize if length == shorter else int(resize * length / shorter) for length in rgb.size)
    left, top = (round((length - size) / 2) for length in target)
    resized = rgb.resize(target, Image.Resampling.BILINEAR)
    return np.asarray(resized)[top : top + size, left : left + size]


def _rgb(image: Image.Image, upright: bool) -> tuple[Image.Image, bool]:
    """The image as RGB, rotated by its EXIF orientation if `upright`, and whether that swapped height and width.

    Damaged EXIF data count as none. Of TIFF files Pillow applies the orientation itself, whatever is asked for.
    """
    rgb = to_rgb(image)
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation) if upright else None
        turn = _TURNS.get(orientation)
    except _METADATA_ERRORS:
        turn = None
    return (rgb, False) if turn is None else (rgb.transpose(Image.Transpose[turn]), orientation >= 5)


def as_pixels(images: "np.ndarray | ImageFiles") -> "np.ndarray | Decoded":
    """Unaugmented images [N, H, W, 3] for `batches.map_rows`: arrays unchanged, files as central crops."""
    return images.centre_crops if isinstance(images, ImageFiles) else images


def require_folder(config: ConfigDict, key: str) -> pathlib.Path:
    """The folder that `config[key]` names. UserError if there is none."""
    path = pathlib.Path(config[key]).expanduser()
    if not config[key]:
        raise UserError(f"config.{key} is empty; set it to a folder, see docs/sdclr.md")
    if path.is_file():
        raise UserError(f"config.{key} is {config[key]!r}, which is a file; unpack an archive and name the folder")
    if not path.is_dir():
        raise UserError(f"config.{key} is {config[key]!r}, which is not a folder; see docs/sdclr.md")
    return path


def open_files(
    config: ConfigDict, root: pathlib.Path, paths: Sequence[str], origin: Callable[[int], str]
) -> ImageFiles:
    """Image files below `root`, decoded as the config asks; see `ImageFiles` for paths and origin.

    `exif_orientation` rotates them by their EXIF data; a config without that key does not, as torchvision.
    """
    return ImageFiles(
        root,
        paths,
        origin=origin,
        canvas=config.canvas,
        resize=config.test_resize,
        size=config.view_size,
        threads=config.loader_threads,
        upright=config.get("exif_orientation", False),
    )

"""Image files that stay on the disk until a batch needs them, decoded by Pillow in threads."""

import concurrent.futures
import copy
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from trainlib.errors import UserError

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))


class Canvas(NamedTuple):
    """Images of different sizes in one array, each in the upper left corner of a square.

    Attributes:
      pixels: uint8 [N, S, S, 3], RGB; what lies outside an image is never read.
      sizes: int32 [N, 2], height and width of each image.
    """

    pixels: np.ndarray
    sizes: np.ndarray


class Decoded:
    """Array-like of images whose rows are decoded when they are asked for: `decoded[rows]` is what `read` makes."""

    def __init__(self, images: "ImageFiles", read: Callable[["ImageFiles"], Any]):
        self._images, self._read = images, read

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: np.ndarray) -> Any:
        return self._read(self._images[rows])


class ImageFiles:
    """A list of image files; `files[rows]` is another such list, and nothing is decoded before it is read.

    Args:
      root: folder that the paths begin at.
      paths: relative paths, with "/".
      origin: row -> where the path was named ("val.txt, line 7"), for messages.
      canvas: S; larger images are reduced to fit, smaller ones stay as they are.
      resize, size: of `centre_crops`: the shorter side first becomes `resize` pixels.
      threads: decode at a time.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        paths: Sequence[str],
        *,
        origin: Callable[[int], str],
        canvas: int,
        resize: int,
        size: int,
        threads: int,
    ):
        if not 1 <= size <= resize:
            raise UserError(f"a central crop of {size} pixels does not fit into a shorter side of {resize}")
        if canvas < 1 or threads < 1:
            raise UserError(f"canvas {canvas} and decoding threads {threads} must be at least 1")
        self.root, self.canvas, self.resize, self.size = pathlib.Path(root), canvas, resize, size
        self._paths, self._origin = paths, origin
        self._rows = np.arange(len(paths))
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: np.ndarray | slice) -> "ImageFiles":
        part = copy.copy(self)
        part._rows = self._rows[rows]
        return part

    def path(self, row: int) -> pathlib.Path:
        """The file of a row."""
        return self.root / self._paths[int(self._rows[row])]

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

        self._decode_all(lambda image: reduced(image, side), read)
        return canvas

    def _read_centres(self) -> np.ndarray:
        crops = np.empty((len(self), self.size, self.size, 3), np.uint8)
        self._decode_all(lambda image: resized_centre(image, self.resize, self.size), crops.__setitem__)
        return crops

    def _decode_all(
        self, decode: Callable[[Image.Image], np.ndarray], store: Callable[[int, np.ndarray], None]
    ) -> None:
        """store(place, decode(image)) of every row, in threads; UserError for a file that is no whole image."""

        def one(place: int) -> None:
            path = self.path(place)
            try:
                with Image.open(path) as image:
                    pixels = decode(image)
            # Pillow's decoders raise each of these for a damaged file.
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                origin = self._origin(int(self._rows[place]))
                raise UserError(
                    f"{path} ({origin}) cannot be read as an image: {error}. Replace the file, or take it out of the "
                    "data set."
                ) from error
            store(place, pixels)

        for _ in self._pool.map(one, range(len(self))):
            pass

    def check_present(self) -> None:
        """Raises UserError with the number of missing files and the first of them. Each folder is read once."""
        names: dict[str, frozenset[str]] = {}
        missing = []
        for row in self._rows.tolist():
            folder, name = os.path.split(self._paths[row])
            if folder not in names:
                names[folder] = _file_names(self.root / folder)
            if name not in names[folder]:
                missing.append(row)
        if missing:
            first = missing[0]
            raise UserError(
                f"{len(missing)} of {len(self)} image files are missing; the first is {self.root / self._paths[first]} "
                f"({self._origin(first)}). config.data_path names the folder that the paths begin at."
            )


def _file_names(folder: pathlib.Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def reduced(image: Image.Image, side: int) -> np.ndarray:
    """uint8 [h, w, 3], RGB, of an opened image; reduced (bicubic, antialiased) if it is larger than `side` pixels.

    A JPEG that is more than twice too large is reduced within its decoder first.
    """
    longer = max(image.size)
    if longer > side:
        target = tuple(max(1, round(length * side / longer)) for length in image.size)
        image.draft(None, target)
        return np.asarray(image.convert("RGB").resize(target, Image.Resampling.BICUBIC))
    return np.asarray(image.convert("RGB"))


def resized_centre(image: Image.Image, resize: int, size: int) -> np.ndarray:
    """uint8 [size, size, 3], RGB: torchvision's Resize(resize), bilinear with antialias, then CenterCrop(size)."""
    width, height = image.size
    shorter = min(width, height)
    target = tuple(resize if length == shorter else int(resize * length / shorter) for length in (width, height))
    left, top = (round((length - size) / 2) for length in target)
    resized = image.convert("RGB").resize(target, Image.Resampling.BILINEAR)
    return np.asarray(resized)[top : top + size, left : left + size]


def as_pixels(images: "np.ndarray | ImageFiles") -> "np.ndarray | Decoded":
    """Unaugmented images of one size: arrays as they are, files as central crops. For `batches.map_rows`."""
    return images.centre_crops if isinstance(images, ImageFiles) else images

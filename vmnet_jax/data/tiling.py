"""Scenes that are too large for one pass, in overlapping tiles.

A tile is a rectangle in x and y over the whole height. Tiles overlap, and a vertex takes its scores from the tile
inside which it is deepest, so that no vertex is judged at a cut that its scene does not have.
"""

import functools
import logging
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from preprocess.scene.build import crop_scene
from preprocess.scene.scene_file import Scene

Rectangle = tuple[np.ndarray, np.ndarray]
"""The corners (x, y) [2] with the lowest and the highest coordinates."""

MARGIN = 0.25  # of a tile's core, added to each of its sides
SMALLEST_CORE = 8  # voxels; a smaller rectangle is not cut further

_log = logging.getLogger(__name__)


class Tile(NamedTuple):
    """A scene, or a part of one."""

    inside: np.ndarray | None  # bool [V], the file's vertices in the tile; None for the whole scene
    scored: np.ndarray | None  # bool [V], those that take their scores from it; None for the whole scene
    scene: int = 0  # the scene's place in the list of names
    last: bool = True  # whether it is the last one of its scene


class TileSet:
    """tile name -> scene: whole scenes where they have at most `max_voxels` voxels at level 0, tiles of the others.

    Attributes:
        names: each once, ValueError otherwise.
        max_voxels: 0 for no limit.
        limit: what set it, for the log.
    """

    def __init__(self, read: Callable[[str], Scene], names: list[str], max_voxels: int = 0, limit: str = ""):
        if len(set(names)) < len(names):
            raise ValueError(f"scenes are named twice: {sorted({name for name in names if names.count(name) > 1})}")
        self.read, self.scenes = read, list(names)
        self.tiles: dict[str, Tile] = {}
        for index, name in enumerate(names):
            scene = read(name)
            voxels = len(scene.voxels.coords[0])
            if not max_voxels or voxels <= max_voxels:
                self.tiles[name] = Tile(None, None, index)
                continue
            tiles = plan_tiles(scene.vertices, scene.voxels.coords[0], scene.voxel_inverse, max_voxels)
            for number, tile in enumerate(tiles):
                last = number == len(tiles) - 1
                self.tiles[f"{name}, tile {number + 1}"] = tile._replace(scene=index, last=last)
            text = "%s: %d voxels are more than the %d of %s; it is seen in %d overlapping tiles"
            _log.info(text, name, voxels, max_voxels, limit, len(tiles))
        self.names = list(self.tiles)
        self._crop = functools.lru_cache(maxsize=8)(self._cropped)

    def __call__(self, name: str) -> Scene:
        """The scene or tile of that name."""
        tile = self.tiles[name]
        return self.read(self.scenes[tile.scene]) if tile.inside is None else self._crop(name)

    def _cropped(self, name: str) -> Scene:
        tile = self.tiles[name]
        return crop_scene(self.read(self.scenes[tile.scene]), tile.inside, name)


def plan_tiles(vertices: np.ndarray, coords: np.ndarray, inverse: np.ndarray, max_voxels: int) -> list[Tile]:
    """Cuts the bounding box in x and y into halves until each part with its margin fills at most `max_voxels`.

    Every vertex is scored by one tile: the one inside which it is deepest.

    Args:
        vertices: float64 [V, 3].
        coords: int [P, 3], the voxels of level 0.
        inverse: int32 [V], the voxel of a vertex.
    """
    places = coords[:, :2].astype(np.float64) + 0.5
    low, high = places.min(axis=0) - 0.5, places.max(axis=0) + 0.5
    windows = _windows(places, (low, high), (low, high), max_voxels)
    depth = np.full(len(places), -np.inf)
    owner = np.zeros(len(places), np.int32)
    for number, (start, stop) in enumerate(windows):
        # A side on the edge of the scene is not a cut: everything is deep behind it.
        below = np.where(start <= low, np.inf, places - start).min(axis=1)
        above = np.where(stop >= high, np.inf, stop - places).min(axis=1)
        deeper = np.minimum(below, above) > depth
        depth[deeper], owner[deeper] = np.minimum(below, above)[deeper], number
    tiles = [
        Tile(_within(places, start, stop)[inverse], (owner == number)[inverse])
        for number, (start, stop) in enumerate(windows)
    ]
    return [tile for tile in tiles if tile.scored.any()]


def _windows(places: np.ndarray, core: Rectangle, scene: Rectangle, max_voxels: int) -> list[Rectangle]:
    """The rectangles with their margins, inside the scene's, into which a core is cut."""
    (start, stop), (low, high) = core, scene
    margin = MARGIN * (stop - start)
    window = np.maximum(start - margin, low), np.minimum(stop + margin, high)
    count = int(_within(places, *window).sum())
    if count <= max_voxels or (stop - start).max() <= SMALLEST_CORE:
        return [window] if count else []
    axis = int(np.argmax(stop - start))
    left, right = stop.copy(), start.copy()
    left[axis] = right[axis] = (start[axis] + stop[axis]) / 2
    parts = (start, left), (right, stop)
    return [window for part in parts for window in _windows(places, part, scene, max_voxels)]


def _within(places: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """bool [P]: places [P, 2] in a rectangle."""
    return ((places >= start) & (places <= stop)).all(axis=1)

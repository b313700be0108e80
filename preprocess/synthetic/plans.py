"""Where things stand in a synthetic room: eight kinds of room, and placement without overlap.

The room is the rectangle [0, W] x [0, D], floor at z = 0. Pieces stand with their back to one of four walls or, tables,
freely; what they take up is an axis-aligned box, and boxes do not overlap. A room too small for its pieces grows.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from preprocess.synthetic.fittings import bathtub, curtains, door, kitchen, picture, refrigerator, sink, toilet, window
from preprocess.synthetic.furniture import (
    CLUTTER,
    Item,
    armchair,
    bed,
    bookshelf,
    cabinet,
    chair,
    desk,
    dining_chair,
    dining_table,
    other,
    sofa,
    table,
)
from preprocess.synthetic.palettes import ANYTHING, pick
from preprocess.synthetic.solids import Part, box, ellipsoid, move_parts

WALL_HEIGHT = 2.25
Maker = Callable[[np.random.Generator], Item]


@dataclasses.dataclass(frozen=True)
class RoomPlan:
    """A kind of room: its name, smallest sides (m), pieces at the walls and pieces that stand freely."""

    name: str
    sides: tuple[float, float]
    at_wall: tuple[Maker, ...]
    free: tuple[Maker, ...] = ()
    curtains: bool = True
    pictures: int = 2


wardrobe, sideboard = functools.partial(cabinet, tall=True), functools.partial(cabinet, tall=False)
coffee_table = functools.partial(table, low=True)
# Every one of the 20 ScanNet classes occurs in at least three of the eight plans.
PLANS = (
    RoomPlan("bedroom", (3.2, 3.0), (bed, desk, wardrobe, bookshelf, other)),
    RoomPlan(
        "bathroom", (2.9, 2.7), (bathtub, toilet, sink, sideboard, other, dining_chair), curtains=False, pictures=1
    ),
    RoomPlan("kitchen", (3.2, 3.0), (kitchen, refrigerator, sideboard, other), (dining_table,), pictures=1),
    RoomPlan(
        "living room", (3.4, 3.2), (sofa, bookshelf, sideboard, desk, armchair, other), (coffee_table,), pictures=3
    ),
    RoomPlan("studio", (3.6, 3.3), (bed, kitchen, refrigerator, bookshelf, other), (table,)),
    RoomPlan("office", (3.4, 3.2), (desk, desk, bookshelf, sofa, wardrobe, chair), (coffee_table,)),
    RoomPlan("bed and bath", (3.4, 3.2), (bathtub, bed, toilet, sink, wardrobe, chair)),
    RoomPlan("flat", (3.7, 3.4), (bathtub, sofa, kitchen, refrigerator, toilet, chair), (coffee_table,)),
)


class RoomLayout:
    """A room of W x D metres that is being filled: boxes already taken, and the parts so far."""

    def __init__(self, rng: np.random.Generator, width: float, depth: float):
        self.rng, self.width, self.depth = rng, width, depth
        self.taken: list[tuple[np.ndarray, np.ndarray]] = []
        self.parts: list[Part] = []

    def _take(self, lower: np.ndarray, upper: np.ndarray) -> bool:
        """Takes the box with the corners `lower` and `upper` [3] (m) if it is in the room and overlaps nothing."""
        room = np.array([self.width, self.depth])
        is_inside = (lower[:2] >= -1e-6).all() and (upper[:2] <= room + 1e-6).all()
        if not is_inside or any(((lower < high) & (low < upper)).all() for low, high in self.taken):
            return False
        self.taken.append((lower, upper))
        return True

    def at_wall(self, item: Item, *, lift: float = 0.0, tries: int = 150, snap: float = 0.0) -> bool:
        """Puts an item with its back to a wall, its lower edge at height `lift`; False if there is no room for it.

        `snap` is the probability of a place in a corner.
        """
        half = item.size[0] / 2 + 0.02
        corners = np.array([[-half, 0.0], [half, item.size[1]]])
        for _ in range(tries):
            wall = int(self.rng.integers(4))
            length = self.depth if wall % 2 else self.width
            if length < 2 * half:
                continue
            along = self.rng.uniform(half, length - half)
            if self.rng.random() < snap:
                along = half if self.rng.random() < 0.5 else length - half
            places = ((along, 0), (self.width, along), (self.width - along, self.depth), (0, self.depth - along))
            x, y = ((1, 0), (0, 1), (-1, 0), (0, -1))[wall]
            turned = np.outer(corners[:, 0], (x, y)) + np.outer(corners[:, 1], (-y, x)) + places[wall]
            taken = (np.append(turned.min(0), lift), np.append(turned.max(0), lift + item.size[2]))
            if self._take(*taken):
                self.parts += move_parts(item.parts, wall * np.pi / 2, (*places[wall], 0))
                return True
        return False

    def freely(self, item: Item, *, tries: int = 150) -> bool:
        """Puts an item somewhere on the floor, turned as it comes; False if there is no room for it."""
        room = np.array([self.width, self.depth])
        for _ in range(tries):
            yaw = self.rng.integers(4) * np.pi / 2 + self.rng.normal(0, 0.15)
            c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
            reach = np.array([c * item.size[0] + s * item.size[1], s * item.size[0] + c * item.size[1]]) / 2
            if (2 * reach > room).any():
                continue
            middle = self.rng.uniform(reach, room - reach)
            if self._take(np.append(middle - reach, 0.0), np.append(middle + reach, item.size[2])):
                centred = move_parts(item.parts, 0.0, (0, -item.size[1] / 2, 0))
                self.parts += move_parts(centred, yaw, (*middle, 0))
                return True
        return False


def arrange(rng: np.random.Generator, plan: RoomPlan) -> RoomLayout:
    """Draws the pieces of a plan and places all of them; the room grows until they fit."""
    width, depth = np.asarray(plan.sides) + rng.uniform(0, 0.4, 2)
    pieces = [make(rng) for make in plan.at_wall]
    free = [make(rng) for make in plan.free]
    for attempt in range(100):
        grown = 0.1 * (attempt // 5)
        layout = RoomLayout(rng, width + grown, depth + grown)
        if _fill(layout, plan, pieces, free):
            _scatter(layout)
            return layout
    raise RuntimeError(f"no room of up to {width + grown:.1f} x {depth + grown:.1f} m holds the plan {plan.name!r}")


def _fill(layout: RoomLayout, plan: RoomPlan, pieces: list[Item], free: list[Item]) -> bool:
    """Places door, window, pieces and pictures; False as soon as one finds no room."""
    largest_first = sorted(pieces, key=lambda item: -item.size[0] * item.size[1])
    return (
        layout.at_wall(door(layout.rng))
        and _add_window(layout, plan.curtains)
        and all(layout.at_wall(item, snap=0.5) for item in largest_first)
        and all(layout.freely(item) for item in free)
        and all(_add_picture(layout) for _ in range(plan.pictures))
    )


def _add_window(layout: RoomLayout, with_curtains: bool) -> bool:
    rng = layout.rng
    width, sill = rng.uniform((0.8, 0.85), (1.3, 1.05))
    item = window(rng, width, rng.uniform(0.9, 1.05), sill)
    if not with_curtains:
        return layout.at_wall(item, lift=sill)
    cloth = curtains(rng, width, rng.uniform(2.05, 2.15))
    return layout.at_wall(Item((cloth.size[0], cloth.size[1], 2.2), item.parts + cloth.parts))


def _add_picture(layout: RoomLayout) -> bool:
    item = picture(layout.rng)
    middle = layout.rng.uniform(1.4, 1.65)
    hung = Item(item.size, move_parts(item.parts, 0.0, (0, 0, middle)))
    return layout.at_wall(hung, lift=middle - item.size[2] / 2)


def _scatter(layout: RoomLayout) -> None:
    """Unlabelled clutter on the floor: boxes, balls and bags."""
    rng = layout.rng
    for _ in range(int(rng.integers(1, 5))):
        size, color = rng.uniform(0.15, 0.4, 3), pick(rng, ANYTHING)
        make = box if rng.random() < 0.6 else ellipsoid
        layout.freely(Item(tuple(size), [make(CLUTTER, color, (0, size[1] / 2, size[2] / 2), size)]), tries=10)

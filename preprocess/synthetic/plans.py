"""Where things stand in a synthetic room: eight kinds of room, and placement without overlap.

The room is the rectangle [0, W] x [0, D], floor at z = 0. Pieces stand with their back to one of four walls or, tables,
freely; what they take up is an axis-aligned box, and boxes do not overlap. A room too small for its pieces grows.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from preprocess.synthetic import fittings, furniture, seats
from preprocess.synthetic.palettes import ANYTHING, pick
from preprocess.synthetic.seats import CLUTTER, Item
from preprocess.synthetic.solids import Part, box, ellipsoid, move_parts

WALL_HEIGHT = 2.25


@dataclasses.dataclass(frozen=True)
class RoomPlan:
    """A kind of room: its name, smallest sides (m), pieces at the walls and pieces that stand freely."""

    name: str
    sides: tuple[float, float]
    at_wall: tuple[Callable[[np.random.Generator], Item], ...]
    free: tuple[Callable[[np.random.Generator], Item], ...] = ()
    windows: int = 1
    curtains: bool = True
    pictures: int = 2


def wardrobe(rng: np.random.Generator) -> Item:
    """A tall cabinet."""
    return furniture.cabinet(rng, tall=True)


def sideboard(rng: np.random.Generator) -> Item:
    """A low cabinet."""
    return furniture.cabinet(rng, tall=False)


def coffee_table(rng: np.random.Generator) -> Item:
    """A low table."""
    return furniture.table(rng, low=True)


# Every one of the 20 ScanNet classes occurs in at least three of the eight plans.
PLANS = (
    RoomPlan("bedroom", (3.2, 3.0), (furniture.bed, furniture.desk, wardrobe, furniture.bookshelf, furniture.other)),
    RoomPlan(
        "bathroom",
        (2.9, 2.7),
        (fittings.bathtub, fittings.toilet, fittings.sink, sideboard, furniture.other, seats.dining_chair),
        curtains=False,
        pictures=1,
    ),
    RoomPlan(
        "kitchen",
        (3.2, 3.0),
        (fittings.kitchen, fittings.refrigerator, sideboard, furniture.other),
        (furniture.dining_table,),
        pictures=1,
    ),
    RoomPlan(
        "living room",
        (3.4, 3.2),
        (seats.sofa, furniture.bookshelf, sideboard, furniture.desk, seats.armchair, furniture.other),
        (coffee_table,),
        pictures=3,
    ),
    RoomPlan(
        "studio",
        (3.6, 3.3),
        (furniture.bed, fittings.kitchen, fittings.refrigerator, furniture.bookshelf, furniture.other),
        (furniture.table,),
    ),
    RoomPlan(
        "office",
        (3.4, 3.2),
        (furniture.desk, furniture.desk, furniture.bookshelf, seats.sofa, wardrobe, seats.chair),
        (coffee_table,),
    ),
    RoomPlan(
        "bed and bath",
        (3.4, 3.2),
        (fittings.bathtub, furniture.bed, fittings.toilet, fittings.sink, wardrobe, seats.chair),
    ),
    RoomPlan(
        "flat",
        (3.7, 3.4),
        (fittings.bathtub, seats.sofa, fittings.kitchen, fittings.refrigerator, fittings.toilet, seats.chair),
        (coffee_table,),
    ),
)


class RoomLayout:
    """A room of W x D metres that is being filled: boxes already taken, and the parts so far."""

    def __init__(self, rng: np.random.Generator, width: float, depth: float):
        self.rng, self.width, self.depth = rng, width, depth
        self.taken: list[tuple[np.ndarray, np.ndarray]] = []
        self.parts: list[Part] = []

    def is_clear(self, lower: np.ndarray, upper: np.ndarray) -> bool:
        """Whether the box with the corners `lower` and `upper` [3] (m) is in the room and overlaps nothing."""
        if lower[0] < -1e-6 or lower[1] < -1e-6 or upper[0] > self.width + 1e-6 or upper[1] > self.depth + 1e-6:
            return False
        return not any(((lower < high) & (low < upper)).all() for low, high in self.taken)

    def at_wall(self, item: Item, lift: float = 0.0, tries: int = 150, snap: float = 0.0) -> tuple[int, float] | None:
        """Puts an item with its back to a wall, its lower edge at height `lift`; (wall, place along it) or None.

        `snap` is the probability of a place in a corner.
        """
        half, depth, height = item.size[0] / 2 + 0.02, item.size[1], item.size[2]
        for _ in range(tries):
            wall = int(self.rng.integers(4))
            length = self.depth if wall % 2 else self.width
            if length < 2 * half:
                continue
            along = self.rng.uniform(half, length - half)
            if self.rng.random() < snap:
                along = half if self.rng.random() < 0.5 else length - half
            if self.put_at_wall(item.parts, (2 * half, depth, height), wall, along, lift):
                return wall, along
        return None

    def put_at_wall(self, parts: list[Part], size, wall: int, along: float, lift: float) -> bool:
        """Puts parts at one place of a wall if the box (size, lifted) is clear there."""
        x0, y0, yaw = (
            (along, 0, 0),
            (self.width, along, 1),
            (self.width - along, self.depth, 2),
            (0, self.depth - along, 3),
        )[wall]
        turn = np.array([[1, 0, -1, 0][yaw], [0, 1, 0, -1][yaw]])
        corners = np.array([[-size[0] / 2, 0.0], [size[0] / 2, size[1]]])
        corners = np.outer(corners[:, 0], turn) + np.outer(corners[:, 1], (-turn[1], turn[0])) + (x0, y0)
        lower = np.append(corners.min(0), lift)
        upper = np.append(corners.max(0), lift + size[2])
        if not self.is_clear(lower, upper):
            return False
        self.taken.append((lower, upper))
        self.parts += move_parts(parts, yaw * np.pi / 2, (x0, y0, 0))
        return True

    def freely(self, item: Item, tries: int = 150) -> bool:
        """Puts an item somewhere on the floor, turned as it comes."""
        for _ in range(tries):
            yaw = self.rng.integers(4) * np.pi / 2 + self.rng.normal(0, 0.15)
            c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
            reach = np.array([c * item.size[0] + s * item.size[1], s * item.size[0] + c * item.size[1]]) / 2
            room = np.array([self.width, self.depth])
            if (2 * reach > room).any():
                continue
            middle = self.rng.uniform(reach, room - reach)
            lower, upper = np.append(middle - reach, 0.0), np.append(middle + reach, item.size[2])
            if self.is_clear(lower, upper):
                self.taken.append((lower, upper))
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
    if layout.at_wall(fittings.door(layout.rng)) is None:
        return False
    if not all(_add_window(layout, plan.curtains) for _ in range(plan.windows)):
        return False
    for item in sorted(pieces, key=lambda item: -item.size[0] * item.size[1]):
        if layout.at_wall(item, snap=0.5) is None:
            return False
    if not all(layout.freely(item) for item in free):
        return False
    for _ in range(plan.pictures):
        item = fittings.picture(layout.rng)
        middle = layout.rng.uniform(1.4, 1.65)
        hung = Item(item.size, move_parts(item.parts, 0.0, (0, 0, middle)))
        if layout.at_wall(hung, lift=middle - item.size[2] / 2) is None:
            return False
    return True


def _add_window(layout: RoomLayout, with_curtains: bool) -> bool:
    rng = layout.rng
    width, sill = rng.uniform(0.8, 1.3), rng.uniform(0.85, 1.05)
    item = fittings.window(rng, width, rng.uniform(0.9, 1.05), sill)
    if not with_curtains:
        return layout.at_wall(item, lift=sill) is not None
    cloth = fittings.curtains(rng, width, rng.uniform(2.05, 2.15))
    both = Item((cloth.size[0], cloth.size[1], 2.2), item.parts + cloth.parts)
    return layout.at_wall(both) is not None


def _scatter(layout: RoomLayout) -> None:
    """Unlabelled clutter on the floor: boxes, balls and bags."""
    rng = layout.rng
    for _ in range(int(rng.integers(1, 5))):
        size, color = rng.uniform(0.15, 0.4, 3), pick(rng, ANYTHING)
        make = box if rng.random() < 0.6 else ellipsoid
        layout.freely(Item(tuple(size), [make(CLUTTER, color, (0, size[1] / 2, size[2] / 2), size)]), tries=10)

"""Furniture of the synthetic rooms: each function draws one piece from `rng` and returns an `Item`.

A piece stands in its own frame: x along its width and centred, y from the back (0) to the front, z up from the floor,
metres. Labels are NYU40 ids; 0 is unlabelled clutter.
"""

import dataclasses

import numpy as np

from preprocess.synthetic.palettes import ANYTHING, HARD, SOFT, pick, shade
from preprocess.synthetic.solids import Part, both_sides, box, cylinder, ellipsoid, move_parts

CLUTTER, CABINET, BED, CHAIR, SOFA, TABLE, BOOKSHELF, DESK, OTHER = 0, 3, 4, 5, 6, 7, 10, 14, 39


@dataclasses.dataclass(frozen=True)
class Item:
    """A piece: the size (width x, depth y, height z) that it takes up, and its parts."""

    size: tuple[float, float, float]
    parts: list[Part]


def legs(label: int, color, size, thickness: float) -> list[Part]:
    """Four legs under a box of the size (width, depth, height) that starts at y = 0."""
    width, depth, height = size
    x, leg = width / 2 - thickness / 2, (thickness, thickness, height)
    return both_sides(*(box(label, color, (x, y, height / 2), leg) for y in (thickness / 2, depth - thickness / 2)))


def dining_chair(rng: np.random.Generator) -> Item:
    """Four legs, a seat and a leaning back, which is a frame with a gap or one board."""
    width, depth, seat, top = rng.uniform((0.42, 0.42, 0.42, 0.85), (0.5, 0.5, 0.48, 1.0))
    color = pick(rng, HARD + SOFT)
    cushion = color if rng.random() < 0.5 else pick(rng, SOFT)
    tilt = rng.uniform(0.05, 0.16)
    low = seat + (0.18 if rng.random() < 0.5 else 0.02)
    middle = (low + top) / 2
    lean = -np.tan(tilt) * (middle - seat)
    parts = [
        *legs(CHAIR, color, (width, depth, seat), 0.05),
        box(CHAIR, cushion, (0, depth / 2, seat), (width, depth, 0.07), rounding=0.03),
        box(CHAIR, color, (0, 0.03 + lean, middle), (width, 0.05, top - low), tilt=tilt, rounding=0.02),
    ]
    if low > seat + 0.1:
        post = (0.05, 0.05, low - seat + 0.1)
        parts += both_sides(box(CHAIR, color, (width / 2 - 0.03, 0.03, (seat + low) / 2), post, tilt=tilt))
    return Item((width, depth + 0.1, top), parts)


def office_chair(rng: np.random.Generator) -> Item:
    """A star foot with five arms, a column, a padded seat and back, often with arm rests."""
    color, foot = pick(rng, (*SOFT, "dark", "dark")), pick(rng, ("dark", "grey", "white"))
    seat, top, middle = rng.uniform(0.45, 0.52), rng.uniform(0.92, 1.12), 0.32
    start = rng.uniform(0, 2 * np.pi)
    parts = [cylinder(CHAIR, foot, (0, middle, seat / 2), (0.09, 0.09, seat))]
    for k in range(5):
        angle = start + 2 * np.pi * k / 5
        centre = (0.16 * np.cos(angle), middle + 0.16 * np.sin(angle), 0.06)
        parts.append(box(CHAIR, foot, centre, (0.32, 0.06, 0.06), yaw=angle))
    back, low = (0.46, 0.08, top - seat - 0.12), seat + 0.12
    parts += [
        box(CHAIR, color, (0, middle, seat), (0.5, 0.48, 0.1), rounding=0.05),
        box(CHAIR, color, (0, 0.05, (low + top) / 2), back, tilt=0.12, rounding=0.04),
        box(CHAIR, foot, (0, 0.1, seat + 0.1), (0.08, 0.06, 0.3), tilt=0.12),
    ]
    if rng.random() < 0.6:
        rest = box(CHAIR, foot, (0.27, middle, seat + 0.2), (0.06, 0.3, 0.05))
        parts += both_sides(rest, box(CHAIR, foot, (0.27, middle, seat + 0.1), (0.05, 0.06, 0.22)))
    return Item((0.64, 0.66, top), parts)


def armchair(rng: np.random.Generator) -> Item:
    """A low padded chair for one, open under the seat."""
    color, wood = pick(rng, SOFT), pick(rng, HARD)
    width, depth = rng.uniform((0.66, 0.66), (0.78, 0.76))
    parts = [
        *legs(CHAIR, wood, (width, depth, 0.3), 0.06),
        box(CHAIR, color, (0, depth / 2, 0.36), (width - 0.1, depth, 0.16), rounding=0.05),
        box(CHAIR, color, (0, 0.06, 0.66), (width - 0.1, 0.13, 0.62), tilt=0.15, rounding=0.06),
        *both_sides(
            box(CHAIR, wood, (width / 2 - 0.04, depth / 2, 0.6), (0.08, depth, 0.06)),
            box(CHAIR, wood, (width / 2 - 0.04, depth - 0.05, 0.45), (0.06, 0.06, 0.3)),
        ),
    ]
    return Item((width, depth + 0.08, 0.98), parts)


def chair(rng: np.random.Generator) -> Item:
    """One of the kinds of chair."""
    kind = rng.random()
    if kind < 0.5:
        return dining_chair(rng)
    return office_chair(rng) if kind < 0.8 else armchair(rng)


def sofa(rng: np.random.Generator) -> Item:
    """Two or three seats with cushions, a back and thick arms, on the floor; sometimes with a long seat at one end."""
    color = pick(rng, SOFT)
    seats = int(rng.integers(2, 4))
    width, depth = 0.62 * seats + 0.36, rng.uniform(0.8, 0.92)
    parts = [
        box(SOFA, color, (0, depth / 2, 0.19), (width, depth, 0.34), rounding=0.03),
        box(SOFA, color, (0, 0.12, 0.5), (width, 0.22, 0.66), rounding=0.07),
        *both_sides(box(SOFA, color, (width / 2 - 0.09, depth / 2, 0.32), (0.2, depth, 0.56), rounding=0.07)),
    ]
    pale = shade(color, 1.05)
    for k in range(seats):
        x = (k - (seats - 1) / 2) * 0.62
        parts.append(box(SOFA, pale, (x, depth / 2 + 0.08, 0.4), (0.58, depth - 0.2, 0.17), rounding=0.06))
        parts.append(box(SOFA, pale, (x, 0.27, 0.66), (0.56, 0.16, 0.38), tilt=0.2, rounding=0.07))
    if rng.random() < 0.4:
        x = rng.choice([-1.0, 1.0]) * (seats - 1) / 2 * 0.62
        parts.append(box(SOFA, color, (x, depth + 0.2, 0.22), (0.62, 0.5, 0.42), rounding=0.06))
        depth += 0.45
    if rng.random() < 0.6:
        pillow = pick(rng, SOFT)
        parts.append(ellipsoid(CLUTTER, pillow, (rng.uniform(-0.5, 0.5), 0.42, 0.66), (0.42, 0.2, 0.42), tilt=0.3))
    return Item((width, depth, 0.85), parts)


def things_on(rng: np.random.Generator, width: float, depth: float, height: float, count: int) -> list[Part]:
    """Unlabelled clutter on a top of the given extent: boxes, mugs, balls and a screen now and then."""
    parts = []
    for _ in range(count):
        x, y = rng.uniform((-width / 2 + 0.12, 0.14), (width / 2 - 0.12, max(depth - 0.1, 0.15)))
        color, kind = pick(rng, ANYTHING), rng.random()
        if kind < 0.5:
            size = rng.uniform(0.08, 0.28, 3) * (1, 1, 0.6)
            parts.append(box(CLUTTER, color, (x, y, height + size[2] / 2), size, yaw=rng.uniform(0, np.pi)))
        elif kind < 0.85:
            tall, wide = rng.uniform((0.1, 0.08), (0.28, 0.13))
            parts.append(cylinder(CLUTTER, color, (x, y, height + tall / 2), (wide, wide, tall)))
        else:
            size = rng.uniform(0.1, 0.2)
            parts.append(ellipsoid(CLUTTER, color, (x, y, height + size / 2), (size, size, size)))
    return parts


def table(rng: np.random.Generator, low: bool = False) -> Item:
    """A round table on a column or a rectangular one on legs or on two side boards; `low` for a coffee table."""
    color = pick(rng, HARD)
    height = rng.uniform(0.38, 0.5) if low else rng.uniform(0.7, 0.78)
    if rng.random() < 0.35:
        width = depth = rng.uniform(0.7, 0.9) if low else rng.uniform(0.85, 1.1)
        parts = [
            cylinder(TABLE, color, (0, width / 2, height - 0.03), (width, width, 0.06)),
            cylinder(TABLE, color, (0, width / 2, height / 2), (0.12, 0.12, height)),
            cylinder(TABLE, color, (0, width / 2, 0.03), (width * 0.55, width * 0.55, 0.06)),
        ]
    else:
        width, depth = rng.uniform((0.8, 0.5), (1.1, 0.6)) if low else rng.uniform((1.1, 0.7), (1.5, 0.85))
        parts = [box(TABLE, color, (0, depth / 2, height - 0.03), (width, depth, 0.06))]
        if rng.random() < 0.7:
            parts += legs(TABLE, color, (width - 0.06, depth - 0.03, height), 0.06)
        else:
            board = (0.06, depth - 0.12, height)
            parts += both_sides(box(TABLE, color, (width / 2 - 0.12, depth / 2, height / 2), board))
    parts += things_on(rng, width * 0.8, depth * 0.85, height, int(rng.integers(1, 4)))
    return Item((width, depth, height + 0.15), parts)


def desk(rng: np.random.Generator) -> Item:
    """A top on a side board and a block of drawers, a board at the back, a screen, and a chair in front of it."""
    color = pick(rng, HARD)
    width, depth, height = rng.uniform((1.15, 0.6, 0.72), (1.45, 0.72, 0.77))
    side = rng.choice([-1.0, 1.0])
    block, groove = side * (width / 2 - 0.21), shade(color, 0.6)
    parts = [
        box(DESK, color, (0, depth / 2, height - 0.03), (width, depth, 0.06)),
        box(DESK, color, (-side * (width / 2 - 0.03), depth / 2, height / 2), (0.06, depth, height)),
        box(DESK, color, (0, 0.05, height * 0.62), (width, 0.05, height * 0.7)),
        box(DESK, color, (block, depth / 2, height / 2), (0.42, depth - 0.04, height)),
    ]
    for z in 0.12 + np.arange(3) * 0.22:
        parts.append(box(DESK, groove, (block, depth - 0.02, z + 0.1), (0.46, 0.07, 0.035), carve=True))
        parts.append(box(DESK, groove, (block, depth, z), (0.12, 0.06, 0.05)))
    screen, x = pick(rng, ("dark", "grey", "white")), rng.uniform(-0.25, 0.25)
    parts += [
        box(CLUTTER, screen, (x, 0.2, height + 0.28), (rng.uniform(0.45, 0.65), 0.05, 0.34)),
        cylinder(CLUTTER, screen, (x, 0.2, height + 0.08), (0.1, 0.1, 0.18)),
        box(CLUTTER, screen, (x, 0.47, height + 0.02), (0.42, 0.16, 0.05)),
        *things_on(rng, width, depth, height, int(rng.integers(0, 3))),
    ]
    seat = office_chair(rng) if rng.random() < 0.7 else dining_chair(rng)
    parts += move_parts(seat.parts, np.pi + rng.uniform(-0.5, 0.5), (-side * 0.18, depth + 0.55, 0))
    return Item((width, depth + 0.6, height + 0.5), parts)


def dining_table(rng: np.random.Generator) -> Item:
    """A table with two to four chairs around it."""
    inner = table(rng)
    width, depth = inner.size[:2]
    parts = move_parts(inner.parts, 0.0, (0, 0.45, 0))
    model = int(rng.integers(1 << 31))
    x, y = width / 2 + 0.2, depth / 2 + 0.45
    places = [(0, 0.27, 0.0), (0, depth + 0.63, np.pi), (-x, y, -np.pi / 2), (x, y, np.pi / 2)]
    for x, y, yaw in places[: int(rng.integers(2, 5))]:
        seat = dining_chair(np.random.default_rng(model))
        turn = yaw + rng.uniform(-0.3, 0.3)
        back = np.array([np.sin(turn), -np.cos(turn)]) * 0.22
        parts += move_parts(seat.parts, turn, (x + back[0] + rng.uniform(-0.05, 0.05), y + back[1], 0))
    return Item((width + 0.8, depth + 0.9, 0.95), parts)


def bed(rng: np.random.Generator) -> Item:
    """A frame with a head board, a mattress, pillows and a thick blanket over two thirds."""
    frame, linen, blanket = pick(rng, HARD), pick(rng, ("white", "pastel", "grey", "cloth")), pick(rng, SOFT)
    width = rng.uniform(0.95, 1.05) if rng.random() < 0.4 else rng.uniform(1.35, 1.6)
    depth, top = 2.05, rng.uniform(0.42, 0.55)
    parts = [
        box(BED, frame, (0, depth / 2, top * 0.3), (width, depth, top * 0.5)),
        box(BED, frame, (0, 0.03, (top + 0.45) / 2), (width + 0.06, 0.07, top + 0.45), rounding=0.02),
        box(BED, linen, (0, depth / 2 + 0.03, top - 0.12), (width - 0.03, depth - 0.08, 0.24), rounding=0.07),
    ]
    if rng.random() < 0.4:
        parts.append(box(BED, frame, (0, depth, (top + 0.12) / 2), (width + 0.06, 0.07, top + 0.12)))
    cover = depth * rng.uniform(0.5, 0.66)
    place, fold = (0, depth - cover / 2 - 0.02, top - 0.1), (0, depth - cover, top + 0.05)
    parts.append(box(BED, blanket, place, (width + 0.05, cover, 0.32), rounding=0.08))
    parts.append(box(BED, shade(blanket, 1.1), fold, (width + 0.04, 0.28, 0.1), rounding=0.05))
    for x in (0.0,) if width < 1.2 else (-width / 4, width / 4):
        place = (x + rng.uniform(-0.04, 0.04), 0.33, top + 0.07)
        parts.append(ellipsoid(BED, linen, place, (0.6, 0.44, 0.22), yaw=rng.uniform(-0.15, 0.15), tilt=0.2))
    return Item((width + 0.06, depth + 0.06, top + 0.45), parts)


def bookshelf(rng: np.random.Generator) -> Item:
    """An open shelf: sides, back and boards, and rows of books of many colours and heights with gaps."""
    color = pick(rng, HARD)
    width, depth = rng.uniform((0.8, 0.3), (1.2, 0.36))
    boards = int(rng.integers(3, 6))
    gap = rng.uniform(0.36, 0.42)
    height = boards * gap + 0.06
    parts = [
        box(BOOKSHELF, color, (0, 0.02, height / 2), (width, 0.06, height)),
        *both_sides(box(BOOKSHELF, color, (width / 2 - 0.03, depth / 2, height / 2), (0.06, depth, height))),
        *(box(BOOKSHELF, color, (0, depth / 2, 0.03 + k * gap), (width, depth, 0.05)) for k in range(boards + 1)),
    ]
    for k in range(boards):
        x = -width / 2 + 0.08
        while x < width / 2 - 0.14:
            thick, tall = rng.uniform((0.06, 0.17), (0.14, 0.28))
            if rng.random() < 0.75:
                place = (x + thick / 2, 0.12 + rng.uniform(0, 0.03), 0.06 + k * gap + tall / 2)
                parts.append(box(BOOKSHELF, pick(rng, ANYTHING), place, (thick, 0.2, tall)))
            x += thick
    return Item((width, depth, height), parts)


def cabinet(rng: np.random.Generator, tall: bool) -> Item:
    """A closed box on a plinth with grooves between doors or drawers, and knobs: wardrobe, sideboard or night stand."""
    color = pick(rng, HARD)
    lowest, highest = ((0.8, 0.5, 1.6), (1.3, 0.6, 1.95)) if tall else ((0.5, 0.4, 0.55), (1.2, 0.5, 0.95))
    width, depth, height = rng.uniform(lowest, highest)
    dark, columns = shade(color, 0.55), max(1, round(width / 0.45))
    rows = 1 if tall or rng.random() < 0.4 else int(rng.integers(2, 4))
    grooves = [((k / columns - 0.5) * width, height / 2, 0.035, height - 0.2) for k in range(1, columns)]
    grooves += [(0, k / rows * height, width - 0.1, 0.035) for k in range(1, rows)]
    parts = [
        box(CABINET, color, (0, depth / 2, height / 2), (width, depth, height)),
        box(CABINET, color, (0, depth / 2 + 0.015, height - 0.03), (width + 0.05, depth + 0.05, 0.06)),
        box(CABINET, dark, (0, depth, 0.07), (width - 0.1, 0.12, 0.1), carve=True),
        *(box(CABINET, dark, (x, depth, z), (wide, 0.07, high), carve=True) for x, z, wide, high in grooves),
    ]
    for column in range(columns):
        for row in range(rows):
            x = ((column + 0.5) / columns - 0.5) * width
            z = height * 0.52 if tall else (row + 0.5) / rows * height
            x += (1 if column % 2 == 0 else -1) * 0.12 if rows == 1 and columns > 1 else 0.0
            parts.append(ellipsoid(CABINET, dark, (x, depth + 0.02, z), (0.08, 0.1, 0.08)))
    if not tall:
        parts += things_on(rng, width, depth, height, int(rng.integers(0, 3)))
    return Item((width, depth + 0.05, height), parts)


def other(rng: np.random.Generator) -> Item:
    """Other furniture: a bin, a floor lamp, a radiator, a stool or a chest."""
    color, kind = pick(rng, ANYTHING), int(rng.integers(5))
    if kind == 0:
        size, tall = rng.uniform((0.28, 0.35), (0.36, 0.55))
        hollow = (size - 0.1, size - 0.1, 0.4)
        parts = [cylinder(OTHER, color, (0, size / 2, tall / 2), (size, size, tall))]
        parts.append(cylinder(OTHER, shade(color, 0.5), (0, size / 2, tall), hollow, carve=True))
        return Item((size, size, tall), parts)
    if kind == 1:
        tall = rng.uniform(1.4, 1.7)
        parts = [
            cylinder(OTHER, color, (0, 0.18, 0.03), (0.32, 0.32, 0.06)),
            cylinder(OTHER, color, (0, 0.18, tall / 2), (0.08, 0.08, tall)),
            cylinder(OTHER, pick(rng, ANYTHING), (0, 0.18, tall), (0.36, 0.36, 0.28)),
        ]
        return Item((0.36, 0.36, tall + 0.14), parts)
    if kind == 2:
        width = rng.uniform(0.6, 1.0)
        ribs = [(x, 0.1, 0.42) for x in np.arange(-width / 2 + 0.05, width / 2, 0.14)]
        parts = [box(OTHER, color, (0, 0.06, 0.42), (width, 0.06, 0.55))]
        return Item((width, 0.16, 0.75), parts + [box(OTHER, color, place, (0.06, 0.08, 0.62)) for place in ribs])
    if kind == 3:
        size = rng.uniform(0.4, 0.6)
        return Item((size, size, 0.42), [box(OTHER, color, (0, size / 2, 0.21), (size, size, 0.42), rounding=0.12)])
    width = rng.uniform(0.4, 0.7)
    parts = [box(OTHER, color, (0, 0.2, 0.18), (width, 0.4, 0.36))]
    parts.append(box(OTHER, color, (0, 0.2, 0.38), (width + 0.06, 0.45, 0.06)))
    return Item((width + 0.06, 0.43, 0.42), parts)

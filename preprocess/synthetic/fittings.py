"""Fittings of the synthetic rooms: kitchen and bath pieces, and what hangs on or sits in a wall.

Frame and labels as in `furniture`. Wall pieces have y = 0 on the wall's surface; y < 0 is inside it.
"""

import numpy as np

from preprocess.synthetic.furniture import CABINET, CLUTTER, Item, things_on
from preprocess.synthetic.palettes import ANYTHING, CERAMIC, HARD, SOFT, pick, shade
from preprocess.synthetic.solids import Part, both_sides, box, cylinder, ellipsoid, move_parts, sheet

WALL, DOOR, WINDOW, PICTURE, COUNTER, CURTAIN = 1, 8, 9, 11, 12, 16
REFRIGERATOR, SHOWER_CURTAIN, TOILET, SINK, BATHTUB = 24, 28, 33, 34, 36


def refrigerator(rng: np.random.Generator) -> Item:
    """A tall box with rounded edges, a gap between its two doors and a long bar handle on each."""
    color = pick(rng, ("white", "white", "grey", "dark", "pastel", "cloth"))
    width, depth, height = rng.uniform((0.62, 0.62, 1.45), (0.72, 0.7, 1.8))
    split, side = height * rng.choice([0.36, 0.64]), rng.choice([-1.0, 1.0]) * (width / 2 - 0.09)
    handle = pick(rng, ("grey", "dark", "white"))
    parts = [
        box(REFRIGERATOR, color, (0, depth / 2, height / 2), (width, depth, height), rounding=0.06),
        box(REFRIGERATOR, shade(color, 0.5), (0, depth, split), (width + 0.1, 0.1, 0.04), carve=True),
    ]
    for low, high in ((0.12, split - 0.1), (split + 0.1, height - 0.15)):
        length = min(high - low, 0.55)
        z = (high - length / 2) if low < 0.2 else (low + length / 2)
        parts.append(box(REFRIGERATOR, handle, (side, depth + 0.03, z), (0.06, 0.06, length)))
    return Item((width, depth + 0.05, height), parts)


def _basin(color, place, width: float, depth: float) -> list[Part]:
    """A bowl let into a top at `place` (x, y, z), with a rim and a tap behind it."""
    x, y, top = place
    metal = shade(color, 0.75)
    return [
        box(SINK, color, (x, y, top - 0.08), (width, depth, 0.22), rounding=0.05),
        box(SINK, color, (x, y, top + 0.05), (width - 0.1, depth - 0.1, 0.36), rounding=0.08, carve=True),
        cylinder(SINK, metal, (x, y - depth / 2, top + 0.12), (0.08, 0.08, 0.26)),
        box(SINK, metal, (x, y - depth / 2 + 0.1, top + 0.24), (0.06, 0.22, 0.06)),
    ]


def kitchen(rng: np.random.Generator) -> Item:
    """Floor cabinets with a thick counter and a let-in sink, and mostly hanging cabinets above."""
    color, stone = pick(rng, HARD), pick(rng, HARD)
    width, depth, top = rng.uniform(1.6, 2.1), 0.6, rng.uniform(0.86, 0.92)
    doors = round(width / 0.5)
    dark = shade(color, 0.55)
    parts = [
        box(CABINET, color, (0, depth / 2 - 0.02, top / 2), (width, depth - 0.04, top)),
        box(CABINET, dark, (0, depth - 0.02, 0.07), (width, 0.14, 0.1), carve=True),
    ]
    for k in range(doors):
        x = ((k + 0.5) / doors - 0.5) * width
        gap = (x - 0.5 * width / doors, depth - 0.04, 0.45)
        parts.append(box(CABINET, dark, (x, depth, top - 0.17), (0.2, 0.07, 0.05)))
        parts += [box(CABINET, dark, gap, (0.035, 0.07, 0.65), carve=True)] if k else []
    side = rng.choice([-1.0, 1.0])
    place = (side * width / 4, depth / 2 + 0.02, top + 0.06)
    parts += [
        box(COUNTER, stone, (0, depth / 2 + 0.01, top), (width + 0.03, depth + 0.04, 0.08)),
        box(COUNTER, stone, (0, 0.02, top + 0.08), (width + 0.03, 0.06, 0.12)),
        *_basin(pick(rng, CERAMIC), place, rng.uniform(0.46, 0.58), 0.44),
    ]
    if rng.random() < 0.7:
        low, high = top + 0.5, top + 1.05
        middle, gap = (low + high) / 2, (0.035, 0.07, high - low - 0.1)
        parts.append(box(CABINET, color, (0, 0.16, middle), (width, 0.32, high - low)))
        for k in range(1, doors):
            parts.append(box(CABINET, dark, ((k / doors - 0.5) * width, 0.32, middle), gap, carve=True))
    things = things_on(rng, width * 0.4, depth * 0.7, top + 0.04, int(rng.integers(1, 4)))
    parts += move_parts(things, 0.0, (-side * width * 0.25, 0, 0))
    return Item((width + 0.03, depth + 0.05, top + 1.05), parts)


def sink(rng: np.random.Generator) -> Item:
    """A wash basin on a column, or let into a small cabinet."""
    color = pick(rng, CERAMIC)
    width, depth, top = rng.uniform((0.52, 0.44, 0.8), (0.68, 0.5, 0.88))
    if rng.random() < 0.5:
        wood = pick(rng, HARD)
        parts = [
            box(CABINET, wood, (0, depth / 2, top / 2), (width + 0.06, depth, top)),
            box(CABINET, shade(wood, 0.55), (0, depth, top / 2 - 0.1), (0.035, 0.07, top - 0.35), carve=True),
            *_basin(color, (0.0, depth / 2 + 0.02, top + 0.06), width, depth),
        ]
    else:
        parts = [
            cylinder(SINK, color, (0, depth * 0.4, top / 2 - 0.05), (0.18, 0.16, top)),
            ellipsoid(SINK, color, (0, depth / 2, top - 0.06), (width * 0.8, depth * 0.9, 0.3)),
            *_basin(color, (0.0, depth / 2, top), width, depth),
        ]
    return Item((width + 0.06, depth + 0.04, top + 0.3), parts)


def toilet(rng: np.random.Generator) -> Item:
    """A water tank with a lid, a foot, a hollow oval bowl, and a seat lid that is open or closed."""
    color = pick(rng, CERAMIC)
    parts = [
        box(TOILET, color, (0, 0.1, 0.58), (0.42, 0.19, 0.4), rounding=0.03),
        box(TOILET, color, (0, 0.1, 0.79), (0.46, 0.22, 0.06)),
        box(TOILET, color, (0, 0.32, 0.12), (0.24, 0.46, 0.26), rounding=0.06),
        ellipsoid(TOILET, color, (0, 0.44, 0.3), (0.4, 0.54, 0.38)),
        cylinder(TOILET, color, (0, 0.44, 0.38), (0.4, 0.54, 0.1)),
        box(TOILET, color, (0, 0.2, 0.33), (0.3, 0.2, 0.2)),
    ]
    if rng.random() < 0.65:
        parts.append(ellipsoid(TOILET, shade(color, 0.8), (0, 0.46, 0.42), (0.26, 0.38, 0.34), carve=True))
        parts.append(cylinder(TOILET, color, (0, 0.25, 0.6), (0.38, 0.44, 0.05), tilt=np.pi / 2 - 0.15))
    else:
        parts.append(cylinder(TOILET, color, (0, 0.44, 0.44), (0.42, 0.54, 0.05)))
    return Item((0.5, 0.74, 0.85), parts)


def bathtub(rng: np.random.Generator) -> Item:
    """A long tub with a hollow and a rim, taps at one end, and a shower curtain on a rod along its open side."""
    color, cloth = pick(rng, CERAMIC), pick(rng, SOFT)
    width, depth, rim = rng.uniform((1.5, 0.7, 0.5), (1.7, 0.78, 0.6))
    side = rng.choice([-1.0, 1.0])
    metal = pick(rng, ("grey", "white", "dark"))
    drawn, height = rng.uniform(0.45, 0.7) * width, rng.uniform(1.85, 2.0)
    x = -side * (width - drawn) / 2 * rng.choice([-1.0, 1.0])
    wave = (0.055, 2 * np.pi / rng.uniform(0.26, 0.34), rng.uniform(0, 6))
    low = rng.uniform(0.15, 0.35)
    hung, size = (x, depth + 0.09, (low + height) / 2), (drawn, 0.05, height - low)
    parts = [
        box(BATHTUB, color, (0, depth / 2, rim / 2), (width, depth, rim), rounding=0.03),
        box(BATHTUB, color, (0, depth / 2, rim + 0.05), (width - 0.2, depth - 0.2, 0.9), rounding=0.16, carve=True),
        cylinder(BATHTUB, metal, (side * (width / 2 - 0.1), depth / 2, rim + 0.08), (0.08, 0.08, 0.2)),
        box(BATHTUB, metal, (side * (width / 2 - 0.18), depth / 2, rim + 0.17), (0.2, 0.06, 0.06)),
        sheet(SHOWER_CURTAIN, cloth, hung, size, wave=wave),
        box(CLUTTER, metal, (0, depth + 0.09, height + 0.03), (width, 0.06, 0.06)),
    ]
    return Item((width, depth + 0.2, height + 0.06), parts)


def door(rng: np.random.Generator) -> Item:
    """A leaf with two inset panels and a handle in a frame, closed, or ajar before a dark opening."""
    color, frame = pick(rng, HARD), pick(rng, HARD)
    width, height = rng.uniform((0.8, 1.95), (0.92, 2.05))
    side = rng.choice([-1.0, 1.0])
    ajar = rng.uniform(0.5, 1.3) if rng.random() < 0.3 else 0.0
    behind, depth = ((45, 42, 40), 0.3) if ajar else (color, 0.06)
    panel, handle = (width - 0.26, 0.035, height * 0.36), (0.18, 0.07, 0.06)
    leaf = [
        box(DOOR, color, (width / 2, 0, height / 2), (width, 0.06, height)),
        *(box(DOOR, shade(color, 0.9), (width / 2, 0.03, height * z), panel, carve=True) for z in (0.27, 0.73)),
        *(box(DOOR, shade(color, 0.45), (width - 0.12, y, height / 2), handle) for y in (-0.06, 0.06)),
    ]
    if not ajar:
        leaf = move_parts(leaf, 0.0, (0, -0.03, 0))
    if side < 0:
        leaf = move_parts(leaf, 0.0, (-width, 0, 0))
    parts = [
        box(WALL if ajar else DOOR, behind, (0, 0, height / 2 + 0.02), (width, depth, height), carve=True),
        box(DOOR, frame, (0, 0.0, height + 0.05), (width + 0.2, 0.1, 0.1)),
        *both_sides(box(DOOR, frame, (width / 2 + 0.05, 0.0, height / 2), (0.1, 0.1, height + 0.1))),
        *move_parts(leaf, side * ajar, (-side * width / 2, 0.03 * bool(ajar), 0)),
    ]
    return Item((width + 0.2, 0.85 if ajar else 0.6, height + 0.1), parts)


def window(rng: np.random.Generator, width: float, height: float, sill: float) -> Item:
    """A niche with a pane in it, a frame with cross bars, and a sill board; `sill` is the height of its lower edge."""
    frame = pick(rng, ("white", "wood", "dark", "grey"))
    pane = pick(rng, ("white", "cloth", "dark", "grey", "pastel"))
    middle = sill + height / 2
    parts = [
        box(WINDOW, pane, (0, 0, middle), (width, 0.2, height), carve=True),
        *both_sides(box(WINDOW, frame, (width / 2, -0.06, middle), (0.08, 0.1, height))),
        *(box(WINDOW, frame, (0, -0.06, z), (width + 0.08, 0.1, 0.08)) for z in (sill, sill + height)),
        box(WINDOW, frame, (0, -0.07, middle), (0.07, 0.08, height)),
    ]
    if rng.random() < 0.6:
        parts.append(box(WINDOW, frame, (0, -0.07, sill + height * rng.choice([0.5, 0.68])), (width, 0.08, 0.07)))
    parts.append(box(WINDOW, frame, (0, 0.04, sill - 0.03), (width + 0.2, 0.14, 0.06)))
    return Item((width + 0.2, 0.12, height), parts)


def curtains(rng: np.random.Generator, width: float, top: float) -> Item:
    """Two folded cloths next to a window of the given width, on a rod, reaching nearly to the floor."""
    color = pick(rng, SOFT)
    low = rng.uniform(0.04, 0.35)
    parts = [box(CURTAIN, shade(color, 0.6), (0, 0.14, top + 0.03), (width + 0.7, 0.06, 0.06))]
    for side in (-1, 1):
        drawn = rng.uniform(0.32, 0.5)
        wave = (0.05, 2 * np.pi / rng.uniform(0.22, 0.3), rng.uniform(0, 6))
        place = (side * (width / 2 + 0.3 - drawn / 2), 0.14, (low + top) / 2)
        parts.append(sheet(CURTAIN, color, place, (drawn, 0.06, top - low), wave=wave))
    return Item((width + 0.7, 0.22, top - low), parts)


def picture(rng: np.random.Generator) -> Item:
    """A framed picture: a raised rim around a slightly lower, patched image."""
    width, height = rng.uniform((0.4, 0.4), (1.0, 0.75))
    frame = pick(rng, ANYTHING)
    parts = [box(PICTURE, pick(rng, ANYTHING), (0, 0, 0), (width, 0.1, height))]
    for _ in range(int(rng.integers(2, 5))):
        size = rng.uniform(0.15, 0.5, 2) * (width, height)
        x, z = rng.uniform(-0.5, 0.5, 2) * (np.array([width, height]) - size)
        parts.append(box(PICTURE, pick(rng, ANYTHING), (x, 0, z), (size[0], 0.104, size[1])))
    parts += both_sides(box(PICTURE, frame, (width / 2, 0.02, 0), (0.07, 0.1, height + 0.07)))
    parts += [box(PICTURE, frame, (0, 0.02, z), (width + 0.07, 0.1, 0.07)) for z in (-height / 2, height / 2)]
    return Item((width + 0.07, 0.1, height + 0.07), parts)

"""Chairs and sofas of the synthetic rooms, and `Item`, what every function that draws a piece from `rng` returns.

A piece stands in its own frame: x along its width and centred, y from the back (0) to the front, z up from the floor,
metres. Labels are NYU40 ids; 0 is unlabelled clutter.
"""

import dataclasses

import numpy as np

from preprocess.synthetic.palettes import HARD, SOFT, pick, shade
from preprocess.synthetic.solids import Part, both_sides, box, cylinder, ellipsoid

CLUTTER, CHAIR, SOFA = 0, 5, 6


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

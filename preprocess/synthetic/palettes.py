"""Colours of the synthetic rooms: families that many classes share, so that colour does not give the class away."""

import numpy as np

WOOD = ((120, 78, 45), (150, 105, 65), (176, 134, 88), (86, 55, 34), (196, 160, 116), (104, 70, 52))
WHITE = ((236, 234, 228), (222, 220, 214), (228, 222, 206), (212, 214, 218), (240, 240, 240))
GREY = ((128, 128, 130), (158, 158, 160), (92, 94, 98), (178, 174, 168))
DARK = ((48, 46, 48), (66, 60, 58), (40, 48, 62), (72, 52, 44))
CLOTH = ((62, 84, 128), (134, 52, 54), (82, 112, 84), (182, 160, 130), (112, 92, 120), (198, 178, 96), (90, 130, 142))
PASTEL = ((206, 212, 196), (214, 202, 184), (190, 204, 216), (222, 204, 200), (226, 216, 176))

FAMILIES = {"wood": WOOD, "white": WHITE, "grey": GREY, "dark": DARK, "cloth": CLOTH, "pastel": PASTEL}
HARD = ("wood", "wood", "white", "grey", "dark")  # furniture with a hard surface
SOFT = ("cloth", "cloth", "white", "grey", "dark", "pastel", "wood")  # cloth and leather
CERAMIC = ("white", "white", "white", "pastel", "grey")
PAINT = ("white", "white", "pastel", "grey", "wood", "cloth")  # walls
FLOORING = ("wood", "wood", "grey", "pastel", "white", "cloth", "dark")
ANYTHING = tuple(FAMILIES)


def pick(rng: np.random.Generator, families: tuple[str, ...], spread: float = 10.0) -> tuple[float, float, float]:
    """One colour (r, g, b in 0..255) of one of the named families, shifted a little."""
    family = FAMILIES[families[rng.integers(len(families))]]
    color = np.asarray(family[rng.integers(len(family))], np.float64)
    return tuple(np.clip(color + rng.normal(0, spread, 3) + rng.normal(0, spread), 10, 250))


def shade(color: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    """The colour made darker (factor < 1) or lighter, kept in 0..255."""
    return tuple(np.clip(np.asarray(color) * factor, 0, 255))

"""Solids with a signed distance, and their union on a regular grid: what the synthetic rooms are built of.

A `Part` is one analytic solid with a label and a colour. `DistanceGrid.add` writes the minimum of distances (or, for a
part that carves, the maximum with the negated distance) into a grid of samples, and remembers at every sample which
part decided it. Distances are negative inside. Rounded box and ellipsoid follow Quilez, "distance functions".
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from kernels.host.jit import compiled

BOX, CYLINDER, ELLIPSOID, SHEET = range(4)
FAR = np.float32(10.0)
THINNEST = 0.62  # half thickness of the thinnest solid, in grid steps: thinner ones could slip between the samples


@dataclasses.dataclass(frozen=True)
class Part:
    """One solid. Lengths are in metres.

    Attributes:
        centre, half: float64 [3], centre and half extent.
        axes: float64 [3, 3], rows are the local axes.
        wave: float64 [3], amplitude, angular frequency (1/m) and phase of a sheet.
        color: red, green and blue, 0 to 255.
    """

    shape: int
    centre: np.ndarray
    axes: np.ndarray
    half: np.ndarray
    label: int
    color: tuple[float, float, float]
    rounding: float = 0.0
    wave: tuple[float, float, float] = (0.0, 0.0, 0.0)
    carve: bool = False


def rotation(yaw: float, tilt: float = 0.0) -> np.ndarray:
    """Rotation matrix f64[3,3]: first `tilt` about x, then `yaw` about z (rad)."""
    cy, sy, ct, st = np.cos(yaw), np.sin(yaw), np.cos(tilt), np.sin(tilt)
    turned = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    return turned @ np.array([[1.0, 0.0, 0.0], [0.0, ct, -st], [0.0, st, ct]])


def move_parts(parts: Sequence[Part], yaw: float, offset: Sequence[float]) -> list[Part]:
    """The parts turned together by `yaw` (rad) about the z axis of the origin, then shifted by `offset` [3] (m)."""
    turn = rotation(yaw)
    return [dataclasses.replace(p, centre=turn @ p.centre + np.asarray(offset), axes=p.axes @ turn.T) for p in parts]


def both_sides(*parts: Part) -> list[Part]:
    """Mirror images of parts, on the other side of x = 0, then the parts themselves."""
    return [*(dataclasses.replace(part, centre=part.centre * (-1, 1, 1)) for part in parts), *parts]


def solid(shape: int, label: int, color, centre, size, *, yaw=0.0, tilt=0.0, **more) -> Part:
    """A part from its full size (m) along its local axes; `more` are further fields of `Part`."""
    half = np.asarray(size, np.float64) / 2
    return Part(shape, np.asarray(centre, np.float64), rotation(yaw, tilt).T, half, label, tuple(color), **more)


box = functools.partial(solid, BOX)
"""A box of the size (x, y, z); `rounding` rounds its edges."""
cylinder = functools.partial(solid, CYLINDER)
"""An upright cylinder with diameters (x, y) and height z."""
ellipsoid = functools.partial(solid, ELLIPSOID)
"""An ellipsoid with diameters (x, y, z)."""
sheet = functools.partial(solid, SHEET)
"""An upright sheet of the size (x, thickness, z) with folds: its middle is y = wave[0] * sin(wave[1] * x + wave[2])."""


class DistanceGrid:
    """Signed distances f32[X,Y,Z] and deciding parts i32[X,Y,Z] at lower + step * (i, j, k)."""

    def __init__(self, lower: Sequence[float], upper: Sequence[float], step: float):
        """Samples from `lower` to at least `upper` (m), `step` (m) apart, all of them far outside every part."""
        self.lower = np.asarray(lower, np.float64)
        self.step = float(step)
        shape = np.ceil((np.asarray(upper) - self.lower) / step).astype(int) + 1
        self.distance = np.full(shape, FAR, np.float32)
        self.part = np.zeros(shape, np.int32)

    def add(self, part: Part, index: int) -> None:
        """Joins (or carves) one part; samples that it decides get `index`."""
        thinnest = self.step * THINNEST
        half = np.maximum(part.half, 0.5 * self.step if part.carve else thinnest)
        reach = half + 3 * self.step
        reach[1] += part.wave[0]
        reach = np.abs(part.axes.T) @ reach
        first = np.maximum(np.floor((part.centre - reach - self.lower) / self.step), 0).astype(np.int64)
        last = np.ceil((part.centre + reach - self.lower) / self.step).astype(np.int64) + 1
        last = np.minimum(last, self.distance.shape)
        if (last <= first).any():
            return
        rounding = min(part.rounding, float(half.min()) * 0.95)
        shape = (part.shape, part.axes, half, rounding, np.asarray(part.wave, np.float64))
        place = (first, last, self.lower - part.centre, self.step)
        _write_part(self.distance, self.part, place, shape, part.carve, index)


@compiled
def _distance(solid, x, y, z):
    """Distance of a solid's surface from a point in the solid's own axes, negative inside."""
    shape, _, half, rounding, wave = solid
    hx, hy, hz = half[0], half[1], half[2]
    if shape == CYLINDER:
        side = (np.sqrt((x / hx) ** 2 + (y / hy) ** 2) - 1.0) * min(hx, hy)
        end = abs(z) - hz
        return min(max(side, end), 0.0) + np.sqrt(max(side, 0.0) ** 2 + max(end, 0.0) ** 2)
    if shape == ELLIPSOID:
        x, y, z = x / hx, y / hy, z / hz
        first = np.sqrt(x * x + y * y + z * z)
        second = np.sqrt((x / hx) ** 2 + (y / hy) ** 2 + (z / hz) ** 2)
        return first * (first - 1.0) / second if second > 1e-9 else -min(hx, min(hy, hz))
    if shape == SHEET:
        y -= wave[0] * np.sin(wave[1] * x + wave[2])
        slope = wave[0] * wave[1] * np.cos(wave[1] * x + wave[2])
        y /= np.sqrt(1.0 + slope * slope)
    x, y, z = abs(x) - hx + rounding, abs(y) - hy + rounding, abs(z) - hz + rounding
    outside = np.sqrt(max(x, 0.0) ** 2 + max(y, 0.0) ** 2 + max(z, 0.0) ** 2)
    return outside + min(max(x, max(y, z)), 0.0) - rounding


@compiled
def _write_part(distance, part, place, solid, carve, index):
    first, last, start, step = place
    axes = solid[1]
    for i in range(first[0], last[0]):
        dx = start[0] + step * i
        for j in range(first[1], last[1]):
            dy = start[1] + step * j
            for k in range(first[2], last[2]):
                dz = start[2] + step * k
                x = axes[0, 0] * dx + axes[0, 1] * dy + axes[0, 2] * dz
                y = axes[1, 0] * dx + axes[1, 1] * dy + axes[1, 2] * dz
                z = axes[2, 0] * dx + axes[2, 1] * dy + axes[2, 2] * dz
                value = np.float32(_distance(solid, x, y, z))
                decides = -value > distance[i, j, k] if carve else value < distance[i, j, k]
                if decides:
                    distance[i, j, k] = -value if carve else value
                    part[i, j, k] = index

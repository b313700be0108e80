"""How a mesh becomes levels and voxels: the parameters, and what they may be."""

import dataclasses
import math

LEVELS = 7
PLACEMENTS = ("half_edge", "optimal")
LEVEL0_LABELS = ("nearest", "majority")
HIERARCHIES = ("vc+qem", "vc", "qem")


@dataclasses.dataclass(frozen=True)
class HierarchyParams:
    """How a mesh becomes levels and voxels. Lengths are in the mesh's unit: metres unless it was read otherwise.

    Attributes:
        cells: edges of the clustering cells, one level each, finest first.
        quadric_levels: number of levels after them; cells and quadric levels make 7.
        ratio: faces that each quadric level keeps of the level before.
        placement: "half_edge" (coarse vertices are a subset of the finer ones) or "optimal" (the quadric's minimum).
        ring_width: slots of the one-ring tables; further neighbours go to the overflow list.
        voxel_size: edge of a voxel at the finest level.
        level0_labels: "nearest" original vertex, or "majority" of the vertices that fall into a level-0 vertex.
    """

    cells: tuple[float, ...] = (0.02, 0.04)
    quadric_levels: int = 5
    ratio: float = 0.3
    placement: str = "half_edge"
    ring_width: int = 16
    voxel_size: float = 0.02
    level0_labels: str = "nearest"

    def __post_init__(self):
        object.__setattr__(self, "cells", tuple(float(cell) for cell in self.cells))
        if len(self.cells) + self.quadric_levels != LEVELS or self.quadric_levels < 0:
            counts = f"{len(self.cells)} clustering cells and {self.quadric_levels} quadric levels"
            raise ValueError(f"the hierarchy has {LEVELS} levels, not {counts}")
        lengths = [*self.cells, self.voxel_size]
        if not all(math.isfinite(length) and length > 0 for length in lengths):
            raise ValueError(f"cells and voxel_size must be positive, they are {lengths}")
        if list(self.cells) != sorted(set(self.cells)):
            raise ValueError(f"cells must grow from level to level, they are {list(self.cells)}")
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio must be between 0 and 1, it is {self.ratio}")
        if self.ring_width < 1:
            raise ValueError(f"ring_width must be at least 1, it is {self.ring_width}")
        if self.placement not in PLACEMENTS:
            raise ValueError(f"placement must be one of {PLACEMENTS}, it is {self.placement!r}")
        if self.level0_labels not in LEVEL0_LABELS:
            raise ValueError(f"level0_labels must be one of {LEVEL0_LABELS}, it is {self.level0_labels!r}")

    def to_dict(self) -> dict:
        """Plain values, as JSON gives them back."""
        return {**dataclasses.asdict(self), "cells": list(self.cells)}

    @classmethod
    def from_dict(cls, params: dict) -> "HierarchyParams":
        """The parameters in a `to_dict` or in a scene file's params, whose other entries are ignored."""
        return cls(**{field.name: params[field.name] for field in dataclasses.fields(cls)})


def plan_levels(hierarchy: str, cells: tuple[float, ...], ratio: float) -> tuple[tuple[float, ...], int]:
    """Clustering cells and number of quadric levels of one of `HIERARCHIES`.

    "vc+qem": the cells given, then quadric levels. "vc": clustering at all levels; after the cells given they grow by
    `ratio ** -0.5`, which leaves about the share of the faces that a quadric level keeps. "qem": quadric levels only.
    """
    if hierarchy == "qem":
        return (), LEVELS
    if hierarchy == "vc+qem":
        return cells, LEVELS - len(cells)
    more = range(1, LEVELS - len(cells) + 1)
    return (*cells, *(cells[-1] * ratio ** (-0.5 * step) for step in more)), 0

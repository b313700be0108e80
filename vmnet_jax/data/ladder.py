"""Padded sizes of evaluation and prediction: a ladder that all networks, runs and machines share.

XLA compiles once per shape. So the shape of a batch is a rung of a ladder, and the rung depends on the batch's own
sizes alone: a program that one process has compiled and stored serves every later one. Four small numbers make a rung:

- the step of the voxels at level 0, and the step of the vertices at level 0: step n has 2048 * 2^n rows. Where the
  two differ by one step, both take the higher one;
- the shift: rows of the deeper levels follow those of level 0 by a fixed profile of surfaces, which begins at the level
  of this number. A mesh whose triangles are as large as its voxels keeps its number of voxels for a level and has shift
  1, an unconnected soup has a larger one. The largest shift gives all levels the rows of level 0;
- the fold of the overflow lists, which is 0 but for meshes with many vertices of more neighbours than the ring tables
  have slots.

Level 0 is padded to at least 2048 rows, and from there on to at most twice its rows; the smaller one of voxels and
vertices to at most four times where a step lies between them. No level is padded to more rows than level 0.
docs/vmnet.md has what was measured.
"""

import itertools

import numpy as np

from vmnet_jax.data.batching import Sizes, round_up

BASE = 2048  # rows of step 0
VOXELS, VERTICES = (0.31, 0.3), (0.31, 0.38)
"""Rows of the first level below by those of level 0, and of each further one by the one before."""
LEAST_VERTICES = 0.06  # of those of level 0: borders and small parts resist simplification
LEAST_ROWS = 32
LEAST_OVERFLOW, OVERFLOW_SHARE, FOLD = 512, 64, 4  # entries, or rows of the level for each, and their growth by folds


def rung(sizes: Sizes) -> Sizes:
    """The padded rows for a batch, a function of its real rows alone.

    Args:
        sizes: of any number of levels, none of which has more rows than the one above it.
    """
    voxels, vertices = _step(sizes.voxels[0]), _step(sizes.vertices[0])
    if abs(voxels - vertices) <= 1:
        voxels = vertices = max(voxels, vertices)
    levels = len(sizes.voxels)
    for shift in range(levels):
        padded = Sizes(
            _levels(BASE << voxels, levels, shift, *VOXELS),
            _levels(BASE << vertices, levels, shift, *VERTICES, least=LEAST_VERTICES),
            sizes.overflow,
        )
        if sizes.fits(padded):
            break
    spare = np.maximum(LEAST_OVERFLOW, np.array(padded.vertices) // OVERFLOW_SHARE)
    fold = next(fold for fold in itertools.count() if (sizes.overflow <= spare * FOLD**fold).all())
    return padded._replace(overflow=tuple((spare * FOLD**fold).tolist()))


def plan_rungs(batches: list[Sizes], most: int) -> list[Sizes]:
    """At most `most` rungs, ascending by their rows at level 0, of which one holds each batch.

    They are the batches' own where these are few enough. Otherwise the batches of one rung go to the next larger one,
    again and again: where that adds the fewest rows at level 0, over all batches.
    """
    if not batches or most < 1:
        raise ValueError(f"{len(batches)} batches and {most} rungs: at least one of each is needed")
    members: dict[Sizes, list[Sizes]] = {}
    for sizes in batches:
        members.setdefault(rung(sizes), []).append(sizes)
    while len(members) > most:
        pairs = itertools.pairwise(sorted(members, key=_by_rows))
        small, large = min(pairs, key=lambda pair: (_finest(pair[1]) - _finest(pair[0])) * len(members[pair[0]]))
        joined = members.pop(small) + members.pop(large)
        members.setdefault(rung(largest(joined)), []).extend(joined)
    return sorted(members, key=_by_rows)


def rows_below(rows: float) -> float:
    """Rows of level 0 of the highest step that has at most `rows`; `rows` itself if it is less than the lowest has."""
    return BASE << _step(rows) - 1 if rows >= BASE else rows


def largest(sizes: list[Sizes]) -> Sizes:
    """The most rows at every level."""
    return Sizes(*(tuple(np.max(part, axis=0).tolist()) for part in zip(*sizes)))


def _step(rows: float) -> int:
    """The lowest step with more rows, so that there is one of padding."""
    return next(step for step in itertools.count() if BASE << step > rows)


def _levels(finest: int, levels: int, shift: int, first: float, ratio: float, *, least: float = 0.0) -> tuple[int, ...]:
    """Padded rows of each level: of level 0 down to level `shift`, and of the profile from there on."""
    shares = [1.0] * (shift + 1) + [max(least, first * ratio**level) for level in range(levels - shift - 1)]
    return tuple(round_up(max(LEAST_ROWS, finest * share)) for share in shares)


def _finest(padded: Sizes) -> int:
    """Rows at level 0."""
    return padded.voxels[0] + padded.vertices[0]


def _by_rows(padded: Sizes) -> tuple[int, Sizes]:
    return _finest(padded), padded

"""Joins samples into one padded `SceneBatch`, and plans the few sizes (buckets) to which batches are padded.

XLA compiles once per shape, so batches share a small number of buckets. A bucket fixes the rows of all voxel levels,
all mesh levels and the overflow lists together: one joint key, so that L levels never multiply the number of
compilations. The buckets of evaluation and prediction are the rungs of `vmnet_jax.data.ladder`. A training plans its
own: neighbouring ones differ by a factor of about 1.25, and they continue without end, each 1.25 times the one before.
A batch that is larger than planned takes the first of these that holds it. The bucket of a batch therefore depends on
its size and the plan alone, never on the batches before it.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kernels.host.batch import padding
from kernels.host.tables import Rings, Trace, Trilinear
from kernels.host.voxel.voxels import VoxelPyramid
from preprocess.scene.params import LEVELS
from preprocess.scene.scene_file import Scene
from vmnet_jax.data.placement import Placement
from vmnet_jax.data.sample import Sample, VertexInputs, voxel_counts
from vmnet_jax.model.scene_batch import SceneBatch

STEP = 1.25


class Sizes(NamedTuple):
    """Real rows of one sample or batch, or the padded rows of a bucket."""

    voxels: tuple[int, ...]
    vertices: tuple[int, ...]
    overflow: tuple[int, ...]

    def fits(self, bucket: "Sizes") -> bool:
        """True where every array has room for these rows and the padding row that absent entries point to."""
        rows = zip(self.voxels + self.vertices, bucket.voxels + bucket.vertices, strict=True)
        return all(a < b for a, b in rows) and all(a <= b for a, b in zip(self.overflow, bucket.overflow))


class DoesNotFit(ValueError):
    """A batch is larger than the bucket it is to be padded to."""


def sample_sizes(sample: Sample) -> Sizes:
    """Real rows of one sample; of a scene file's unaugmented placement where a `Scene` is given."""
    return Sizes(
        tuple(len(c) for c in sample.voxels.coords),
        tuple(len(r.ring) for r in sample.rings),
        tuple(len(r.overflow_target) for r in sample.rings),
    )


def placed_sizes(scene: Scene, placement: Placement | None) -> Sizes:
    """Real rows of a scene's sample in a placement (None for the unaugmented one), without making the sample."""
    sizes = sample_sizes(scene)
    if placement is None:
        return sizes
    return sizes._replace(voxels=voxel_counts(placement.apply(scene.vertices), len(sizes.voxels)))


def add_sizes(sizes: list[Sizes]) -> Sizes:
    """Rows of several samples joined."""
    return Sizes(*(tuple(int(n) for n in np.sum(part, axis=0)) for part in zip(*sizes)))


def round_up(rows: float) -> int:
    """The rows in whole blocks of 16, 64 from 256 rows on, or 512 from 4096 on."""
    step = 16 if rows < 256 else 64 if rows < 4096 else 512
    return int(-(-rows // step) * step)


def largest_batch(scenes: list[Sizes], batch_size: int, voxel_growth: float) -> Sizes:
    """Rows that no batch of `batch_size` scenes exceeds: at every level the sum over the largest scenes.

    That holds as long as no placement needs more than `voxel_growth` times the voxels of the unaugmented one. Where
    there are fewer scenes than `batch_size`, they are counted again.
    """

    def top(sizes: tuple[tuple[int, ...], ...], growth: float = 1.0) -> tuple[int, ...]:
        rows = np.sort(sizes, axis=0)[::-1]
        rows = np.resize(rows[:batch_size], (batch_size, rows.shape[1]))
        return tuple(int(np.ceil(n)) for n in growth * rows.sum(0))

    voxels, vertices, overflow = zip(*scenes)
    return Sizes(top(voxels, voxel_growth), top(vertices), top(overflow))


def plan_buckets(batches: list[Sizes], max_buckets: int, largest: Sizes | None = None) -> list[Sizes]:
    """At most `max_buckets` buckets, ascending; the last one holds every batch seen and `largest`.

    A batch's key is its size at level 0, voxels or vertices, relative to the mean batch, whichever is larger: level 0
    is what a step costs. The buckets below the last hold the batches seen whose keys are smaller by factors of 1.25, as
    long as there are any, with room for a few rows more at all levels.
    """
    if not batches or max_buckets < 1:
        raise ValueError(f"{len(batches)} batches and {max_buckets} buckets: at least one of each is needed")
    seen = [*batches, largest] if largest else batches
    rows = np.array([b.voxels + b.vertices for b in seen], np.float64)
    spare = tuple(round_up(o + 1) for o in np.max([b.overflow for b in seen], axis=0))
    levels = len(seen[0].voxels)
    finest = rows[:, [0, levels]]
    keys = (finest / finest[: len(batches)].mean(0)).max(1)
    limits = [keys.max()]
    limit = keys[: len(batches)].max() if largest else limits[0] / STEP
    while len(limits) < max_buckets and limit >= keys.min():
        if limit < 0.95 * limits[-1]:
            limits.append(limit)
        limit /= STEP
    buckets = []
    for limit in reversed(limits):
        padded = [round_up(1.03 * r + 2 * np.sqrt(r) + 1) for r in rows[keys <= limit].max(0)]
        buckets.append(Sizes(tuple(padded[:levels]), tuple(padded[levels:]), spare))
    return buckets


def bucket_at(number: int, buckets: list[Sizes]) -> Sizes:
    """Bucket `number` of the planned `buckets` (ascending, at least one); later ones are each 1.25 times larger."""
    beyond = number - len(buckets) + 1
    if beyond <= 0:
        return buckets[number]
    return Sizes(*(tuple(round_up(STEP**beyond * rows) for rows in part) for part in buckets[-1]))


def bucket_number(sizes: Sizes, buckets: list[Sizes]) -> int:
    """Number of the smallest bucket that holds a batch, to be given to `bucket_at`.

    It is `len(buckets)` or more for a batch that is larger than planned. Every bucket of a higher number holds the
    batch too.
    """
    return next(number for number in itertools.count() if sizes.fits(bucket_at(number, buckets)))


def collate(samples: list[Sample], bucket: Sizes, num_scenes: int | None = None) -> SceneBatch:
    """Joins samples into one batch padded to `bucket`; NumPy arrays, ready for the device.

    Args:
        num_scenes: the batch's static number of scenes; None for the number of samples. The scenes above that are
            empty.

    Raises:
        DoesNotFit: with the numbers, if the samples need more rows than the bucket has.
    """
    each, num_scenes = [sample_sizes(s) for s in samples], num_scenes or len(samples)
    sizes = add_sizes(each)
    if not sizes.fits(bucket):
        raise DoesNotFit(
            f"a batch of {sizes.voxels[0]} voxels and {sizes.vertices[0]} vertices exceeds its bucket of "
            f"{bucket.voxels[0]} voxels and {bucket.vertices[0]} vertices (all levels: {sizes} against {bucket})"
        )
    voxels, vertices, overflow = bucket
    voxel_counts, vertex_counts, _ = (list(zip(*rows)) for rows in zip(*each))  # [level][sample]
    parts = Sample(*zip(*samples))  # every field of all samples; zip(*field) is level by level
    tables = VoxelPyramid(*zip(*parts.voxels))
    rings, keep = zip(*map(_join_edges, zip(*parts.rings), zip(*parts.keep), vertices, overflow))
    near = list(map(_join_edges, zip(*parts.radius_rings), zip(*parts.radius_edge_mask), vertices, itertools.repeat(0)))
    corners = map(padding.join_corners, zip(*parts.corners), zip(*parts.weights), voxel_counts, vertices, voxels)
    traces = map(padding.join_traces, zip(*parts.traces), vertex_counts[1:], vertices, vertices[1:])
    starts_at_voxels = samples[0].vertex_features is None
    return SceneBatch(
        features=padding.pad_rows(parts.features, voxels[0]),
        voxel_count=np.array(sizes.voxels, np.int32),
        neighbours=tuple(map(padding.join_neighbours, zip(*tables.neighbours), voxels)),
        children=tuple(map(padding.join_children, zip(*tables.children), voxel_counts, voxels, voxels[1:])),
        slots=tuple(map(padding.join_slots, zip(*tables.slots), voxel_counts[1:], voxels, voxels[1:])),
        voxel_labels=padding.pad_rows(parts.voxel_labels, voxels[0], fill=-1),
        vertex_count=np.array(sizes.vertices, np.int32),
        vertex_scene=tuple(
            np.repeat(np.array([*range(len(counts)), num_scenes], np.int32), [*counts, rows - sum(counts)])
            for counts, rows in zip(vertex_counts, vertices)
        ),
        rings=rings,
        keep=keep,
        corners=tuple(corners),
        traces=tuple(traces),
        vertex_labels=padding.pad_rows(parts.vertex_labels, vertices[0], fill=-1),
        num_scenes=num_scenes,
        vertex_features=None if starts_at_voxels else padding.pad_rows(parts.vertex_features, vertices[0]),
        radius_rings=tuple(rings for rings, _ in near),
        radius_edge_mask=tuple(mask for _, mask in near),
    )


def empty_batch(features: int, vertices: VertexInputs | None = None, levels: int = LEVELS) -> SceneBatch:
    """A batch of one scene without any row, for shapes: F input channels, one padding row everywhere.

    `vertices` is as for `vmnet_jax.data.sample.make_sample`.
    """

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.int32)

    rings = Rings(zeros(1, 1), zeros(1, 1), zeros(1), zeros(1), zeros(1))
    edges, near, steps = np.zeros(2, bool), len(vertices.radii) if vertices else 0, levels - 1
    return SceneBatch(
        features=np.zeros((1, features), np.float32),
        voxel_count=zeros(levels),
        neighbours=(zeros(1, 27),) * levels,
        children=(zeros(1, 8),) * steps,
        slots=(zeros(1),) * steps,
        voxel_labels=zeros(1) - 1,
        vertex_count=zeros(levels),
        vertex_scene=(zeros(1) + 1,) * levels,
        rings=(rings,) * levels,
        keep=(edges,) * levels,
        corners=(Trilinear(zeros(1, 8), np.zeros((1, 8), np.float32), zeros(8), zeros(8)),) * levels,
        traces=(Trace(zeros(1), zeros(1), zeros(1)),) * steps,
        vertex_labels=zeros(1) - 1,
        num_scenes=1,
        vertex_features=None if vertices is None else np.zeros((1, features), np.float32),
        radius_rings=(rings,) * near,
        radius_edge_mask=(edges,) * near,
    )


def _join_edges(
    tables: Sequence[Rings], masks: Sequence[np.ndarray], rows: int, spare: int
) -> tuple[Rings, np.ndarray]:
    """Ring tables and masks of kept edges in the joined flat edge order: all slots, then all overflow edges.

    Args:
        tables, masks: of each sample.
        rows, spare: padded rows of the tables and of the overflow list.
    """
    joined = padding.join_rings(tables, rows, spare)
    in_ring = np.concatenate([mask[: table.ring.size] for table, mask in zip(tables, masks)])
    overflow = np.concatenate([mask[table.ring.size :] for table, mask in zip(tables, masks)])
    ends = (0, joined.ring.size - len(in_ring)), (0, spare - len(overflow))
    keep = np.concatenate([np.pad(in_ring, ends[0]), np.pad(overflow, ends[1])])
    return joined._replace(degree=None), keep

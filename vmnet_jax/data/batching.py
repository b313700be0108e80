"""Joins samples into one padded `SceneBatch`, and plans the few sizes (buckets) to which batches are padded.

XLA compiles once per shape, so batches share a small number of buckets. A bucket fixes the rows of all seven voxel
levels, all seven mesh levels and the overflow lists together: one joint key, so that L levels never multiply the number
of compilations. Neighbouring buckets differ by a factor of about 1.25. The planned buckets continue without end, each
1.25 times the one before: a batch that is larger than planned takes the first of these that holds it. The bucket of a
batch therefore depends on its size and the plan alone, never on the batches before it.
"""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from kernels.host.batch import padding
from kernels.host.tables import Rings, Trace, Trilinear
from preprocess.scene.scene_file import Scene
from vmnet_jax.data.placement import Placement
from vmnet_jax.data.sample import NUM_LEVELS, Sample, VertexInputs, voxel_counts
from vmnet_jax.model.scene_batch import SceneBatch

STEP = 1.25
REUSED = 2.0  # a compiled bucket serves for scenes down to this part of its rows at level 0
ALWAYS_REUSED = 4096  # or where it has no more rows than that


class Sizes(NamedTuple):
    """Real rows of one sample or batch, or the padded rows of a bucket."""

    voxels: tuple[int, ...]
    vertices: tuple[int, ...]
    overflow: tuple[int, ...]

    def fits(self, bucket: "Sizes") -> bool:
        """True where every array has room for these rows and the padding row that absent entries point to."""
        rows_fit = all(a < b for a, b in zip(self.voxels + self.vertices, bucket.voxels + bucket.vertices))
        return rows_fit and all(a <= b for a, b in zip(self.overflow, bucket.overflow))


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
    return sizes if placement is None else sizes._replace(voxels=voxel_counts(placement.apply(scene.vertices)))


def add_sizes(sizes: list[Sizes]) -> Sizes:
    """Rows of several samples joined."""
    return Sizes(*(tuple(int(n) for n in np.sum(part, axis=0)) for part in zip(*sizes)))


def _round_up(rows: float) -> int:
    step = 16 if rows < 256 else 64 if rows < 4096 else 512
    return int(-(-rows // step) * step)


def largest_batch(scenes: list[Sizes], batch_size: int, voxel_growth: float) -> Sizes:
    """Rows that no batch of `batch_size` scenes exceeds: at every level the sum over the largest scenes.

    That holds as long as no placement needs more than `voxel_growth` times the voxels of the unaugmented one. Where
    there are fewer scenes than `batch_size`, they are counted again.
    """

    def top(part: str, growth: float) -> tuple[int, ...]:
        rows = np.sort([getattr(s, part) for s in scenes], axis=0)[::-1]
        rows = np.resize(rows[:batch_size], (batch_size, rows.shape[1]))
        return tuple(int(np.ceil(n)) for n in growth * rows.sum(0))

    return Sizes(top("voxels", voxel_growth), top("vertices", 1.0), top("overflow", 1.0))


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
    overflow = np.array([b.overflow for b in seen]).max(0)
    finest = rows[:, [0, NUM_LEVELS]]
    keys = (finest / finest[: len(batches)].mean(0)).max(1)
    limits = [keys.max()]
    limit = keys[: len(batches)].max() if largest else limits[0] / STEP
    while len(limits) < max_buckets and limit >= keys.min():
        if limit < 0.95 * limits[-1]:
            limits.append(limit)
        limit /= STEP
    return [_bucket(rows[keys <= limit].max(0), overflow) for limit in reversed(limits)]


def known_bucket(batches: list[Sizes], known: Iterable[Sizes]) -> Sizes | None:
    """The smallest known bucket that holds every batch and is not much too large; None if none does."""
    needed = max(max(b.voxels[0], b.vertices[0]) for b in batches)
    costs = {bucket: max(bucket.voxels[0], bucket.vertices[0]) for bucket in known}
    room = max(REUSED * needed, ALWAYS_REUSED)
    fitting = [bucket for bucket, cost in costs.items() if cost <= room and all(b.fits(bucket) for b in batches)]
    return min(fitting, key=costs.get, default=None)


def with_room(batches: list[Sizes]) -> Sizes:
    """Rows of the largest batch at every level and a step more, for scenes that are yet to come."""
    return Sizes(*(tuple(int(STEP * n) for n in np.max(part, axis=0)) for part in zip(*batches)))


def _bucket(rows: np.ndarray, overflow: np.ndarray) -> Sizes:
    padded = [_round_up(1.03 * r + 2 * np.sqrt(r) + 1) for r in rows]
    spare = tuple(_round_up(o + 1) for o in overflow)
    return Sizes(tuple(padded[:NUM_LEVELS]), tuple(padded[NUM_LEVELS:]), spare)


def bucket_at(number: int, buckets: list[Sizes]) -> Sizes:
    """Bucket `number` of the planned `buckets` (ascending, at least one); later ones are each 1.25 times larger."""
    beyond = number - len(buckets) + 1
    if beyond <= 0:
        return buckets[number]
    return Sizes(*(tuple(_round_up(STEP**beyond * rows) for rows in part) for part in buckets[-1]))


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
    sizes, num_scenes = add_sizes([sample_sizes(s) for s in samples]), num_scenes or len(samples)
    if not sizes.fits(bucket):
        raise DoesNotFit(
            f"a batch of {sizes.voxels[0]} voxels and {sizes.vertices[0]} vertices exceeds its bucket of "
            f"{bucket.voxels[0]} voxels and {bucket.vertices[0]} vertices (all levels: {sizes} against {bucket})"
        )
    levels, steps = range(NUM_LEVELS), range(NUM_LEVELS - 1)
    voxel_counts = [[len(s.voxels.coords[level]) for s in samples] for level in levels]
    vertex_counts = [[len(s.rings[level].ring) for s in samples] for level in levels]
    voxel_rows, vertex_rows = bucket.voxels, bucket.vertices
    overflow = bucket.overflow
    edges = [_joined_edges([(s.rings[i], s.keep[i]) for s in samples], vertex_rows[i], overflow[i]) for i in levels]
    rings, keep = zip(*edges)
    at_vertices = samples[0].vertex_features is not None
    by_radius = [
        _joined_edges([(s.radius_rings[i], s.radius_edge_mask[i]) for s in samples], vertex_rows[i], 0)
        for i in range(len(samples[0].radius_rings))
    ]
    return SceneBatch(
        features=padding.pad_rows([s.features for s in samples], voxel_rows[0]),
        voxel_count=np.array([sum(c) for c in voxel_counts], np.int32),
        neighbours=tuple(
            padding.join_neighbours([s.voxels.neighbours[level] for s in samples], voxel_rows[level])
            for level in levels
        ),
        children=tuple(
            padding.join_children(
                [s.voxels.children[i] for s in samples], voxel_counts[i], voxel_rows[i], voxel_rows[i + 1]
            )
            for i in steps
        ),
        slots=tuple(
            padding.join_slots(
                [s.voxels.slots[i] for s in samples], voxel_counts[i + 1], voxel_rows[i], voxel_rows[i + 1]
            )
            for i in steps
        ),
        voxel_labels=padding.pad_rows([s.voxel_labels for s in samples], voxel_rows[0], fill=-1),
        vertex_count=np.array([sum(c) for c in vertex_counts], np.int32),
        vertex_scene=tuple(_scene_ids(vertex_counts[level], vertex_rows[level], num_scenes) for level in levels),
        rings=rings,
        keep=keep,
        corners=tuple(
            padding.join_corners(
                [s.corners[level] for s in samples],
                [s.weights[level] for s in samples],
                voxel_counts[level],
                vertex_rows[level],
                voxel_rows[level],
            )
            for level in levels
        ),
        traces=tuple(
            padding.join_traces(
                [s.traces[i] for s in samples], vertex_counts[i + 1], vertex_rows[i], vertex_rows[i + 1]
            )
            for i in steps
        ),
        vertex_labels=padding.pad_rows([s.vertex_labels for s in samples], vertex_rows[0], fill=-1),
        num_scenes=num_scenes,
        vertex_features=padding.pad_rows([s.vertex_features for s in samples], vertex_rows[0]) if at_vertices else None,
        radius_rings=tuple(tables for tables, _ in by_radius),
        radius_edge_mask=tuple(kept for _, kept in by_radius),
    )


def empty_batch(features: int, vertices: VertexInputs | None = None) -> SceneBatch:
    """A batch of one scene without any row, for shapes: F input channels, one padding row everywhere.

    `vertices` is as for `vmnet_jax.data.sample.make_sample`.
    """

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.int32)

    levels = range(NUM_LEVELS)
    rings = Rings(zeros(1, 1), zeros(1, 1), zeros(1), zeros(1), zeros(1))
    return SceneBatch(
        features=np.zeros((1, features), np.float32),
        voxel_count=zeros(NUM_LEVELS),
        neighbours=tuple(zeros(1, 27) for _ in levels),
        children=tuple(zeros(1, 8) for _ in levels[1:]),
        slots=tuple(zeros(1) for _ in levels[1:]),
        voxel_labels=zeros(1) - 1,
        vertex_count=zeros(NUM_LEVELS),
        vertex_scene=tuple(zeros(1) + 1 for _ in levels),
        rings=tuple(rings for _ in levels),
        keep=tuple(np.zeros(2, bool) for _ in levels),
        corners=tuple(Trilinear(zeros(1, 8), np.zeros((1, 8), np.float32), zeros(8), zeros(8)) for _ in levels),
        traces=tuple(Trace(zeros(1), zeros(1), zeros(1)) for _ in levels[1:]),
        vertex_labels=zeros(1) - 1,
        num_scenes=1,
        vertex_features=None if vertices is None else np.zeros((1, features), np.float32),
        radius_rings=tuple(rings for _ in (vertices.radii if vertices else ())),
        radius_edge_mask=tuple(np.zeros(2, bool) for _ in (vertices.radii if vertices else ())),
    )


def _scene_ids(counts: list[int], rows: int, num_scenes: int) -> np.ndarray:
    ids = np.full(rows, num_scenes, np.int32)
    ids[: sum(counts)] = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return ids


def _joined_edges(edges: list[tuple[Rings, np.ndarray]], rows: int, spare: int) -> tuple[Rings, np.ndarray]:
    """Ring tables and the mask of kept edges in the joined flat edge order: all slots, then all overflow edges.

    Args:
        edges: table and mask of each sample.
        rows, spare: padded rows of the tables and of the overflow list.
    """
    tables = [table for table, _ in edges]
    joined = padding.join_rings(tables, rows, spare)
    width = tables[0].ring.shape[1]
    keep = np.zeros(rows * width + spare, bool)
    row, extra = 0, rows * width
    for table, mask in edges:
        in_ring, overflow = table.ring.size, len(table.overflow_target)
        keep[row : row + in_ring] = mask[:in_ring]
        keep[extra : extra + overflow] = mask[in_ring:]
        row, extra = row + in_ring, extra + overflow
    return joined._replace(degree=None), keep

"""Samples joined into padded batches: indices stay within their scene, buckets are few and large enough."""

import itertools

import jax
import numpy as np
import pytest

from vmnet_jax.data import batching
from vmnet_jax.data import placement as augment
from vmnet_jax.data.sample import feature_width, make_sample


@pytest.fixture(scope="module")
def samples(scenes):
    rng = np.random.default_rng(0)
    placements = [augment.training_placement(s.vertices, 0.1, rng) for s in scenes[:3]]
    return [make_sample(s, p, ("rgb",), 4, rng) for s, p in zip(scenes[:3], placements)]


@pytest.fixture(scope="module")
def joined(samples):
    total = batching.add_sizes([batching.sample_sizes(s) for s in samples])
    (bucket,) = batching.plan_buckets([total], 1)
    return batching.collate(samples, bucket), bucket


def test_shapes_are_those_of_the_bucket(joined):
    batch, bucket = joined
    assert tuple(len(t) for t in batch.neighbours) == bucket.voxels
    assert tuple(len(r.ring) for r in batch.rings) == bucket.vertices
    assert tuple(len(r.overflow_target) for r in batch.rings) == bucket.overflow
    assert [k.shape[0] for k in batch.keep] == [r.ring.size + len(r.overflow_target) for r in batch.rings]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_every_table_of_a_scene_reads_the_same_as_before(samples, joined, which):
    """Undoing the row offsets and the padding gives back the scene's own tables."""
    batch, bucket = joined
    sample = samples[which]

    def own(array, counts, absent):
        start, stop = sum(counts[:which]), sum(counts[: which + 1])
        return np.where(array == absent, -1, array - start), start, stop

    for level in range(7):
        voxels = [len(s.voxels.coords[level]) for s in samples]
        vertices = [len(s.rings[level].ring) for s in samples]
        rows, v0 = sum(voxels[:which]), sum(vertices[:which])
        table, start, _ = own(batch.neighbours[level], voxels, bucket.voxels[level] - 1)
        np.testing.assert_array_equal(table[rows : rows + voxels[which]], sample.voxels.neighbours[level])
        ring, start, _ = own(batch.rings[level].ring, vertices, bucket.vertices[level] - 1)
        np.testing.assert_array_equal(ring[v0 : v0 + vertices[which]], sample.rings[level].ring)
        keep = batch.keep[level][: batch.rings[level].ring.size].reshape(batch.rings[level].ring.shape)
        mine = sample.keep[level][: sample.rings[level].ring.size].reshape(sample.rings[level].ring.shape)
        np.testing.assert_array_equal(keep[v0 : v0 + vertices[which]], mine)
        corners, start, _ = own(batch.corners[level].corners, voxels, bucket.voxels[level] - 1)
        np.testing.assert_array_equal(corners[v0 : v0 + vertices[which]], sample.corners[level])
        assert (batch.vertex_scene[level][v0 : v0 + vertices[which]] == which).all()
        assert start == rows
        if level < 6:
            coarse = [len(s.rings[level + 1].ring) for s in samples]
            trace = batch.traces[level].trace[v0 : v0 + vertices[which]] - sum(coarse[:which])
            np.testing.assert_array_equal(trace, sample.traces[level])


def test_padding_is_marked(joined):
    batch, _ = joined
    for level in range(7):
        voxels, vertices = batch.voxel_count[level], batch.vertex_count[level]
        assert (batch.neighbours[level][voxels:] == len(batch.neighbours[level]) - 1).all()
        assert (batch.vertex_scene[level][vertices:] == batch.num_scenes).all()
        ring = batch.rings[level].ring
        assert not batch.keep[level][: ring.size].reshape(ring.shape)[vertices:].any()
    assert (batch.voxel_labels[batch.voxel_count[0] :] == -1).all()
    assert (batch.vertex_labels[batch.vertex_count[0] :] == -1).all()
    assert not batch.features[batch.voxel_count[0] :].any()


def test_the_stored_placement_equals_the_computed_one(scenes):
    scene = scenes[0]
    stored = make_sample(scene, None, ("rgb", "normals"))
    computed = make_sample(scene, augment.fixed_placement(scene.vertices, 0.1), ("rgb", "normals"))
    for a, b in zip(jax.tree.leaves(stored._replace(name=0)), jax.tree.leaves(computed._replace(name=0))):
        np.testing.assert_array_equal(a, b)


def test_empty_batch_has_the_structure_of_a_real_one(joined):
    batch, _ = joined
    empty = batching.empty_batch(3)
    for a, b in zip(jax.tree.leaves(batch), jax.tree.leaves(empty), strict=True):
        assert a.dtype == b.dtype
        assert a.ndim == b.ndim


def random_sizes(rng, count):
    def one():
        scale = rng.uniform(0.5, 2.0)
        rows = lambda n: tuple(int(scale * n * rng.uniform(0.9, 1.1) / 3.5**level) + 2 for level in range(7))  # noqa: E731
        return batching.Sizes(rows(20000), rows(18000), tuple(rng.integers(0, 40, 7).tolist()))

    return [one() for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_buckets_hold_all_batches_and_are_few(count):
    sizes = random_sizes(np.random.default_rng(1), 400)
    buckets = batching.plan_buckets(sizes, count)
    assert len(buckets) <= count
    numbers = [batching.bucket_number(s, buckets) for s in sizes]
    assert max(numbers) == len(buckets) - 1
    chosen = [buckets[number] for number in numbers]
    assert all(s.fits(b) for s, b in zip(sizes, chosen))
    assert all(number == 0 or not s.fits(buckets[number - 1]) for s, number in zip(sizes, numbers))
    voxels = [b.voxels[0] for b in buckets]
    assert voxels == sorted(voxels)
    assert all(b / a < 1.3 for a, b in itertools.pairwise(voxels))
    if count > 1:
        used = sum(s.voxels[0] for s in sizes) / sum(b.voxels[0] for b in chosen)
        alone = sum(s.voxels[0] for s in sizes) / (len(sizes) * voxels[-1])
        assert used > alone, "more buckets waste less padding"


def test_no_batch_exceeds_the_largest(scenes):
    sizes = [batching.sample_sizes(s) for s in scenes]
    largest = batching.largest_batch(sizes, 2, 1.0)
    buckets = batching.plan_buckets(sizes[:1], 2, largest)
    for a in sizes:
        for b in sizes:
            assert batching.bucket_number(batching.add_sizes([a, b]), buckets) < len(buckets)
    assert largest.vertices[0] == sum(sorted(s.vertices[0] for s in sizes)[-2:])
    assert batching.largest_batch(sizes[:1], 3, 2.0).voxels[0] == 6 * sizes[0].voxels[0]


def test_a_batch_that_is_larger_than_planned_takes_the_first_larger_bucket(samples):
    """Each bucket beyond the planned ones has a quarter more rows than the one before, at every level."""
    sizes = [batching.sample_sizes(s) for s in samples]
    buckets = batching.plan_buckets(sizes, 2)
    beyond = [batching.bucket_at(len(buckets) + k, buckets) for k in range(6)]
    for before, bucket in itertools.pairwise([buckets[-1], *beyond]):
        assert all(a <= b for a, b in zip(before.voxels + before.vertices, bucket.voxels + bucket.vertices))
        assert 1.1 < bucket.voxels[0] / before.voxels[0] < 1.4
    for part in ("voxels", "vertices", "overflow"):
        for level in range(7):
            rows = list(getattr(buckets[-1], part))
            rows[level] = 2 * rows[level]
            large = batching.sample_sizes(samples[0])._replace(**{part: tuple(rows)})
            number = batching.bucket_number(large, buckets)
            assert number >= len(buckets)
            assert large.fits(batching.bucket_at(number, buckets))
            assert not large.fits(batching.bucket_at(number - 1, buckets))


def test_a_batch_that_is_larger_than_its_bucket_is_named(samples, joined):
    _, bucket = joined
    sizes = batching.add_sizes([batching.sample_sizes(s) for s in samples] * 2)
    with pytest.raises(batching.DoesNotFit, match=str(sizes.voxels[0])):
        batching.collate(samples * 2, bucket)


def test_sizes_of_a_placement_are_those_of_its_sample(scenes):
    for scene, seed in itertools.product(scenes[:2], range(3)):
        placement = augment.training_placement(scene.vertices, 0.1, np.random.default_rng(seed), "so3")
        sample = make_sample(scene, placement, ("rgb",))
        assert batching.placed_sizes(scene, placement) == batching.sample_sizes(sample)
    assert batching.placed_sizes(scenes[0], None) == batching.sample_sizes(scenes[0])


def test_a_batch_of_fewer_scenes_than_it_has_room_for(samples):
    sizes = batching.add_sizes([batching.sample_sizes(s) for s in samples])
    (bucket,) = batching.plan_buckets([sizes], 1)
    two = batching.collate(samples[:2], bucket, num_scenes=3)
    assert jax.tree.structure(two) == jax.tree.structure(batching.collate(samples, bucket))
    for level in range(7):
        ids = two.vertex_scene[level]
        assert (ids[two.vertex_count[level] :] == 3).all()
        assert set(ids[: two.vertex_count[level]].tolist()) == {0, 1}


def test_feature_widths():
    assert feature_width(("rgb", "normals", "ones")) == 7
    with pytest.raises(ValueError, match="known are rgb, normals, ones"):
        feature_width(("rgb", "depth"))

"""The ladder of padded sizes: the rung of a batch depends on its sizes alone. Rungs are few and waste little."""

import random

import numpy as np
import pytest

from vmnet_jax.data import ladder
from vmnet_jax.data.batching import Sizes


def surface(voxels: float, levels: int = 7, *, first: float = 0.3, vertices: float = 0.98) -> Sizes:
    """Rows of a scanned surface: `first` of the rows are left at level 1, about a quarter at each further level."""
    shares = [1.0, *(first * 0.26**level for level in range(levels - 1))]
    kept = [1.0, *(max(0.03, first * 0.33**level) for level in range(levels - 1))]
    rows = [
        tuple(max(1, int(voxels * scale * share)) for share in part) for scale, part in ((1, shares), (vertices, kept))
    ]
    return Sizes(*rows, (0,) * levels)


def meshes(count: int, levels: int = 7) -> list[Sizes]:
    """Surfaces of 1,000 to 300,000 vertices, evenly by their logarithm, as scans are: coarse ones among them."""
    rng = np.random.default_rng(0)
    return [
        surface(
            size, levels, first=rng.uniform(0.25, 0.39) if rng.random() < 0.8 else 0.9, vertices=rng.uniform(0.94, 1.02)
        )
        for size in np.exp(rng.uniform(np.log(1000), np.log(300_000), count))
    ]


@pytest.mark.parametrize("levels", [1, 3, 7])
def test_a_rung_holds_its_batch_and_is_the_same_in_any_order(levels):
    sizes = meshes(300, levels)
    rungs = [ladder.rung(one) for one in sizes]
    assert all(one.fits(rung) for one, rung in zip(sizes, rungs))
    again = list(enumerate(sizes))
    random.Random(0).shuffle(again)
    assert all(ladder.rung(one) == rungs[place] for place, one in again)


def test_few_rungs_serve_mixed_meshes_and_waste_is_bounded():
    """9 steps lie between 1,000 and 300,000 rows; coarse meshes have rungs next to the others'."""
    sizes = meshes(1000)
    rungs = [ladder.rung(one) for one in sizes]
    assert 9 <= len(set(rungs)) <= 18
    large = [(one, rung) for one, rung in zip(sizes, rungs) if one.voxels[0] >= ladder.BASE]
    waste = [rung.voxels[0] / max(one.voxels[0], one.vertices[0]) for one, rung in large]
    assert max(waste) <= 2
    assert np.mean(waste) < 1.5
    assert all(padded <= rung.voxels[0] for _, rung in large for padded in rung.voxels + rung.vertices)
    assert np.mean([sum(rung.voxels) / sum(one.voxels) for one, rung in large]) < 1.7


def test_every_step_is_twice_as_large():
    steps = sorted({ladder.rung(one).voxels[0] for one in meshes(1000)})
    assert steps == [2048 << step for step in range(9)]


def test_one_row_decides_and_is_of_padding():
    """A rung of 2048 rows holds 2047, since the last row is one of padding."""
    assert ladder.rung(surface(2047, vertices=1)).voxels[0] == 2048
    assert ladder.rung(surface(2048, vertices=1)).voxels[0] == 4096
    assert ladder.rung(surface(1)) == ladder.rung(surface(2047))


def test_vertices_share_the_step_of_the_voxels_unless_they_differ_by_more():
    assert ladder.rung(surface(3100, vertices=0.98)).vertices[0] == ladder.rung(surface(3100)).voxels[0]
    many, few = ladder.rung(surface(10_000, vertices=4)), ladder.rung(surface(10_000, vertices=0.1))
    assert many.voxels[0] == few.voxels[0] < 2 * 10_000
    assert many.vertices[0] < 2 * 40_000
    assert few.vertices[0] == ladder.BASE


@pytest.mark.parametrize("part", ["voxels", "vertices"])
@pytest.mark.parametrize("level", range(1, 7))
def test_levels_that_hardly_shrink_cost_no_rows_at_level_0(part, level):
    """An unconnected soup keeps its rows from level to level."""
    sizes = surface(20_000)
    rows = getattr(sizes, part)
    soup = sizes._replace(**{part: (rows[0],) * (level + 1) + rows[level + 1 :]})
    rung = ladder.rung(soup)
    assert soup.fits(rung)
    assert (rung.voxels[0], rung.vertices[0]) == (ladder.rung(sizes).voxels[0], ladder.rung(sizes).vertices[0])
    assert list(rung.voxels) == sorted(rung.voxels, reverse=True)


def test_long_overflow_lists_have_room_in_proportion():
    """A fan of 100,000 neighbours around one vertex; lists of the usual length make no further rung."""
    sizes = surface(50_000)
    fan = ladder.rung(sizes._replace(overflow=(100_000, 30, 0, 0, 0, 0, 0)))
    assert fan._replace(overflow=()) == ladder.rung(sizes)._replace(overflow=())
    assert 100_000 <= fan.overflow[0] <= 4 * 100_000
    assert ladder.rung(sizes._replace(overflow=(700, 500, 60, 20, 5, 5, 5))) == ladder.rung(sizes)


def test_a_plan_has_at_most_the_rungs_that_are_asked_for():
    sizes = meshes(200)
    own = {ladder.rung(one) for one in sizes}
    assert set(ladder.plan_rungs(sizes, len(own))) == own
    assert ladder.plan_rungs(sizes, 1) == [ladder.rung(ladder.largest(sizes))]
    spent = []
    for most in (1, 2, 3, 5):
        rungs = ladder.plan_rungs(sizes, most)
        assert len(rungs) <= most
        assert rungs == sorted(rungs, key=lambda rung: rung.voxels[0] + rung.vertices[0])
        assert rungs == ladder.plan_rungs(sizes[::-1], most)
        spent.append(sum(next(rung for rung in rungs if one.fits(rung)).voxels[0] for one in sizes))
    assert spent == sorted(spent, reverse=True)
    assert spent[2] < 0.7 * spent[0]
    with pytest.raises(ValueError, match="0 batches and 2 rungs"):
        ladder.plan_rungs([], 2)


def test_rows_below_are_those_of_a_step():
    for rows in (2048, 4095, 4096, 100_000):
        step = ladder.rows_below(rows)
        assert step <= rows < 2 * step
        assert ladder.rung(surface(step - 1, vertices=1)).voxels[0] == step
    assert ladder.rows_below(700) == 700


def test_published_steps_stay():
    """Stored programs are found by these numbers."""
    expected = Sizes((16384, 5120, 1536, 512, 144, 48, 32), (16384, 5120, 1984, 1024, 1024, 1024, 1024), (512,) * 7)
    assert ladder.rung(surface(9000)) == expected

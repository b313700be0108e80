"""Meshes made ready for their passes, one ahead of the prediction: read, built, planned and compiled for."""

import concurrent.futures
import functools
import itertools
import logging
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, TypeVar

from kernels.host.jit import clock
from preprocess.cli.sources import Source
from preprocess.mesh.mesh import Mesh, MeshError
from preprocess.scene.build import build_scene
from trainlib.run import parallel
from vmnet_jax.prediction.cost_estimate import expect, host_memory
from vmnet_jax.prediction.predictor import PredictionPlan, Predictor
from vmnet_jax.prediction.upright import read_upright

BYTES_BY_FILE = 70
"""Memory of a prediction by the size of the mesh's file, at most: a binary PLY of a vertex for each voxel."""

_log = logging.getLogger(__name__)

S, T = TypeVar("S"), TypeVar("T")


class Reading(NamedTuple):
    """How the files are to be read."""

    units: str | None = None  # None for the unit of the training data
    up: str | None = None  # None for the axis of the training data
    repair: bool = False


class PreparedMesh(NamedTuple):
    """A mesh whose passes can begin at once."""

    mesh: Mesh
    notes: Sequence[str]  # of reading and building
    plan: PredictionPlan


def prepare(source: Source, predictor: Predictor, reading: Reading, *, votes: int = 1) -> PreparedMesh | str:
    """Reads and builds a mesh, compiles its pass if that has not been done, and logs what is going to be done.

    Args:
        source: name and file of the mesh.
        predictor: no other thread may plan with it.
        votes: as in `Predictor.predict`.

    Returns:
        the mesh, or why it cannot be used.
    """
    path, run = source.path, predictor.run
    began = clock()
    try:
        mesh, looked = read_upright(predictor, path, *reading)
        scene = build_scene(source.name, mesh, run.preprocessing)
    except (ValueError, OSError, MemoryError) as error:
        return str(error) if isinstance(error, MeshError | OSError) else f"{path}: {error or 'out of memory'}"
    preparation_s = max(0.0, clock() - began - looked)
    _log.info("%s: %d vertices, %d voxels", path, len(scene.vertices), len(scene.voxels.coords[0]))
    plan = predictor.plan({scene.name: scene}.__getitem__, [scene.name], votes)
    passes = plan.num_forward_passes
    rounds, memory = -(-passes // parallel.num_devices()), predictor.memory(plan)
    expected = expect(scene, passes, rounds, memory, preparation_s=preparation_s)
    _log.info("%s: expected: %s", path, expected)
    if expected.host > host_memory():
        text = "%s: warning: that is more memory than there is. Cut the mesh into parts, or make it coarser."
        _log.warning(text, path)
    return PreparedMesh(mesh, scene.notes, plan)


def prepared(
    sources: Sequence[Source], predictor: Predictor, reading: Reading, *, votes: int = 1
) -> Generator[PreparedMesh | str, None, None]:
    """`prepare` for each source, in order; the next mesh is prepared while the caller predicts the present one.

    So the program of a new size is compiled meanwhile. Two large meshes, which might not fit the memory together, are
    prepared one after another.
    """
    prepare_one = functools.partial(prepare, predictor=predictor, reading=reading, votes=votes)
    return look_ahead(sources, prepare_one, both_fit)


def both_fit(one: Source, other: Source) -> bool:
    """Whether the memory holds the predictions of two files at once, by the sizes of the files."""
    sizes = [source.path.stat().st_size for source in (one, other) if source.path.is_file()]
    return BYTES_BY_FILE * sum(sizes) <= host_memory()


def look_ahead(
    items: Sequence[S], prepare: Callable[[S], T], may_overlap: Callable[[S, S], bool]
) -> Generator[T, None, None]:
    """`prepare(item)` for each item, in order, computed in one thread while the caller works on the item before.

    One result at most is ahead of the caller. An error of `prepare` is raised at the item's place, and ends the
    iteration. Closing the iterator waits for the item in work and begins no other.

    Args:
        may_overlap: of two consecutive items, whether the second may be prepared before the first is done with.
    """
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="look-ahead") as pool:
        ahead = None
        for item, following in itertools.zip_longest(items, items[1:]):
            result = (ahead or pool.submit(prepare, item)).result()
            overlaps = following is not None and may_overlap(item, following)
            ahead = pool.submit(prepare, following) if overlaps else None
            yield result

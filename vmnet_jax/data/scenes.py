"""Scene files on disk as training batches and evaluation batches.

A training batch is a function of the seed and the step alone: the epoch's order comes from (seed, epoch), what is done
to a scene from (seed, epoch, scene, use). Nothing has to be saved to resume, and any number of loader threads or
devices gives the same scenes in the same placements. A vote of an evaluation is a function of the seed, the scene's
positions and the vote's number alone. No draw depends on a bucket: a batch that is larger than planned takes a larger
one.
"""

import collections
import dataclasses
import logging
import pathlib
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from preprocess.cli.sources import meant, read_list, scene_name
from preprocess.formats.files import SUFFIX
from preprocess.labels.label_map import LabelMap, read_label_map
from preprocess.scene.build import random_crop
from preprocess.scene.scene_file import Scene, scene_arrays
from trainlib.core.errors import UserError
from trainlib.core.text import pluralize
from trainlib.run.processes import AllReduceMax
from vmnet_jax.data import batching, ladder, placement
from vmnet_jax.data.batching import Sizes
from vmnet_jax.data.sample import Sample, VertexInputs, make_sample
from vmnet_jax.data.scene_lookup import LABEL_MAP, require_scene_folder
from vmnet_jax.data.scene_store import open_scenes
from vmnet_jax.model.scene_batch import SceneBatch

PLACEMENT, EDGES, VOTE, CROP = (0, 0), (1,), (2,), (3, 0)  # uses of an example's random numbers, the ends of their keys
SURVEYED = 48  # scenes of the first steps, over several epochs if there are fewer, to plan the buckets
CROPS_SURVEYED = 4  # of a scene that is too large for training, to plan the buckets
VOXEL_GROWTH = 1.1  # of the largest scenes in a training placement, to plan the buckets; some placements need more

_MIXERS = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)  # of splitmix64

_log = logging.getLogger(__name__)


class Split(NamedTuple):
    """Names of the scenes of a training run."""

    train: list[str]
    val: list[str]


class Batch(NamedTuple):
    """A batch and what it is made of."""

    arrays: list[SceneBatch]  # one for each device of this process
    names: list[str]  # all scenes, other processes' scenes too
    bucket: Sizes


def read_split(
    folder: pathlib.Path, train_list: str, val_list: str, val_fraction: float = 0.2, allow_missing: bool = False
) -> Split:
    """Scenes named by the two list files (one name per line), or a fixed automatic split where both lists are empty.

    The automatic split orders the scenes by a checksum of their names and takes the first `val_fraction` for
    validation, so that it does not depend on the file system. Names are paths below the folder, as preprocessing gave
    them. A missing listed scene is an error, or skipped and logged with `allow_missing`; one that is on no
    list is logged. A scene that a list names twice counts once; one that is on both lists gets a warning.
    """
    present = open_scenes(folder).names
    if not present:
        raise UserError(f"{folder}: no scene files (*{SUFFIX}). Make them with python -m preprocess.scenes.")
    if not train_list and not val_list:
        ordered = sorted(present, key=lambda name: (zlib.crc32(name.encode()), name))
        count = max(1, round(val_fraction * len(ordered))) if len(ordered) > 1 else 0
        return Split(sorted(ordered[count:]), sorted(ordered[:count]))
    names, known = [], set(present)
    for listing in (train_list, val_list):
        try:
            wanted = [scene_name(name, known) for name in read_list(listing)] if listing else []
        except ValueError as error:
            raise UserError(str(error)) from None
        missing = sorted(set(wanted) - known)
        text = f"{listing} names {len(missing)} of {len(wanted)} scenes that are not in {folder}: {_listed(missing)}"
        if missing and not allow_missing:
            near = next(filter(None, (meant(name, present) for name in missing)), "")
            raise UserError(f"{text}{near}. Preprocess them, take them off the list, or give --allow_missing.")
        if missing:
            _log.warning("%s; they are skipped", text)
        names.append([name for name in dict.fromkeys(wanted) if name in known])
        repeated = [name for name, count in collections.Counter(wanted).items() if count > 1]
        if repeated:
            text = "%s has %s more than once; each counts once: %s"
            _log.warning(text, listing, pluralize(len(repeated), "scene"), _listed(repeated))
    both = sorted(set(names[0]).intersection(names[1]))
    if both:
        text = "%s on both lists, so validation measures scenes that are trained on: %s"
        _log.warning(text, pluralize(len(both), "scene"), _listed(both))
    extra = sorted(known.difference(*names))
    if extra:
        _log.info("%d of %d scenes of %s are on no list: %s", len(extra), len(present), folder, _listed(extra))
    return Split(*names)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"


class SceneFolder:
    """The scenes of one folder, its `names` sorted, read when asked for and kept up to `cache_gib` of memory."""

    def __init__(self, folder: str | pathlib.Path, cache_gib: float = 4.0):
        self.path = require_scene_folder(folder)
        self.label_map: LabelMap = read_label_map(self.path / LABEL_MAP)
        self._scenes = open_scenes(self.path)
        self.names = self._scenes.names
        self._room = cache_gib * 2**30
        self._cache: dict[str, Scene] = {}

    def __call__(self, name: str) -> Scene:
        """The scene of that name; raises SceneError for damaged or foreign files."""
        if name in self._cache:
            return self._cache[name]
        scene = self._scenes.read(name)
        size = sum(array.nbytes for array in scene_arrays(scene).values())
        if size <= self._room:
            self._room -= size
            self._cache[name] = scene
        return scene

    def sources(self, names: list[str]) -> dict[str, str]:
        """Name -> checksum of the mesh and label files that a scene was made from."""
        return {name: self._scenes.header(name)["source_hash"] for name in names}

    def check(self, names: list[str], expected: dict | None = None) -> dict:
        """Reads every scene once, before any training: labels, and equal preprocessing parameters, which it returns."""
        for name in names:
            scene = self(name)
            if scene.labels is None or not (scene.labels >= 0).any():
                raise UserError(
                    f"{self.path}: no vertex of {name} has a label of {self.path / LABEL_MAP}; training needs "
                    "labels. Give them as NAME.labels.ply, .npy or .txt and preprocess again, or take it off the lists."
                )
        return self.check_params(names, expected)

    def check_params(self, names: Sequence[str], expected: dict | None = None, labels: bool = True) -> dict:
        """The parameters that all scenes were preprocessed with.

        Args:
            expected: parameters of the run's training scenes, None if there are none yet.
            labels: False if the scenes' labels are not read, so that they may follow another label map.

        Raises:
            UserError: with the parameters that differ, if scenes differ from each other, from `expected` or from the
                folder's label map.
        """
        first, than = expected, "the scenes that this run was trained on"
        for name in names:
            params = self(name).params
            if params.get("label_ids", list(self.label_map.ids)) != list(self.label_map.ids):
                raise UserError(
                    f"{self.path}: {name} was made with the label ids {params['label_ids']}, but label_map.csv has "
                    f"{list(self.label_map.ids)}. Preprocess the folder again; it rebuilds what differs."
                )
            if not first:
                first, than = params, name
            keys = sorted(key for key in params.keys() | first.keys() if params.get(key) != first.get(key))
            keys = [key for key in keys if labels or "label" not in key]
            if keys:
                raise UserError(
                    f"{self.path}: {name} was preprocessed with other parameters than {than} "
                    f"({', '.join(f'{k}: {params.get(k)} against {first.get(k)}' for k in keys)}). "
                    "Preprocess the folder again with one set of them; it rebuilds what differs."
                )
        return first


@dataclasses.dataclass(eq=False)
class _Batches:
    """Scenes by name, and how samples are made of them and padded."""

    read: Callable[[str], Scene]
    names: list[str]
    _: dataclasses.KW_ONLY
    features: tuple[str, ...]
    rotation: str
    max_buckets: int
    seed: int
    vertices: VertexInputs | None = None


@dataclasses.dataclass(eq=False, kw_only=True)
class TrainingBatches(_Batches):
    """step -> batch, for the training split.

    The buckets are planned on unaugmented scenes. A random placement may need up to 50 % more voxels for a dense mesh,
    and never more than the mesh has vertices. Such a batch takes the first larger bucket that holds it
    (`vmnet_jax.data.batching.bucket_at`). A run therefore compiles its step at most `max_buckets` times, and once more
    for each factor of 1.25 between the largest planned and the largest drawn batch: in practice once or twice.
    """

    batch_size: int
    devices: int  # of all processes
    own: Sequence[int] | None = None  # devices that this process makes batches for; None is all of them
    edge_cutoff: int
    max_voxels: int = 0  # scenes with more at level 0 are seen in random crops of that size; 0 for no limit

    def __post_init__(self) -> None:
        """Plans the buckets."""
        if self.batch_size % self.devices:
            raise UserError(f"batch_size {self.batch_size} is not a multiple of the {self.devices} devices")
        if not self.names:
            raise UserError("the training split is empty")
        self.agree = AllReduceMax()
        self.steps_per_epoch = max(1, len(self.names) // self.batch_size)
        sizes, classes = [], set()
        for index, name in enumerate(self.names):
            scene = self.read(name)
            sizes += self._unaugmented_sizes(scene, index)
            if scene.labels is not None:
                classes.update(np.unique(scene.labels[scene.labels >= 0]).tolist())
        surveyed = max(2, SURVEYED // self.batch_size)
        if len(sizes) > len(self.names):  # to build a crop takes long
            surveyed = min(surveyed, self.steps_per_epoch)
        batches = []
        for step in range(surveyed):
            placed = [batching.placed_sizes(*self._placed(*member)) for member in self.members(step)]
            batches += map(batching.add_sizes, self._parts(placed))
        largest = batching.largest_batch(sizes, self.batch_size // self.devices, VOXEL_GROWTH)
        self.buckets = batching.plan_buckets(batches, self.max_buckets, largest)
        if len(classes) == 1:
            _log.warning("All labelled vertices of the training scenes are of one class: there is nothing to learn")

    def members(self, step: int) -> list[tuple[int, int]]:
        """(epoch, scene index) of each scene of a batch; an epoch's incomplete last batch is dropped."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.names))
        rows = np.arange(place * self.batch_size, (place + 1) * self.batch_size) % len(order)
        return [(epoch, int(order[i])) for i in rows]

    def _unaugmented_sizes(self, scene: Scene, index: int) -> list[Sizes]:
        """Sizes of the scene, or of some of its crops if it is too large."""
        if not self._too_large(scene):
            return [batching.sample_sizes(scene)]
        text = "%s: %d voxels are more than the %d of max_voxels; training sees random crops of it"
        _log.info(text, scene.name, len(scene.voxels.coords[0]), self.max_voxels)
        draws = [np.random.default_rng([self.seed, index, CROP[0], draw]) for draw in range(CROPS_SURVEYED)]
        return [batching.sample_sizes(random_crop(scene, self.max_voxels, rng)) for rng in draws]

    def _too_large(self, scene: Scene) -> bool:
        return 0 < self.max_voxels < len(scene.voxels.coords[0])

    def _placed(self, epoch: int, index: int) -> tuple[Scene, placement.Placement]:
        """The scene, or its crop, and where it goes."""
        scene, key = self.read(self.names[index]), [self.seed, epoch, index]
        if self._too_large(scene):
            scene = random_crop(scene, self.max_voxels, np.random.default_rng([*key, *CROP]))
        rng = np.random.default_rng([*key, *PLACEMENT])
        return scene, placement.training_placement(scene.vertices, scene.params["voxel_size"], rng, self.rotation)

    def _sample(self, epoch: int, index: int) -> Sample:
        edges = np.random.default_rng([self.seed, epoch, index, *EDGES])
        placed = self._placed(epoch, index)
        return make_sample(*placed, self.features, self.edge_cutoff, edges, vertices=self.vertices)

    def _parts(self, items: list) -> list[list]:
        """One part a device."""
        each = self.batch_size // self.devices
        return [items[i : i + each] for i in range(0, len(items), each)]

    def __call__(self, step: int) -> Batch:
        """The batch of a step, all devices of all processes in one bucket."""
        members = self.members(step)
        shares = self._parts(members)
        own = range(self.devices) if self.own is None else self.own
        parts = [[self._sample(*member) for member in shares[device]] for device in own]
        number = max(batching.bucket_number(_sizes_of(part), self.buckets) for part in parts)
        bucket = batching.bucket_at(self.agree(str(step), number), self.buckets)
        names = [self.names[index] for _, index in members]
        return Batch([batching.collate(part, bucket) for part in parts], names, bucket)


@dataclasses.dataclass(eq=False, kw_only=True)
class EvaluationBatches(_Batches):
    """(group, vote) -> a batch. Vote 0 is the unaugmented placement, the others are random rigid ones.

    A group is `scenes_per_batch` consecutive scenes of the names; the last group may have fewer. The placement of a
    vote is drawn from the seed, the positions of the scene's vertices and the vote's number: not from the scene's
    name, its place among the others, or the order of its vertices. The buckets are at most `max_buckets` rungs of
    `vmnet_jax.data.ladder`; they hold every group in the placements of `votes`. Other votes take another rung if
    they need a larger one.
    """

    votes: int = 1  # 1 for vote 0, N for the votes 1 to N
    scenes_per_batch: int = 1

    def __post_init__(self) -> None:
        """Plans the buckets."""
        indices, each = range(len(self.names)), self.scenes_per_batch
        self.groups = [indices[start : start + each] for start in indices[::each]]
        self.tasks = [(group, vote) for group in range(len(self.groups)) for vote in votes_of(self.votes)]
        self.sizes = [
            batching.add_sizes([batching.placed_sizes(*self.placed(index, vote)) for index in self.groups[group]])
            for group, vote in self.tasks
        ]
        self.buckets = ladder.plan_rungs(self.sizes, self.max_buckets)

    def placed(self, index: int, vote: int) -> tuple[Scene, placement.Placement | None]:
        """A scene and where it goes in a vote; None for vote 0."""
        scene = self.read(self.names[index])
        if not vote:
            return scene, None
        rng = np.random.default_rng([self.seed, *VOTE, vote, position_digest(scene.vertices)])
        return scene, placement.evaluation_placement(scene.vertices, scene.params["voxel_size"], rng, self.rotation)

    def sample(self, index: int, vote: int) -> Sample:
        """One scene in one placement, with all its edges."""
        return make_sample(*self.placed(index, vote), self.features, vertices=self.vertices)

    def __call__(self, tasks: list[tuple[int, int]]) -> list[SceneBatch]:
        """One padded batch for each (group, vote); all of them in the same bucket."""
        parts = [[self.sample(index, vote) for index in self.groups[group]] for group, vote in tasks]
        needed = ladder.largest(list(map(_sizes_of, parts)))
        bucket = next(filter(needed.fits, self.buckets), None) or ladder.rung(needed)
        return [batching.collate(part, bucket, self.scenes_per_batch) for part in parts]

    def largest(self) -> SceneBatch:
        """The first planned batch that fits the largest bucket, padded to it."""
        fitting = (task for task, sizes in zip(self.tasks, self.sizes) if sizes.fits(self.buckets[-1]))
        group, vote = next(fitting)
        samples = [self.sample(index, vote) for index in self.groups[group]]
        return batching.collate(samples, self.buckets[-1], self.scenes_per_batch)


def votes_of(votes: int) -> range:
    """Numbers of the placements of `votes` votes: 0, unaugmented, for one; 1 to N for more."""
    return range(1) if votes == 1 else range(1, votes + 1)


def _sizes_of(samples: list[Sample]) -> Sizes:
    """Real rows of a batch of samples."""
    return batching.add_sizes([batching.sample_sizes(sample) for sample in samples])


def position_digest(vertices: np.ndarray) -> int:
    """A number in 64 bits for the positions float64 [V, 3], whatever their order."""
    bits = np.ascontiguousarray(vertices, np.float64).view(np.uint64)
    mixed = bits @ _MIXERS
    mixed ^= mixed >> np.uint64(29)
    return int((mixed * _MIXERS[0]).sum())

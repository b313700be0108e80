"""Scene files on disk as training batches and evaluation batches.

A training batch is a function of the seed and the step alone: the epoch's order comes from (seed, epoch), what is done
to a scene from (seed, epoch, scene, use). Nothing has to be saved to resume, and any number of loader threads gives the
same batches.
"""

import logging
import pathlib
import zlib
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from preprocess.crop import random_crop
from preprocess.labels import LabelMap, read_label_map
from preprocess.scene import SUFFIX, Scene, scene_arrays
from preprocess.sources import meant, read_list, resolve_names
from trainlib.errors import UserError
from trainlib.processes import LargestOfAll
from vmnet_jax import augment
from vmnet_jax.batching import (
    DoesNotFit,
    Sizes,
    add_sizes,
    choose_bucket,
    collate,
    known_bucket,
    largest_batch,
    plan_buckets,
    sample_sizes,
    with_room,
)
from vmnet_jax.sample import Sample, VertexInputs, make_sample
from vmnet_jax.scene_batch import SceneBatch
from vmnet_jax.scene_files import open_scenes

PLACEMENT, EDGES, VOTE, CROP = 0, 1, 2, 3  # uses of an example's random numbers
REDRAWS = 8
CROPS_SURVEYED = 4  # of a scene that is too large for training, to plan the buckets
VOXEL_GROWTH = 1.1  # of a training placement that always fits; larger ones are drawn again where they do not

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Split(NamedTuple):
    """Names of the scenes of a training run."""

    train: list[str]
    val: list[str]


class Batch(NamedTuple):
    """A batch and what it is made of."""

    arrays: list[SceneBatch]  # one for each device of this process
    names: list[str]  # all scenes, those of other processes too
    bucket: Sizes


def read_split(
    folder: pathlib.Path, train_list: str, val_list: str, val_fraction: float = 0.2, allow_missing: bool = False
) -> Split:
    """Scenes named by the two list files (one name per line), or a fixed automatic split where both lists are empty.

    The automatic split orders the scenes by a checksum of their names and takes the first `val_fraction` for
    validation, so that it does not depend on the file system. Names are paths below the folder, as preprocessing gave
    them. A listed scene that is not there is an error, or left out and logged with `allow_missing`; one that is on no
    list is logged.
    """
    present = open_scenes(folder).names
    if not present:
        raise UserError(f"{folder}: no scene files (*{SUFFIX}). Make them with python -m preprocess.scenes.")
    if not train_list and not val_list:
        ordered = sorted(present, key=lambda name: (zlib.crc32(name.encode()), name))
        count = max(1, round(val_fraction * len(ordered))) if len(ordered) > 1 else 0
        return Split(sorted(ordered[count:]), sorted(ordered[:count]))
    names = []
    for listing in (train_list, val_list):
        wanted = _names_of_list(listing, present) if listing else []
        missing = sorted(set(wanted) - set(present))
        text = f"{listing} names {len(missing)} of {len(wanted)} scenes that are not in {folder}: {_listed(missing)}"
        if missing and not allow_missing:
            near = next(filter(None, (meant(name, present) for name in missing)), "")
            raise UserError(f"{text}{near}. Preprocess them, take them off the list, or give --allow_missing.")
        if missing:
            _log.warning("%s; they are left out", text)
        names.append([name for name in wanted if name not in missing])
    extra = sorted(set(present).difference(*names))
    if extra:
        _log.info("%d of %d scenes of %s are on no list: %s", len(extra), len(present), folder, _listed(extra))
    return Split(*names)


def _names_of_list(path: str, present: list[str]) -> list[str]:
    """Names of a list file, as the scenes that are present are called."""
    try:
        return resolve_names(read_list(path), present)
    except ValueError as error:
        raise UserError(str(error)) from None


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"


class SceneFolder:
    """The scenes of one folder, read when asked for and kept up to `cache_gib` of memory."""

    def __init__(self, folder: str | pathlib.Path, cache_gib: float = 4.0):
        self.path = pathlib.Path(folder)
        if not (self.path / "label_map.csv").is_file():
            raise UserError(f"{self.path}: no label_map.csv. Make the folder with python -m preprocess.scenes.")
        self.label_map: LabelMap = read_label_map(self.path / "label_map.csv")
        self._scenes = open_scenes(self.path)
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

    @property
    def names(self) -> list[str]:
        """Of all scenes of the folder, sorted."""
        return self._scenes.names

    def sources(self, names: list[str]) -> dict[str, str]:
        """Name -> checksum of the mesh and label files that a scene was made from."""
        return {name: self._scenes.source_hash(name) for name in names}

    def check(self, names: list[str], expected: dict | None = None) -> dict:
        """Reads every scene once, before any training: labels, and equal preprocessing parameters, which it returns."""
        for name in names:
            scene = self(name)
            if scene.labels is None or not (scene.labels >= 0).any():
                raise UserError(
                    f"{self.path}: no vertex of {name} has a label of {self.path / 'label_map.csv'}; training needs "
                    "labels. Give them as NAME.labels.ply, .npy or .txt and preprocess again, or take it off the lists."
                )
        return self.check_params(names, expected)

    def check_params(self, names: list[str], expected: dict | None = None) -> dict:
        """The parameters that all scenes were preprocessed with.

        expected: those of the scenes that a run was trained on, None if there are none yet. Raises UserError, with the
        parameters that differ, where scenes differ from each other, from `expected` or from the folder's label map.
        """
        first, than = expected, "the scenes that this run was trained on"
        for name in names:
            params = self(name).params
            if params.get("label_ids", list(self.label_map.ids)) != list(self.label_map.ids):
                raise UserError(
                    f"{self.path}: {name} was made with the label ids {params['label_ids']}, but label_map.csv has "
                    f"{list(self.label_map.ids)}. Preprocess the folder again; it rebuilds what differs."
                )
            if first is not None and params != first:
                keys = sorted(k for k in params.keys() | first.keys() if params.get(k) != first.get(k))
                raise UserError(
                    f"{self.path}: {name} was preprocessed with other parameters than {than} "
                    f"({', '.join(f'{k}: {params.get(k)} against {first.get(k)}' for k in keys)}). "
                    "Preprocess the folder again with one set of them; it rebuilds what differs."
                )
            first, than = (params, name) if first is None else (first, than)
        return first


class TrainingBatches:
    """step -> batch, for the training split."""

    def __init__(
        self,
        read: Callable[[str], Scene],
        names: list[str],
        *,
        batch_size: int,
        devices: int,
        own: Sequence[int] | None = None,
        features: tuple[str, ...],
        rotation: str,
        edge_cutoff: int,
        max_buckets: int,
        seed: int,
        max_voxels: int = 0,
        vertices: VertexInputs | None = None,
    ):
        """max_voxels: scenes with more voxels at level 0 are seen in random crops of that size; 0 for no limit.

        devices: of all processes. own: numbers of those that this process makes batches for; None is all of them.
        vertices: as for `vmnet_jax.sample.make_sample`.
        """
        if batch_size % devices:
            raise UserError(f"batch_size {batch_size} is not a multiple of the {devices} devices")
        if not names:
            raise UserError("the training split is empty")
        self._read, self._names, self._seed = read, names, seed
        self._batch_size, self._devices = batch_size, devices
        self._own, self.agree = range(devices) if own is None else own, LargestOfAll()
        self._features, self._rotation, self._edge_cutoff = features, rotation, edge_cutoff
        self._max_voxels, self._vertices = max_voxels, vertices
        self.steps_per_epoch = max(1, len(names) // batch_size)
        survey = range(min(self.steps_per_epoch, max(2, 48 // batch_size)))
        parts = [part for step in survey for part in self._device_sizes(step)]
        whole = [size for index in range(len(names)) for size in self._scene_sizes(index)]
        self.buckets = plan_buckets(parts, max_buckets, largest_batch(whole, batch_size // devices, VOXEL_GROWTH))

    def members(self, step: int) -> list[tuple[int, int]]:
        """(epoch, scene index) of each scene of a batch; an epoch's incomplete last batch is left out."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._names))
        rows = np.arange(place * self._batch_size, (place + 1) * self._batch_size) % len(order)
        return [(epoch, int(order[i])) for i in rows]

    def _scene_sizes(self, index: int) -> list[Sizes]:
        """Of the scene as it lies; of some of its crops where it is too large."""
        scene = self._read(self._names[index])
        voxels = len(scene.voxels.coords[0])
        if not self._max_voxels or voxels <= self._max_voxels:
            return [sample_sizes(scene)]
        text = "%s: %d voxels are more than the %d of max_voxels; training sees random crops of it"
        _log.info(text, scene.name, voxels, self._max_voxels)
        draws = [np.random.default_rng([self._seed, index, CROP, draw]) for draw in range(CROPS_SURVEYED)]
        return [sample_sizes(random_crop(scene, self._max_voxels, rng)) for rng in draws]

    def _sample(self, epoch: int, index: int, attempt: int = 0) -> Sample:
        scene = self._read(self._names[index])
        key = [self._seed, epoch, index]
        if self._max_voxels and len(scene.voxels.coords[0]) > self._max_voxels:
            scene = random_crop(scene, self._max_voxels, np.random.default_rng([*key, CROP, attempt]))
        placement = augment.training_placement(
            scene.vertices,
            scene.params["voxel_size"],
            np.random.default_rng([*key, PLACEMENT, attempt]),
            self._rotation,
        )
        edges = np.random.default_rng([*key, EDGES])
        return make_sample(scene, placement, self._features, self._edge_cutoff, edges, self._vertices)

    def _parts(self, items: list[T]) -> list[list[T]]:
        """One part a device."""
        each = self._batch_size // self._devices
        return [items[i : i + each] for i in range(0, len(items), each)]

    def _device_sizes(self, step: int) -> list[Sizes]:
        samples = [self._sample(*member) for member in self.members(step)]
        return [add_sizes([sample_sizes(s) for s in part]) for part in self._parts(samples)]

    def __call__(self, step: int) -> Batch:
        """The batch of a step, all devices in one bucket. A scene drawn too large for every bucket is drawn again."""
        members = self.members(step)
        shares = [self._parts(members)[device] for device in self._own]
        names = [self._names[index] for _, index in members]
        for attempt in range(REDRAWS):
            parts = [[self._sample(*member, attempt) for member in share] for share in shares]
            place = self.agree(f"{step}.{attempt}", max(self._bucket_number(part) for part in parts))
            if place < len(self.buckets):
                return Batch([collate(part, self.buckets[place]) for part in parts], names, self.buckets[place])
        raise DoesNotFit(f"no bucket holds a batch of the scenes {', '.join(names)}, drawn {REDRAWS} times")

    def _bucket_number(self, samples: list[Sample]) -> int:
        """Of the bucket that holds one device's samples; one more than there are if none does."""
        try:
            return self.buckets.index(choose_bucket(add_sizes([sample_sizes(s) for s in samples]), self.buckets))
        except DoesNotFit:
            return len(self.buckets)


class EvaluationBatches:
    """(scene, vote) -> a batch of one scene. Vote 0 is the unaugmented placement, the others are random rigid ones."""

    def __init__(
        self,
        read: Callable[[str], Scene],
        names: list[str],
        *,
        features: tuple[str, ...],
        rotation: str,
        max_buckets: int,
        seed: int,
        known: Collection[Sizes] = (),
        vertices: VertexInputs | None = None,
    ):
        """known: buckets that are compiled already; one of them is taken where all scenes fit and not too loosely.

        vertices: as for `vmnet_jax.sample.make_sample`.
        """
        self._read, self.names, self._seed = read, names, seed
        self._features, self._rotation, self._vertices = features, rotation, vertices
        self.sizes = [sample_sizes(read(name)) for name in names]
        reused = known_bucket(self.sizes, known)
        room = with_room(self.sizes) if known else None
        self.buckets = [reused] if reused else plan_buckets(self.sizes, max_buckets, room)

    def sample(self, index: int, vote: int) -> Sample:
        """One scene in one placement, with all its edges.

        A random placement that needs more voxels than any bucket has is drawn again, and in the end replaced by vote 0.
        """
        scene = self._read(self.names[index])
        for attempt in range(REDRAWS if vote else 0):
            rng = np.random.default_rng([self._seed, index, VOTE, vote, attempt])
            placement = augment.evaluation_placement(scene.vertices, scene.params["voxel_size"], rng, self._rotation)
            sample = make_sample(scene, placement, self._features, vertices=self._vertices)
            if sample_sizes(sample).fits(self.buckets[-1]):
                return sample
        return make_sample(scene, None, self._features, vertices=self._vertices)

    def bucket(self, index: int) -> Sizes:
        """Of one scene as it lies."""
        return choose_bucket(self.sizes[index], self.buckets)

    def __call__(self, tasks: list[tuple[int, int]]) -> list[SceneBatch]:
        """One padded batch for each (scene, vote); all of them in the same bucket."""
        samples = [self.sample(*task) for task in tasks]
        needed = [choose_bucket(sample_sizes(s), self.buckets) for s in samples]
        bucket = max(needed, key=self.buckets.index)
        return [collate([s], bucket) for s in samples]

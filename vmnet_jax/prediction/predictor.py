"""A trained network ready for scenes and meshes."""

import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from preprocess.mesh.mesh import Mesh
from preprocess.scene.build import build_scene
from preprocess.scene.scene_file import Scene
from trainlib.core.errors import UserError
from trainlib.run import parallel
from trainlib.run.devices import check_platform
from trainlib.run.memory import StepMemory
from vmnet_jax.data.batching import Sizes
from vmnet_jax.data.scenes import EvaluationBatches
from vmnet_jax.data.tiling import TileSet
from vmnet_jax.learn.inference import fitting_batches, network_forward, pass_memory, scene_scores
from vmnet_jax.learn.network_settings import sample_settings
from vmnet_jax.learn.restore import TrainedRun, load_run
from vmnet_jax.prediction.files import Prediction
from vmnet_jax.prediction.read_out import read_out_of


class PredictionPlan(NamedTuple):
    """How scenes are going to be seen."""

    batches: EvaluationBatches
    tiles: TileSet
    votes: int

    @property
    def num_forward_passes(self) -> int:
        """Forward passes, over all tiles and votes."""
        return len(self.batches.groups) * self.votes


class Predictor:
    """A trained network ready for scenes. Meshes of much the same size share a compiled program."""

    def __init__(self, run: TrainedRun, max_voxels: int = 0, scenes_per_batch: int = 1, read_out: str | None = None):
        """Keeps a network and the way to apply it.

        Args:
            run: of `vmnet_jax.learn.restore.load_run`.
            max_voxels: scenes with more voxels are seen in overlapping tiles; 0 for what the device's memory holds.
            scenes_per_batch: consecutive scenes that the network sees together.
            read_out: one of `vmnet_jax.prediction.read_out.READ_OUTS`; None for the config's.
        """
        check_platform(run.config.platform)
        self._max_voxels, self.scenes_per_batch = max_voxels, scenes_per_batch
        self._read_out = read_out or read_out_of(run.config)
        self._known: dict[Sizes, StepMemory] = {}
        self.run, self.label_map = run, run.label_map
        self._forward = network_forward(run.config, len(run.label_map.names))
        self._variables = parallel.to_devices(run.variables)

    def predict(self, mesh: Mesh, votes: int = 1) -> Prediction:
        """Labels one mesh (metres, z up, as `preprocess.formats.readers.read_mesh` returns it).

        Args:
            votes: 1 looks once at the unaugmented mesh, N > 1 sums N random rigid placements.
        """
        return self.predict_scene(build_scene("mesh", mesh, self.run.preprocessing), votes)

    def predict_scene(self, scene: Scene, votes: int = 1) -> Prediction:
        """Labels the vertices of a scene that was built with the run's preprocessing."""
        return self.predict_scenes([scene], votes)[0]

    def predict_scenes(self, scenes: Sequence[Scene], votes: int = 1) -> list[Prediction]:
        """Labels scenes of different names, `scenes_per_batch` consecutive ones of them in each batch."""
        named = {scene.name: scene for scene in scenes}
        return self.run_plan(self.plan(named.__getitem__, [scene.name for scene in scenes], votes))

    def plan(
        self, read: Callable[[str], Scene], names: list[str], votes: int = 1, max_buckets: int = 1
    ) -> PredictionPlan:
        """Batches of whole scenes or tiles. Compiles if only the compiler knows whether they fit the memory.

        Args:
            read: name -> scene.
            names: of the scenes, in their order.
            votes: as in `predict`.
            max_buckets: largest number of batch sizes, each of which is compiled.
        """
        if votes < 1:
            raise UserError(f"votes is {votes}, it must be at least 1")
        batches, tiles = fitting_batches(
            self._forward,
            self._variables,
            read,
            names,
            self._max_voxels,
            known=self._known,
            max_buckets=max_buckets,
            **sample_settings(self.run.config),
            votes=votes,
            scenes_per_batch=self.scenes_per_batch,
        )
        return PredictionPlan(batches, tiles, votes)

    def memory(self, plan: PredictionPlan) -> StepMemory:
        """What each pass of a plan needs on a device; compiles it if that has not been done."""
        bucket = plan.batches.buckets[-1]
        if bucket not in self._known:
            self._known[bucket] = pass_memory(self._forward, self._variables, plan.batches)
        return self._known[bucket]

    def scores(
        self, plan: PredictionPlan, on_pass_done: Callable[[], object] = lambda: None, params: Any | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(place in the plan, summed logits float32 [V, K]) of each scene; on_pass_done is called after each pass.

        `params` replace the run's parameters; nothing is compiled again.
        """
        variables = self._variables
        if params is not None:
            variables = parallel.to_devices({**self.run.variables, "params": params})
        batches, tiles, votes = plan
        return scene_scores(
            self._forward, variables, batches, tiles, votes, on_pass_done=on_pass_done, read_out=self._read_out
        )

    def run_plan(self, plan: PredictionPlan, on_pass_done: Callable[[], object] = lambda: None) -> list[Prediction]:
        """The passes of a plan, a prediction for each of its scenes; on_pass_done is called after each pass."""
        return [Prediction.of(scores, plan.votes) for _, scores in self.scores(plan, on_pass_done)]


def load(
    workdir: str | pathlib.Path,
    step: str | int = "last",
    max_voxels: int = 0,
    scenes_per_batch: int = 1,
    read_out: str | None = None,
) -> Predictor:
    """The trained network of a workdir; step is "last", "best" or a number, the rest as in `Predictor`."""
    return Predictor(load_run(workdir, step), max_voxels, scenes_per_batch, read_out)

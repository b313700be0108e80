"""The whole voxel U-Net of VMNet against spconv, forward and backward.

spconv 2.3.8 for CPU has a race with more than one thread (its results are then wrong), so it runs on one.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from benchmarks.harness.pairs import Side
from benchmarks.harness.rows import TimeRow
from benchmarks.harness.tables import exchange, pad, padded, random_rows, voxel_pyramid
from benchmarks.harness.worker import Case
from kernels.host.batch import padding
from vmnet_jax.data.batching import empty_batch
from vmnet_jax.model.euclidean import EuclideanBranch
from vmnet_jax.model.init import init_variables
from vmnet_jax.model.scene_batch import SceneBatch

LIBRARIES = ("jax", "flax", "numba", "numpy")
WIDTHS = (32, 64, 96, 128, 160, 192, 224)
CLASSES = 20


def _row(threads: int, required: float | None, aim: float | None) -> TimeRow:
    return TimeRow(
        f"voxel U-Net, forward and backward, {threads} thread{'s' * (threads > 1)} against 1",
        "spconv, 1 thread",
        Side("benchmarks.rows.unet", "unet", threads=threads),
        Side("benchmarks.peer.unet", "unet", threads=1, peer=True),
        required=required,
        aim=aim,
        tolerance=2e-3,
        rounds=3,
    )


ROWS = (_row(2, 2.5, 4.0), _row(1, None, None))


def _batch(data: str) -> tuple[SceneBatch, np.ndarray]:
    """The voxels as a batch without a mesh, and their coordinates."""
    pyramid = voxel_pyramid(data)
    counts = [len(coords) for coords in pyramid.coords]
    rows = [padded(count) for count in counts]
    steps = range(len(counts) - 1)
    batch = dataclasses.replace(
        empty_batch(3),
        features=pad(random_rows(0, counts[0], 3)),
        voxel_count=np.array(counts, np.int32),
        neighbours=tuple(padding.join_neighbours([t], r) for t, r in zip(pyramid.neighbours, rows)),
        children=tuple(padding.join_children([pyramid.children[i]], [counts[i]], rows[i], rows[i + 1]) for i in steps),
        slots=tuple(padding.join_slots([pyramid.slots[i]], [counts[i + 1]], rows[i], rows[i + 1]) for i in steps),
    )
    return jax.tree.map(jnp.asarray, batch), pyramid.coords[0]


def unet(data: str) -> Case:
    """Gradients of the mean of squared logits for all parameters, batch statistics as in training."""
    batch, coords = _batch(data)
    model = EuclideanBranch(CLASSES, WIDTHS)
    variables = init_variables(model, jax.random.key(0), empty_batch(3))
    real = len(coords)
    weights = {"/".join(path): np.asarray(leaf) for path, leaf in flatten_dict(variables["params"]).items()}
    exchange("unet", coords=coords, features=np.asarray(batch.features)[:real], **weights)

    @jax.jit
    def step(params, stats, batch):
        def loss(params):
            variables = {"params": params, "batch_stats": stats}
            (logits, _), _ = model.apply(variables, batch, train=True, mutable=["batch_stats"])
            return jnp.square(logits).sum() / real, logits

        (_, logits), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return logits, grads

    def outputs(out):
        logits, grads = out
        return {
            "logits": np.asarray(logits)[:real],
            "d_head": np.asarray(grads["head"]["kernel"]),
            "d_decoder": np.asarray(grads["decoder_0"]["block_1"]["conv"]["kernel"]),
        }

    return Case(
        lambda: jax.block_until_ready(step(variables["params"], variables["batch_stats"], batch)),
        outputs,
        {"voxels": real},
    )

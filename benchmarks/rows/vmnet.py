"""VMNet's training step and forward pass against the original program's stored times.

The original (torchsparse 1.1 and torch-geometric 1.6.3 on CPU, two threads) cannot be installed from a package index.
Its numbers were taken on the stored scene, on a machine of 180 GF/s; the project's times are scaled to that speed.
"""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness.bench_scene import FEATURES, bench_sample
from benchmarks.harness.pairs import Side
from benchmarks.harness.rows import MemoryRow, TimeRow
from benchmarks.harness.worker import Case
from trainlib.run.memory import step_memory
from vmnet_jax.data.batching import add_sizes, collate, empty_batch, plan_buckets, sample_sizes
from vmnet_jax.data.sample import Sample, feature_width
from vmnet_jax.learn.optim import sgd_dampened
from vmnet_jax.learn.step import TrainState, create_state, make_train_step
from vmnet_jax.model.scene_batch import SceneBatch
from vmnet_jax.model.vmnet import VMNet

LIBRARIES = ("jax", "flax", "optax", "numba", "numpy")
PEER = "the original, 2 threads"

STEP, FORWARD = (Side("benchmarks.rows.vmnet", case) for case in ("training_step", "forward_pass"))

ROWS = (
    MemoryRow("peak memory, VMNet training step", PEER, STEP, quoted_mib=3.5 * 1024, required=1.5, aim=2.0),
    TimeRow("VMNet training step, one scene", PEER, STEP, None, required=4.0, aim=5.0, quoted=7.5, rounds=5),
    TimeRow("VMNet forward pass, one scene", PEER, FORWARD, None, required=6.0, aim=8.0, quoted=3.64, rounds=5),
)


def padded_batch(samples: list[Sample]) -> SceneBatch:
    """The samples as the training loop pads them, on the device."""
    sizes = add_sizes([sample_sizes(sample) for sample in samples])
    return jax.tree.map(jnp.asarray, collate(samples, plan_buckets([sizes], 1)[0]))


def fresh_state() -> tuple[VMNet, TrainState]:
    """The published network with new weights, and its optimiser's state."""
    model = VMNet()
    return model, create_state(model, optimizer(), empty_batch(feature_width(FEATURES)), jax.random.key(0))


def optimizer():
    """The optimiser of the published runs, at a constant rate."""
    return sgd_dampened(0.01)


def training_step(data: str) -> Case:
    """Forward, backward and update, edges sampled; the tables are built beforehand."""
    return step_case(padded_batch([bench_sample(data, sampled_edges=True)]))


def step_case(batch: SceneBatch) -> Case:
    """One training step of a batch; the state goes from call to call, as in training."""
    model, state = fresh_state()
    step = jax.jit(make_train_step(model, optimizer(), None), donate_argnums=0)
    step_memory(step, state, batch)  # compiles, as the training loop does
    held = [state]

    def call():
        held[0], metrics = step(held[0], batch)
        metrics = jax.block_until_ready(metrics)
        jax.block_until_ready(held[0])
        if not np.isfinite(metrics["loss"]):
            raise FloatingPointError(f"the loss is {metrics['loss']}")
        return metrics

    notes = {"voxels": int(batch.voxel_count[0]), "vertices": int(batch.vertex_count[0]), "scenes": batch.num_scenes}
    return Case(call, lambda metrics: {name: np.asarray(value) for name, value in metrics.items()}, notes)


def forward_pass(data: str) -> Case:
    """Logits of both branches in evaluation, all edges."""
    batch = padded_batch([bench_sample(data, sampled_edges=False)])
    model, state = fresh_state()
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    forward = jax.jit(lambda variables, batch: model.apply(variables, batch, train=False))
    return Case(
        lambda: jax.block_until_ready(forward(variables, batch)),
        lambda logits: {"vertex": np.asarray(logits.vertex)},
        {"voxels": int(batch.voxel_count[0]), "vertices": int(batch.vertex_count[0])},
    )

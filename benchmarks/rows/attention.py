"""One-ring attention against torch over a list of edges: python -m benchmarks.rows.attention"""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.data import read_room
from benchmarks.harness.command import main
from benchmarks.harness.pairs import Side
from benchmarks.harness.rows import TimeRow
from benchmarks.harness.tables import exchange, pad, padded, random_rows
from benchmarks.harness.worker import Case
from kernels.device.attention.api import one_ring_attention
from kernels.host.batch.padding import join_rings
from kernels.host.mesh.clustering import cluster_vertices
from kernels.host.mesh.rings import edge_targets_sources, one_ring, ring_table

LIBRARIES = ("jax", "numba", "numpy")
CELL = 0.035
"""Metres; leaves the room about 60,000 vertices."""
WIDTH = 32

ROWS = (
    TimeRow(
        "one-ring attention, 32 channels, forward and backward",
        "torch, edge list",
        Side("benchmarks.rows.attention", "attention"),
        Side("benchmarks.peer.attention", "attention", peer=True),
        4.0,
        6.0,
        quoted=0.304,
    ),
)


def attention(data: str) -> Case:
    """Attention over the room's one-rings, and the gradients of query, key and value for a given cotangent."""
    room = read_room(data)
    mesh = cluster_vertices(room.vertices, room.faces, CELL)
    vertices = len(mesh.vertices)
    table = ring_table(one_ring(mesh.faces, vertices))
    target, source, valid = edge_targets_sources(table)
    order = np.argsort(target[valid], kind="stable")
    arrays = {name: random_rows(i, vertices, WIDTH) for i, name in enumerate(("query", "key", "value", "cotangent"))}
    exchange("attention", target=target[valid][order], source=source[valid][order], **arrays)
    joined = join_rings([table], padded(vertices), len(table.overflow_target) + 1)
    rings = jax.tree.map(jnp.asarray, joined._replace(degree=None))
    operands = [pad(array) for array in arrays.values()]

    @jax.jit
    def apply(query, key, value, cotangent):
        y, pull = jax.vjp(lambda q, k, v: one_ring_attention(q, k, v, rings), query, key, value)
        return dict(zip(("y", "dq", "dk", "dv"), (y, *pull(cotangent))))

    return Case(
        lambda: jax.block_until_ready(apply(*operands)),
        lambda out: {name: np.asarray(value)[:vertices] for name, value in out.items()},
        {"vertices": vertices, "edges": int(valid.sum())},
    )


if __name__ == "__main__":
    main(ROWS, __doc__)

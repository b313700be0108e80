"""3x3x3 submanifold convolution against torch: python -m benchmarks.rows.sparse_conv"""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness.command import main
from benchmarks.harness.pairs import Side
from benchmarks.harness.rows import TimeRow
from benchmarks.harness.tables import exchange, pad, padded, random_rows, voxel_pyramid
from benchmarks.harness.worker import Case
from kernels.device.sparse_conv.api import submanifold_conv
from kernels.host.batch.padding import join_neighbours

LIBRARIES = ("jax", "numba", "numpy")
PEER = "torch, gather-GEMM-scatter by offset"


def _rows(level: int, channels: int, bars: dict, quoted: dict) -> list[TimeRow]:
    options = {"level": level, "channels": channels}
    rows = []
    for backward, what in ((False, "forward"), (True, "forward and backward")):
        sides = options | {"backward": backward}
        rows.append(
            TimeRow(
                f"3x3x3 convolution, level {level}, {channels} channels, {what}",
                PEER,
                Side("benchmarks.rows.sparse_conv", "convolution", sides),
                Side("benchmarks.peer.sparse_conv", "convolution", sides, peer=True),
                *bars[backward],
                quoted=quoted[backward],
            )
        )
    return rows


ROWS = (
    *_rows(0, 32, {False: (4.5, 5.5), True: (4.0, 4.8)}, {False: 0.089, True: 0.190}),
    *_rows(2, 96, {False: (1.8, 2.5), True: (1.8, 2.4)}, {False: 0.0194, True: 0.0625}),
)


def convolution(data: str, level: int, channels: int, backward: bool) -> Case:
    """One convolution; `backward` also the gradients of x and of the kernel for a given cotangent."""
    neighbours = voxel_pyramid(data).neighbours[level]
    rows = len(neighbours)
    x, cotangent = random_rows(0, rows, channels), random_rows(1, rows, channels)
    kernel = np.random.default_rng(2).standard_normal((27, channels, channels), np.float32) / (27 * channels) ** 0.5
    exchange("convolution", neighbours=neighbours, x=x, cotangent=cotangent, kernel=kernel)
    operands = pad(x), jnp.asarray(kernel), pad(cotangent)
    table = jnp.asarray(join_neighbours([neighbours], padded(rows)))

    @jax.jit
    def apply(x, kernel, cotangent):
        if not backward:
            return {"y": submanifold_conv(x, kernel, table)}
        y, pull = jax.vjp(lambda x, kernel: submanifold_conv(x, kernel, table), x, kernel)
        dx, dw = pull(cotangent)
        return {"y": y, "dx": dx, "dw": dw}

    notes = {"voxels": rows, "pairs": int((neighbours >= 0).sum())}
    return Case(
        lambda: jax.block_until_ready(apply(*operands)),
        lambda out: {name: np.asarray(v if name == "dw" else v[:rows]) for name, v in out.items()},
        notes,
    )


if __name__ == "__main__":
    main(ROWS, __doc__)

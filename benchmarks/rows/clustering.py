"""Vertex clustering against Open3D: python -m benchmarks.rows.clustering"""

import numpy as np

from benchmarks.data import read_room
from benchmarks.harness.command import main
from benchmarks.harness.pairs import BenchmarkError, Side
from benchmarks.harness.rows import Arrays, TimeRow
from benchmarks.harness.tables import exchange
from benchmarks.harness.worker import Case
from kernels.host.mesh.clustering import cluster_vertices

LIBRARIES = ("numba", "numpy")
CELLS = (0.02, 0.04)


def check(ours: Arrays, theirs: Arrays) -> dict:
    """The grids' origins and rounding differ, so the two meshes agree in their sizes only; the trace is checked."""
    facts = {}
    for level in range(len(CELLS)):
        counts = [len(side[f"vertices.{level}"]) for side in (ours, theirs)]
        if not 0.9 < counts[0] / counts[1] < 1.1:
            raise BenchmarkError(f"clustering, level {level}: {counts[0]} vertices against {counts[1]}")
        trace = ours[f"trace.{level}"]
        if not np.array_equal(np.unique(trace), np.arange(counts[0])):
            raise BenchmarkError(f"clustering, level {level}: the trace misses vertices")
        facts[f"vertices.{level}"] = counts
    return facts


ROWS = (
    TimeRow(
        "vertex clustering, 2 cm, then 4 cm, with traces",
        "Open3D (no trace)",
        Side("benchmarks.rows.clustering", "clustering"),
        Side("benchmarks.peer.clustering", "clustering", peer=True),
        12.0,
        20.0,
        quoted=0.77,
        check=check,
    ),
)


def clustering(data: str) -> Case:
    """The room clustered twice, the second time from the result of the first."""
    room = read_room(data)
    exchange("clustering", vertices=room.vertices, faces=room.faces)

    def call():
        levels = [cluster_vertices(room.vertices, room.faces, CELLS[0])]
        return [*levels, cluster_vertices(levels[0].vertices, levels[0].faces, CELLS[1])]

    def outputs(levels):
        return {f"{name}.{i}": value for i, level in enumerate(levels) for name, value in level._asdict().items()}

    return Case(call, outputs, {"vertices": len(room.vertices), "faces": len(room.faces)})


if __name__ == "__main__":
    main(ROWS, __doc__)

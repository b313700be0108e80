"""One step of quadric edge collapse by fast-simplification; the trace comes from replaying its record of collapses."""

import fast_simplification
import numpy as np

from benchmarks.harness.worker import Case

LIBRARIES = ("fast-simplification",)
EXCHANGE = ".bench-data/exchange/quadric.npz"


def step(data: str) -> Case:
    """Default aggressiveness."""
    with np.load(EXCHANGE) as file:
        vertices, faces, target = file["vertices"], file["faces"], int(file["target"])

    def call():
        *_, collapses = fast_simplification.simplify(vertices, faces, target_count=target, return_collapses=True)
        return fast_simplification.replay_simplification(vertices, faces, collapses)

    return Case(call, lambda out: dict(zip(("vertices", "faces", "trace"), map(np.asarray, out))))

"""One step of quadric edge collapse by fast-simplification; the trace comes from replaying its record of collapses."""

import fast_simplification
import numpy as np

from benchmarks.harness.worker import Case, read_exchange

LIBRARIES = ("fast-simplification",)


def step(data: str) -> Case:
    """Default aggressiveness."""
    arrays = read_exchange("quadric")
    vertices, faces, target = arrays["vertices"], arrays["faces"], int(arrays["target"])

    def call():
        *_, collapses = fast_simplification.simplify(vertices, faces, target_count=target, return_collapses=True)
        return fast_simplification.replay_simplification(vertices, faces, collapses)

    return Case(call, lambda out: dict(zip(("vertices", "faces", "trace"), map(np.asarray, out))))

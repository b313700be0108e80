"""From the vertices of level 0, where a network's logits are, to the vertices of the file."""

import numpy as np
from ml_collections import ConfigDict

from kernels.host.mesh.closest_face import closest_on_fans
from preprocess.scene.scene_file import Scene
from trainlib.core.errors import UserError
from vmnet_jax.prediction.choices import READ_OUTS, TRACE


def read_out_of(config: ConfigDict) -> str:
    """`config.read_out`, "trace" for runs from before this key existed. Raises UserError for an unknown one."""
    name = config.get("read_out", TRACE)
    if name not in READ_OUTS:
        raise UserError(f"config.read_out is {name!r}, known are {', '.join(READ_OUTS)}")
    return name


def file_vertex_scores(scene: Scene, logits: np.ndarray, read_out: str = TRACE) -> np.ndarray:
    """Logits of the vertices of level 0 for the vertices of the file.

    "trace": a vertex takes the logits of the level-0 vertex that it fell into, as the original program does.
    "interpolated": the barycentric mean at the nearest place on the faces around that level-0 vertex; only vertices
    that are joined on the surface are mixed, and a vertex without a face takes its trace.

    Args:
        scene: V vertices, V_0 of them at level 0.
        logits: float32 [V_0 or more, K]; rows after the first V_0 are padding.
        read_out: one of `READ_OUTS`.

    Returns:
        float32 [V, K].
    """
    if read_out == TRACE:
        return logits[scene.traces[0]]
    corners, weights = closest_on_fans(scene.vertices, scene.traces[0], scene.level_vertices[0], scene.level_faces[0])
    scores = weights[:, :1] * logits[corners[:, 0]]
    for k in (1, 2):
        scores += weights[:, k : k + 1] * logits[corners[:, k]]
    return scores

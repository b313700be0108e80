"""Where a network looks: Grad-CAM (Selvaraju et al., ICCV 2017) of a linear classifier's logits."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.norm import DENSE
from sdclr_jax.probe.balancedness import Groups
from sdclr_jax.probe.probe import LinearClassifier, logits
from sdclr_jax.views.views import to_float
from trainlib.core.errors import UserError


class Attention(NamedTuple):
    """One run: its name, maps float32 [N, H, W] in [0, 1] (0 without evidence) and predicted classes int [N]."""

    name: str
    maps: np.ndarray
    predicted: np.ndarray


def feature_maps(model: ContrastiveNet, variables: Any, images: jax.Array) -> jax.Array:
    """Features before the average pool, float32 [N, h, w, C], of uint8 images [N, H, W, 3]; dense branch."""
    _, state = model.apply(variables, to_float(images), DENSE, False, mutable=["intermediates"])
    return state["intermediates"]["backbone"]["maps"][0].astype(jnp.float32)


def grad_cam(maps: jax.Array, score: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Equations 1 and 2 of the paper: relu(sum_c a_c A_c) [N, h, w], a_c the mean over all places of d score / d A_c.

    `maps` are A, float [N, h, w, C]; `score` makes [N] of them, each from its own image alone.
    """
    weights = jax.grad(lambda maps: score(maps).sum())(maps).mean((1, 2), keepdims=True)
    return jax.nn.relu((weights * maps).sum(-1))


def class_score(classifier: LinearClassifier, labels: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """maps [N, h, w, C] -> the logits [N] of the classes `labels` int [N], after the average pool."""
    return lambda maps: jnp.take_along_axis(logits(classifier, maps.mean((1, 2))), labels[:, None], axis=1)[:, 0]


def enlarged(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each map bilinearly over its image and divided by its maximum: [N, h, w] -> float32 [N, height, width]."""
    large = np.asarray(jax.image.resize(jnp.asarray(maps), (len(maps), height, width), "bilinear"))
    return large / np.maximum(large.max((1, 2), keepdims=True), 1e-12)


def tail_rows(labels: np.ndarray, groups: Groups, counts: np.ndarray, number: int) -> np.ndarray:
    """The first test images of the classes of Few, one of each class in turn, the smallest class first.

    Of all classes where none is in Few. UserError if these have no test image. `labels` int [N] are of the test images,
    `counts` int [C] images per class in D_i; there are at most `number` rows.
    """
    classes = sorted(groups.few if len(groups.few) else range(len(counts)), key=lambda k: counts[k])
    rows = {k: np.flatnonzero(labels == k) for k in classes}
    turns = range(max(map(len, rows.values())))
    found = [rows[k][turn] for turn in turns for k in classes if turn < len(rows[k])][:number]
    if not found:
        raise UserError(f"the {len(classes)} smallest classes have no test image")
    return np.array(found)

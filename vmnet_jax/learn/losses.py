"""Cross entropy at voxels and vertices."""

import jax
import jax.numpy as jnp

from vmnet_jax.model.scene_batch import SceneBatch
from vmnet_jax.model.vmnet import Logits


def cross_entropy_sums(
    logits: jax.Array, labels: jax.Array, class_weights: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Weighted sum of the cross entropies of all labelled rows, and the sum of their weights.

    Args:
        logits: float [N, K].
        labels: int32 [N], class, -1 where ignored.
        class_weights: float [K], weight of a row by its class; 1 if None.

    Returns:
        Two scalars, at least float32; their quotient is torch's weighted mean.

    Raises:
        ValueError: `class_weights` is not of shape [K].
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    chosen = labels[:, None] == jnp.arange(logits.shape[-1])
    weights = chosen.astype(logits.dtype)
    if class_weights is not None:
        class_weights = jnp.asarray(class_weights, logits.dtype)
        if class_weights.shape != logits.shape[-1:]:
            raise ValueError(f"class_weights of shape {class_weights.shape} for {logits.shape[-1]} classes")
        weights = weights * class_weights
    return -(weights * jax.nn.log_softmax(logits)).sum(), weights.sum()


def scene_loss(
    logits: Logits, batch: SceneBatch, axis_name: str | None = None, class_weights: jax.Array | None = None
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean cross entropy of the labelled vertices of level 0, plus the mean of the labelled voxels if they have logits.

    With axis_name, sums and counts are reduced over the devices before they are divided, and the value to
    differentiate is this device's share of the loss: the psum (not the pmean) of its gradients over the axis is the
    gradient of the whole. A branch without any label contributes zero.

    Returns:
        The share [] (without axis_name the loss itself), and {"loss", "voxel_loss", "vertex_loss"}, [] each, of the
        whole batch (without "voxel_loss" if there are no voxel logits).
    """

    def branch(scores, labels):
        total, weight = cross_entropy_sums(scores, labels, class_weights)
        whole = weight if axis_name is None else jax.lax.psum(weight, axis_name)
        return total / jnp.where(whole > 0, whole, 1)

    parts = {} if logits.voxel is None else {"voxel_loss": branch(logits.voxel, batch.voxel_labels)}
    parts["vertex_loss"] = branch(logits.vertex, batch.vertex_labels)
    loss = sum(parts.values())
    aux = {"loss": loss, **parts}
    if axis_name is not None:
        aux = jax.lax.psum(jax.lax.stop_gradient(aux), axis_name)
    return loss, aux

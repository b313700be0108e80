"""NT-Xent, the contrastive loss of SimCLR (Chen et al., 2020, eq. 1), over the rows of all devices."""

import chex
import jax
import jax.numpy as jnp
from jax import lax


def l2_normalize(x: jax.Array) -> jax.Array:
    """Rows of x [..., D] over their norm, clamped below at 1e-12 as in torch's F.normalize: zero rows stay zero."""
    return x / jnp.sqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-24))


def nt_xent(
    features1: jax.Array,
    features2: jax.Array,
    temperature: float | jax.Array,
    rows: jax.Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Mean over the 2N rows of -log(exp(s(i, p)/t) / sum over k != i of exp(s(i, k)/t)), s the cosine, p the partner.

    Negatives are every other row of either view. Computed as log-sum-exp, at least in float32.

    Args:
        features1: float [N, D], view 1 (in SDCLR the dense branch). N is this device's share of the batch.
        features2: float [N, D], view 2 (the pruned branch); row i belongs to the image of row i of `features1`.
        rows: bool [N], false for padding images, which count neither as rows nor as columns; None when all are real. At
            least one row of the whole batch is real.
        axis_name: mapped axis over which the batch is spread; the similarities run over the gathered batch.

    Returns:
        Scalar: the loss, or with `axis_name` this device's share of it: the `psum` of the shares is the loss, and the
        `psum` of their gradients its gradient.
    """
    chex.assert_rank([features1, features2], 2)
    chex.assert_equal_shape([features1, features2])
    n = features1.shape[0]
    rows = jnp.ones(n, bool) if rows is None else rows
    chex.assert_shape(rows, (n,))
    z = jnp.stack([features1, features2])
    z = l2_normalize(z.astype(jnp.promote_types(z.dtype, jnp.float32)))
    columns, column_rows, first = z, rows, 0
    if axis_name is not None:
        columns = lax.all_gather(z, axis_name, axis=1, tiled=True)
        column_rows = lax.all_gather(rows, axis_name, tiled=True)
        first = n * lax.axis_index(axis_name)
    total = columns.shape[1]
    z, columns = z.reshape(2 * n, -1), columns.reshape(2 * total, -1)

    own = first + jnp.arange(n)
    itself = jnp.concatenate([own, own + total])
    partner = jnp.concatenate([own + total, own])
    similarity = jnp.matmul(z, columns.T, precision=lax.Precision.HIGHEST) / temperature
    allowed = jnp.tile(column_rows, 2)[None] & (jnp.arange(2 * total)[None] != itself[:, None])
    normalizer = jax.nn.logsumexp(similarity, axis=1, where=allowed | ~jnp.tile(rows, 2)[:, None])
    positive = jnp.take_along_axis(similarity, partner[:, None], axis=1)[:, 0]
    return jnp.where(jnp.tile(rows, 2), normalizer - positive, 0).sum() / (2 * column_rows.sum())


def nt_xent_interleaved(
    features: jax.Array, temperature: float | jax.Array, rows: jax.Array | None = None, axis_name: str | None = None
) -> jax.Array:
    """NT-Xent in SimCLR's published form: row 2i is view 1 of image i, row 2i + 1 view 2.

    `features` are float [2N, D]; the others as in `nt_xent`, which computes the value.
    """
    chex.assert_rank(features, 2)
    if features.shape[0] % 2:
        raise ValueError(f"{features.shape[0]} rows; interleaved views come in pairs")
    return nt_xent(features[0::2], features[1::2], temperature, rows, axis_name)


def temperature_schedule(
    epoch: float | jax.Array, minimum: float = 0.1, maximum: float = 1.0, period: float = 200.0
) -> jax.Array:
    """tau(e) = (maximum - minimum) (1 + cos(2 pi e / period)) / 2 + minimum (Kukleva et al., ICLR 2023).

    The epoch [] may be a fraction; `period` is in epochs.
    """
    return (maximum - minimum) * (1 + jnp.cos(2 * jnp.pi * epoch / period)) / 2 + minimum

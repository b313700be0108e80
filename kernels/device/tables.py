"""The edges of a mesh as the device kernels read them. Built, joined and padded by `kernels.host`."""

from typing import NamedTuple

import jax


class Rings(NamedTuple):
    """The one-ring of every vertex of a symmetric graph.

    A directed edge runs from a source (whose key and value are read) to a target (which attends). Its flat edge id is
    `target * K + slot` in `ring`, and `V * K + o` for overflow entry o.
    """

    ring: jax.Array
    """int32 [V, K], sources of the edges into each vertex; absent V-1."""
    reverse: jax.Array
    """int32 [V, K], flat id of the opposite edge; absent (V-1)*K, a slot that is itself absent."""
    overflow_target: jax.Array
    """int32 [O], ascending: the vertices with more than K neighbours; padding V-1."""
    overflow_source: jax.Array
    """int32 [O], padding V-1."""
    overflow_reverse: jax.Array
    """int32 [O], flat id of the opposite edge; padding (V-1)*K."""


def real_edges(rings: Rings, keep: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Which edges exist and are kept (bool [V*K + O] by flat edge id, None keeps all): bool [V, K] and [O]."""
    absent = rings.ring.shape[0] - 1
    slots, overflow = rings.ring != absent, rings.overflow_target != absent
    if keep is None:
        return slots, overflow
    return slots & keep[: slots.size].reshape(slots.shape), overflow & keep[slots.size :]

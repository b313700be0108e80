"""Random thinning of the one-rings in training: an edge is the rarer kept, the more neighbours its source has."""

import numpy as np

from kernels.host.tables import Rings


def keep_probability(degree: np.ndarray, cutoff: int = 4) -> np.ndarray:
    """Probability float64 [V] with which each edge of a vertex of the given degree int [V] is kept.

    1 up to the cutoff, then `(degree + 1 - cutoff) ** (-1 / log2(cutoff + 1))`, which is a half at twice the cutoff
    (the original program's rule).
    """
    excess = np.maximum(np.asarray(degree, np.float64) + 1 - cutoff, 1)
    return excess ** (-1 / np.log2(cutoff + 1))


def keep_mask(table: Rings, rng: np.random.Generator | None, cutoff: int = 4) -> np.ndarray:
    """Draws which edges take part, independently for the two directions, by the degree of the edge's source.

    Args:
        table: one-rings of one scene, absent entries -1.
        rng: source of the draws.
        cutoff: degree up to which a source keeps all of its edges; 0 keeps every edge, without a draw.

    Returns:
        bool [V * K + O] by flat edge id, False without an edge.
    """
    source = np.concatenate([table.ring.ravel(), table.overflow_source])
    if not cutoff:
        return source >= 0
    probability = np.append(keep_probability(table.degree, cutoff), 0.0).astype(np.float32)
    return rng.random(source.shape, np.float32) < probability[source]

"""Other ways to aggregate a one-ring than the network's attention: vector attention and EdgeConv.

Both replace `vmnet_jax.model.layers.TransformerConv`: source [V, C_s] and target [V, C_t] in, [V, features] out.
"""

import flax.linen as nn
import jax

from kernels.device.one_ring import gather_sources, gather_targets, one_ring_max, one_ring_vector_attention
from vmnet_jax.model.layers import Layer, Linear, OneRingAttention
from vmnet_jax.model.scene_batch import MeshGraph


class VectorAttention(OneRingAttention):
    """Attention with a weight for each channel.

    y_i = sum_j softmax_j(MLP(phi(t_i) - psi(s_j))) * alpha(s_j) (Zhao et al., arXiv 2012.09164, eq. 3, without the
    position's encoding); the MLP is Linear, ReLU, Linear.
    """

    def attend(self, query: jax.Array, key: jax.Array, value: jax.Array, graph: MeshGraph) -> jax.Array:
        """All [V, features]."""
        difference = gather_targets(query, graph.rings) - gather_sources(key, graph.rings)
        scores = self.linear("weight_1", nn.relu(self.linear("weight_0", difference)))
        return one_ring_vector_attention(scores, value, graph.rings, graph.keep)


class EdgeLinear(Layer):
    """Linear map of [t_i, s_j - t_i] on every edge j -> i, or of s_j - t_i alone.

    Computed at the vertices, since it is t_i (A - B) + s_j B. Initial weights as in `Linear`.
    """

    features: int
    relative: bool = False  # take the difference only, so that a shift of all features changes nothing
    use_bias: bool = True

    @nn.compact
    def __call__(self, source: jax.Array, target: jax.Array, graph: MeshGraph) -> jax.Array:
        """source, target [V, C] -> [E, features] by flat edge id; what absent edges hold is arbitrary."""
        width = source.shape[1]
        rows = width if self.relative else 2 * width
        shape = rows, self.features
        source, target, kernel, bias = self.with_weights(shape, source, target, fan=rows, use_bias=self.use_bias)
        of_difference = kernel[-width:]
        of_target = -of_difference if self.relative else kernel[:width] - of_difference
        at_target = target @ of_target
        at_target = at_target if bias is None else at_target + bias
        return gather_targets(at_target, graph.rings) + gather_sources(source @ of_difference, graph.rings)


class EdgeConv(Layer):
    """y_i = max over the neighbours j of MLP([t_i, s_j - t_i]); the MLP is Linear, ReLU, Linear (arXiv 1801.07829).

    A vertex without edges has zero.
    """

    features: int

    @nn.compact
    def __call__(self, source: jax.Array, target: jax.Array, graph: MeshGraph) -> jax.Array:
        """source, target [V, C] -> [V, features], padding rows zero."""
        hidden = nn.relu(EdgeLinear(self.features, **self.common, name="linear_0")(source, target, graph))
        return one_ring_max(Linear(self.features, **self.common, name="linear_1")(hidden), graph.rings, graph.keep)

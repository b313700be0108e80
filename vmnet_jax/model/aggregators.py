"""Other ways to aggregate a one-ring than the network's attention: vector attention and EdgeConv.

Both replace `vmnet_jax.model.layers.TransformerConv`: source [V, C_s] and target [V, C_t] in, [V, features] out.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype

from kernels.device.one_ring import gather_sources, gather_targets, one_ring_max, one_ring_vector_attention
from vmnet_jax.model.init import symmetric_uniform
from vmnet_jax.model.layers import Linear
from vmnet_jax.model.scene_batch import MeshGraph


class VectorAttention(nn.Module):
    """Attention with a weight for each channel, plus a linear map of the vertex itself as in `TransformerConv`.

    y_i = sum_j softmax_j(MLP(phi(t_i) - psi(s_j))) * alpha(s_j) (Zhao et al., arXiv 2012.09164, eq. 3, without the
    position's encoding); the MLP is Linear, ReLU, Linear.
    """

    features: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, source: jax.Array, target: jax.Array, graph: MeshGraph) -> jax.Array:
        """source [V, C_s], target [V, C_t] -> [V, features], padding rows zero."""

        def linear(name, x):
            return Linear(self.features, dtype=self.dtype, param_dtype=self.param_dtype, name=name)(x)

        query, key, value = linear("query", target), linear("key", source), linear("value", source)
        difference = gather_targets(query, graph.rings) - gather_sources(key, graph.rings)
        scores = linear("weight_1", nn.relu(linear("weight_0", difference)))
        attended = one_ring_vector_attention(scores, value, graph.rings, graph.keep)
        return jnp.where(graph.real, attended + linear("skip", target), 0)


class EdgeLinear(nn.Module):
    """Linear map of [t_i, s_j - t_i] on every edge j -> i, or of s_j - t_i alone.

    Computed at the vertices, since it is t_i (A - B) + s_j B. Initial weights as in `Linear`.

    Attributes:
        features: number of output channels.
        relative: take the difference only, so that a shift of all features changes nothing.
        use_bias: whether there is a bias.
    """

    features: int
    relative: bool = False
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, source: jax.Array, target: jax.Array, graph: MeshGraph) -> jax.Array:
        """source, target [V, C] -> [E, features] by flat edge id; what absent edges hold is arbitrary."""
        width = source.shape[1]
        rows = width if self.relative else 2 * width
        init = symmetric_uniform(rows**-0.5)
        kernel = self.param("kernel", init, (rows, self.features), self.param_dtype)
        bias = self.param("bias", init, (self.features,), self.param_dtype) if self.use_bias else None
        source, target, kernel, bias = promote_dtype(source, target, kernel, bias, dtype=self.dtype)
        of_difference = kernel[-width:]
        of_target = -of_difference if self.relative else kernel[:width] - of_difference
        at_target = target @ of_target
        at_target = at_target if bias is None else at_target + bias
        return gather_targets(at_target, graph.rings) + gather_sources(source @ of_difference, graph.rings)


class EdgeConv(nn.Module):
    """y_i = max over the neighbours j of MLP([t_i, s_j - t_i]); the MLP is Linear, ReLU, Linear (arXiv 1801.07829).

    A vertex without edges has zero.
    """

    features: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, source: jax.Array, target: jax.Array, graph: MeshGraph) -> jax.Array:
        """source, target [V, C] -> [V, features], padding rows zero."""
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        hidden = nn.relu(EdgeLinear(self.features, **kinds, name="linear_0")(source, target, graph))
        return one_ring_max(Linear(self.features, **kinds, name="linear_1")(hidden), graph.rings, graph.keep)

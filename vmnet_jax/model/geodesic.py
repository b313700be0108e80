"""Geodesic branch: attention along the surface of seven mesh levels, fed by the voxels' features."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype

from kernels.device.pooling import unpool
from kernels.device.trilinear import trilinear_read_out
from vmnet_jax.model.aggregators import EdgeConv, VectorAttention
from vmnet_jax.model.layers import GraphLayerNorm, Linear, TransformerConv
from vmnet_jax.model.scene_batch import NUM_LEVELS, MeshGraph, SceneBatch


@dataclasses.dataclass(frozen=True)
class MeshOptions:
    """How the modules of a mesh network compute; the same for all of them.

    Attributes:
        layer_norm_scope: see `vmnet_jax.model.layers.GraphLayerNorm`.
        attention_shift: see `vmnet_jax.model.layers.TransformerConv`.
        operator: how a vertex aggregates its one-ring, a key of `OPERATORS`.
        axis_name: mapped axis of the devices that share a batch.
        dtype: of the computation; None takes the common type of inputs and parameters.
        param_dtype: of the parameters.
    """

    layer_norm_scope: str = "scene"
    attention_shift: str = "vertex"
    operator: str = "scalar"
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @property
    def dtypes(self) -> dict[str, Any]:
        """The two types by the names of a module's attributes."""
        return {"dtype": self.dtype, "param_dtype": self.param_dtype}

    def linear(self, features: int, name: str) -> Linear:
        """A linear map without bias."""
        return Linear(features, use_bias=False, **self.dtypes, name=name)

    def norm(self) -> GraphLayerNorm:
        """The layer normalisation with its ReLU."""
        return GraphLayerNorm(self.layer_norm_scope, axis_name=self.axis_name, relu=True, **self.dtypes, name="norm")


OPERATORS: dict[str, Callable[[int, MeshOptions], nn.Module]] = {
    "scalar": lambda n, how: TransformerConv(n, how.attention_shift, **how.dtypes, name="attention"),
    "vector": lambda n, how: VectorAttention(n, **how.dtypes, name="vector_attention"),
    "edgeconv": lambda n, how: EdgeConv(n, **how.dtypes, name="edge_conv"),
}
"""From the number of output channels and the options to a module (source, target, graph) -> [V, channels]: the
network's own attention, attention with a weight for each channel, and EdgeConv."""


class AttentionBlock(nn.Module):
    """Aggregation along the mesh by `options.operator`, layer normalisation, ReLU; features: output channels."""

    features: int
    options: MeshOptions = MeshOptions()

    @nn.compact
    def __call__(self, source: jax.Array, target: jax.Array, graph: MeshGraph) -> jax.Array:
        """source [V, C_s] (keys and values), target [V, C_t] (queries) -> [V, features]"""
        if self.options.operator not in OPERATORS:
            raise ValueError(f"operator is {self.options.operator!r}, known are {', '.join(OPERATORS)}")
        x = OPERATORS[self.options.operator](self.features, self.options)(source, target, graph)
        return self.options.norm()(x, graph)


class InterFusion(AttentionBlock):
    """Fusion across domains: voxel features at a vertex (target) attend to the mesh features around it (source)."""


class IntraAggregation(nn.Module):
    """Two residual attention blocks of a domain to itself."""

    options: MeshOptions = MeshOptions()

    @nn.compact
    def __call__(self, x: jax.Array, graph: MeshGraph) -> jax.Array:
        """x [V, C] -> [V, C]"""
        for index in range(2):
            x = AttentionBlock(x.shape[-1], self.options, name=f"block_{index}")(x, x, graph) + x
        return x


class LinearNormReLU(nn.Module):
    """Linear map without bias, layer normalisation, ReLU; features: output channels."""

    features: int
    options: MeshOptions = MeshOptions()

    @nn.compact
    def __call__(self, x: jax.Array, graph: MeshGraph) -> jax.Array:
        """x [V, C] -> [V, features]"""
        return self.options.norm()(self.options.linear(self.features, "linear")(x), graph)


class VertexwiseBlocks(nn.Module):
    """Replaces `IntraAggregation` without attention: two residual linear blocks of each vertex alone."""

    options: MeshOptions = MeshOptions()

    @nn.compact
    def __call__(self, x: jax.Array, graph: MeshGraph) -> jax.Array:
        """x [V, C] -> [V, C]"""
        for index in range(2):
            x = LinearNormReLU(x.shape[-1], self.options, name=f"block_{index}")(x, graph) + x
        return x


class GeodesicLevel(nn.Module):
    """One mesh level: read the voxels out at the vertices, fuse them with the coarser level, aggregate.

    Attributes:
        features: channels of the branch.
        options: see `MeshOptions`.
        intra: aggregate by attention to the one-ring; if not, each vertex by itself.
        inter: fuse the two domains by attention before they are joined; if not, they are joined as they are.
    """

    features: int
    options: MeshOptions = MeshOptions()
    intra: bool = True
    inter: bool = True

    @nn.compact
    def __call__(self, voxels: jax.Array, coarser: jax.Array | None, batch: SceneBatch, level: int) -> jax.Array:
        """voxels [P_l, C_l], coarser [V_l, features] at this level's vertices, None at the top -> [V_l, features]"""
        graph, options = batch.graph(level), self.options
        projected = options.linear(self.features, "read_out")(voxels)
        joined = trilinear_read_out(projected, batch.corners[level])
        if coarser is not None:
            parts = [coarser, joined]
            if self.inter:
                parts.insert(1, InterFusion(self.features, options, name="fusion")(coarser, joined, graph))
            joined = jnp.concatenate(parts, axis=1)
        x = options.linear(self.features, "merge")(joined)
        if self.intra:
            aggregate = IntraAggregation(options, name="aggregation")
        else:
            aggregate = VertexwiseBlocks(options, name="vertexwise")
        x = aggregate(x, graph) + x
        return LinearNormReLU(self.features, options, name="output")(x, graph)


class GeodesicBranch(nn.Module):
    """The mesh branch, from the coarsest level to the finest; other attributes as in `GeodesicLevel`.

    Attributes:
        num_classes: K.
    """

    num_classes: int
    features: int
    options: MeshOptions = MeshOptions()
    intra: bool = True
    inter: bool = True

    @nn.compact
    def __call__(self, voxel_levels: tuple[jax.Array, ...], batch: SceneBatch) -> jax.Array:
        """voxel_levels 7 x [P_l, C_l] -> logits [V_0, num_classes], padding rows zero."""
        x = None
        for level in reversed(range(NUM_LEVELS)):
            if x is not None:
                x = unpool(x, batch.traces[level])
            module = GeodesicLevel(self.features, self.options, self.intra, self.inter, name=f"level_{level}")
            x = module(voxel_levels[level], x, batch, level)
        logits = Linear(self.num_classes, **self.options.dtypes, name="head")(x)
        return jnp.where(batch.graph(0).real, logits, 0)

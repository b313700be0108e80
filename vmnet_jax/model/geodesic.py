"""Geodesic branch: attention along the surface of all mesh levels, fed by the voxels' features."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels.device.pooling import unpool
from kernels.device.trilinear import trilinear_read_out
from vmnet_jax.model.aggregators import EdgeConv, VectorAttention
from vmnet_jax.model.layers import GraphLayerNorm, Layer, Linear, TransformerConv
from vmnet_jax.model.scene_batch import MeshGraph, SceneBatch


class MeshLayer(Layer, kw_only=True):
    """What the modules of a mesh network have in common."""

    layer_norm_scope: str = "scene"  # or "batch" (the original); see `vmnet_jax.model.layers.GraphLayerNorm`
    attention_shift: str = "vertex"  # or "global" (the original); see `kernels.device.attention.api`
    operator: str = "scalar"  # how a vertex aggregates its one-ring, a key of `OPERATORS`

    @property
    def mesh(self) -> dict[str, Any]:
        """The common attributes by name, for the modules inside."""
        scope, shift = self.layer_norm_scope, self.attention_shift
        return {"layer_norm_scope": scope, "attention_shift": shift, "operator": self.operator, **self.common}

    def linear(self, features: int, name: str) -> Linear:
        """A linear map without bias."""
        return Linear(features, use_bias=False, **self.common, name=name)

    def norm(self) -> GraphLayerNorm:
        """The layer normalisation with its ReLU."""
        return GraphLayerNorm(self.layer_norm_scope, relu=True, **self.common, name="norm")


OPERATORS: dict[str, Callable[[int, MeshLayer], Layer]] = {
    "scalar": lambda n, how: TransformerConv(n, how.attention_shift, **how.common, name="attention"),
    "vector": lambda n, how: VectorAttention(n, **how.common, name="vector_attention"),
    "edgeconv": lambda n, how: EdgeConv(n, **how.common, name="edge_conv"),
}
"""From the number of output channels and the attributes to a module (source, target, graph) -> [V, channels]: the
network's own attention, attention with a weight for each channel, and EdgeConv."""


class AttentionBlock(MeshLayer):
    """Aggregation along the mesh by `operator`, layer normalisation, ReLU; features: output channels."""

    features: int

    @nn.compact
    def __call__(self, source: jax.Array, target: jax.Array, graph: MeshGraph) -> jax.Array:
        """source [V, C_s] (keys and values), target [V, C_t] (queries) -> [V, features]"""
        if self.operator not in OPERATORS:
            raise ValueError(f"operator is {self.operator!r}, known are {', '.join(OPERATORS)}")
        return self.norm()(OPERATORS[self.operator](self.features, self)(source, target, graph), graph)


class LinearNormReLU(MeshLayer):
    """Linear map without bias, layer normalisation, ReLU; features: output channels."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, graph: MeshGraph) -> jax.Array:
        """x [V, C] -> [V, features]"""
        return self.norm()(self.linear(self.features, "linear")(x), graph)


class IntraAggregation(MeshLayer):
    """Two residual blocks of a domain: of attention to itself, or without `attention` of each vertex alone."""

    attention: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, graph: MeshGraph) -> jax.Array:
        """x [V, C] -> [V, C]"""
        for index in range(2):
            if self.attention:
                y = AttentionBlock(x.shape[-1], **self.mesh, name=f"block_{index}")(x, x, graph)
            else:
                y = LinearNormReLU(x.shape[-1], **self.mesh, name=f"block_{index}")(x, graph)
            x = y + x
        return x


class GeodesicLevel(MeshLayer):
    """One mesh level: read the voxels out at the vertices, fuse them with the coarser level, aggregate.

    With `intra`, a vertex aggregates by attention to its one-ring, without it by itself. With `inter`, the two domains
    are fused by attention before they are joined: the voxels' features at a vertex (target) attend to the mesh
    features around it (source). Without it, they are joined as they are.
    """

    features: int
    intra: bool = True
    inter: bool = True

    @nn.compact
    def __call__(self, voxels: jax.Array, coarser: jax.Array | None, batch: SceneBatch, level: int) -> jax.Array:
        """voxels [P_l, C_l], coarser [V_l, features] at this level's vertices, None at the top -> [V_l, features]"""
        graph = batch.graph(level)
        joined = trilinear_read_out(self.linear(self.features, "read_out")(voxels), batch.corners[level])
        if coarser is not None:
            parts = [coarser, joined]
            if self.inter:
                parts.insert(1, AttentionBlock(self.features, **self.mesh, name="fusion")(coarser, joined, graph))
            joined = jnp.concatenate(parts, axis=1)
        x = self.linear(self.features, "merge")(joined)
        name = "aggregation" if self.intra else "vertexwise"
        x = IntraAggregation(self.intra, **self.mesh, name=name)(x, graph) + x
        return LinearNormReLU(self.features, **self.mesh, name="output")(x, graph)


class GeodesicBranch(MeshLayer):
    """The mesh branch, from the coarsest level to the finest; attributes as in `GeodesicLevel`."""

    num_classes: int
    features: int
    intra: bool = True
    inter: bool = True

    @nn.compact
    def __call__(self, voxel_levels: tuple[jax.Array, ...], batch: SceneBatch) -> jax.Array:
        """voxel_levels L x [P_l, C_l] -> logits [V_0, num_classes], padding rows zero."""
        x = None
        for level in reversed(range(len(voxel_levels))):
            if x is not None:
                x = unpool(x, batch.traces[level])
            module = GeodesicLevel(self.features, self.intra, self.inter, **self.mesh, name=f"level_{level}")
            x = module(voxel_levels[level], x, batch, level)
        logits = Linear(self.num_classes, **self.common, name="head")(x)
        return jnp.where(batch.graph(0).real, logits, 0)

"""Geodesic branch: attention along the surface of seven mesh levels, fed by the voxels' features."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype

from kernels.device.pooling import unpool
from kernels.device.trilinear import trilinear_read_out
from vmnet_jax.model.aggregators import EdgeConv, VectorAttention
from vmnet_jax.model.layers import GraphLayerNorm, Linear, TransformerConv
from vmnet_jax.model.scene_batch import NUM_LEVELS, MeshGraph, SceneBatch

OPERATORS = ("scalar", "vector", "edgeconv")


class AttentionBlock(nn.Module):
    """Aggregation along the mesh, layer normalisation, ReLU.

    Attributes:
        features: number of output channels.
        layer_norm_scope: see `GraphLayerNorm`.
        attention_shift: see `TransformerConv`.
        operator: "scalar", the network's own attention; "vector", a weight for each channel; "edgeconv".
    """

    features: int
    layer_norm_scope: str = "scene"
    attention_shift: str = "vertex"
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    operator: str = "scalar"

    @nn.compact
    def __call__(self, source: jax.Array, target: jax.Array, graph: MeshGraph) -> jax.Array:
        """source [V, C_s] (keys and values), target [V, C_t] (queries) -> [V, features]"""
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if self.operator == "scalar":
            aggregate = TransformerConv(self.features, self.attention_shift, **kinds, name="attention")
        elif self.operator == "vector":
            aggregate = VectorAttention(self.features, **kinds, name="vector_attention")
        elif self.operator == "edgeconv":
            aggregate = EdgeConv(self.features, **kinds, name="edge_conv")
        else:
            raise ValueError(f"operator is {self.operator!r}, known are {', '.join(OPERATORS)}")
        x = aggregate(source, target, graph)
        norm = GraphLayerNorm(self.layer_norm_scope, axis_name=self.axis_name, relu=True, **kinds, name="norm")
        return norm(x, graph)


class InterFusion(AttentionBlock):
    """Fusion across domains: voxel features at a vertex (target) attend to the mesh features around it (source)."""


class IntraAggregation(nn.Module):
    """Two residual attention blocks of a domain to itself; attributes as in `AttentionBlock`."""

    layer_norm_scope: str = "scene"
    attention_shift: str = "vertex"
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    operator: str = "scalar"

    @nn.compact
    def __call__(self, x: jax.Array, graph: MeshGraph) -> jax.Array:
        """x [V, C] -> [V, C]"""
        for index in range(2):
            block = AttentionBlock(
                x.shape[-1],
                self.layer_norm_scope,
                self.attention_shift,
                self.axis_name,
                self.dtype,
                self.param_dtype,
                self.operator,
                name=f"block_{index}",
            )
            x = block(x, x, graph) + x
        return x


class LinearNormReLU(nn.Module):
    """Linear map without bias, layer normalisation, ReLU; attributes as in `AttentionBlock`."""

    features: int
    layer_norm_scope: str = "scene"
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, graph: MeshGraph) -> jax.Array:
        """x [V, C] -> [V, features]"""
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = Linear(self.features, use_bias=False, **kinds, name="linear")(x)
        norm = GraphLayerNorm(self.layer_norm_scope, axis_name=self.axis_name, relu=True, **kinds, name="norm")
        return norm(x, graph)


class VertexwiseBlocks(nn.Module):
    """In place of `IntraAggregation` where there is no attention: two residual linear blocks of each vertex alone."""

    layer_norm_scope: str = "scene"
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, graph: MeshGraph) -> jax.Array:
        """x [V, C] -> [V, C]"""
        for index in range(2):
            block = LinearNormReLU(
                x.shape[-1],
                self.layer_norm_scope,
                self.axis_name,
                self.dtype,
                self.param_dtype,
                name=f"block_{index}",
            )
            x = block(x, graph) + x
        return x


class GeodesicLevel(nn.Module):
    """One mesh level: read the voxels out at the vertices, fuse them with the coarser level, aggregate.

    Attributes as in `AttentionBlock`; features: channels of the branch.

    Attributes:
        intra: aggregate by attention to the one-ring; if not, each vertex by itself.
        inter: fuse the two domains by attention before they are joined; if not, they are joined as they are.
    """

    features: int
    layer_norm_scope: str = "scene"
    attention_shift: str = "vertex"
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    operator: str = "scalar"
    intra: bool = True
    inter: bool = True

    @nn.compact
    def __call__(self, voxels: jax.Array, coarser: jax.Array | None, batch: SceneBatch, level: int) -> jax.Array:
        """voxels [P_l, C_l], coarser [V_l, features] at this level's vertices, None at the top -> [V_l, features]"""
        graph, table = batch.graph(level), batch.corners[level]
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norms = {"layer_norm_scope": self.layer_norm_scope, "axis_name": self.axis_name, **kinds}
        attentions = {"attention_shift": self.attention_shift, "operator": self.operator, **norms}

        projected = Linear(self.features, use_bias=False, **kinds, name="read_out")(voxels)
        joined = trilinear_read_out(projected, table.corners, table.weights, table.order, table.sorted_corners)
        if coarser is not None:
            parts = [coarser, joined]
            if self.inter:
                parts.insert(1, InterFusion(self.features, **attentions, name="fusion")(coarser, joined, graph))
            joined = jnp.concatenate(parts, axis=1)
        x = Linear(self.features, use_bias=False, **kinds, name="merge")(joined)
        if self.intra:
            aggregate = IntraAggregation(**attentions, name="aggregation")
        else:
            aggregate = VertexwiseBlocks(**norms, name="vertexwise")
        x = aggregate(x, graph) + x
        return LinearNormReLU(self.features, **norms, name="output")(x, graph)


class GeodesicBranch(nn.Module):
    """The mesh branch, from the coarsest level to the finest; attributes as in `GeodesicLevel`.

    Attributes:
        num_classes: K.
        features: channels of the branch.
    """

    num_classes: int
    features: int
    layer_norm_scope: str = "scene"
    attention_shift: str = "vertex"
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    operator: str = "scalar"
    intra: bool = True
    inter: bool = True

    @nn.compact
    def __call__(self, voxel_levels: tuple[jax.Array, ...], batch: SceneBatch) -> jax.Array:
        """voxel_levels 7 x [P_l, C_l] -> logits [V_0, num_classes], padding rows zero."""
        x = None
        for level in reversed(range(NUM_LEVELS)):
            if x is not None:
                trace = batch.traces[level]
                x = unpool(x, trace.trace, trace.order, trace.sorted_trace)
            module = GeodesicLevel(
                self.features,
                self.layer_norm_scope,
                self.attention_shift,
                self.axis_name,
                self.dtype,
                self.param_dtype,
                self.operator,
                self.intra,
                self.inter,
                name=f"level_{level}",
            )
            x = module(voxel_levels[level], x, batch, level)
        logits = Linear(self.num_classes, dtype=self.dtype, param_dtype=self.param_dtype, name="head")(x)
        return jnp.where(batch.graph(0).real, logits, 0)

"""DCM-Net: geodesic and Euclidean convolutions side by side on a mesh hierarchy (Schult et al., CVPR 2020, 2004.01002).

A convolution is an EdgeConv whose mean over the neighbours runs along the surface (the one-ring) or in space (vertices
within a radius).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels.device.one_ring import edge_mask, one_ring_mean
from kernels.device.pooling import mean_pool, unpool
from vmnet_jax.model.aggregators import EdgeLinear
from vmnet_jax.model.layers import Layer, Linear, MaskedBatchNorm
from vmnet_jax.model.scene_batch import MeshGraph, SceneBatch
from vmnet_jax.model.vmnet import Logits

STEPS = 3
HEAD_FEATURES = 32


class MeanEdgeConv(Layer):
    """y_i = mean over the neighbours j of MLP([x_i, x_j - x_i]), or of MLP(x_j - x_i) where `relative`.

    The MLP: Linear to twice the width, BatchNorm, ReLU, Linear, BatchNorm, with the statistics of all edges.
    """

    features: int
    relative: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, graph: MeshGraph, train: bool) -> jax.Array:
        """x [V, C] -> [V, features], padding rows zero."""
        mask = edge_mask(graph.rings, graph.keep)
        first = EdgeLinear(2 * self.features, self.relative, use_bias=False, **self.common, name="linear_0")
        hidden = first(x, x, graph)
        hidden = nn.relu(MaskedBatchNorm(**self.common, name="norm_0")(hidden, mask, train))
        hidden = Linear(self.features, use_bias=False, **self.common, name="linear_1")(hidden)
        hidden = MaskedBatchNorm(**self.common, name="norm_1")(hidden, mask, train)
        return one_ring_mean(hidden, graph.rings, graph.keep)


class DualLevel(Layer):
    """Three steps of both convolutions on the same features, joined; residual from the second step on, then ReLU."""

    geo_features: int  # channels of the geodesic convolution
    euc_features: int  # and of the Euclidean one
    relative: bool = False  # the first step sees differences only

    @nn.compact
    def __call__(self, x: jax.Array, batch: SceneBatch, level: int, train: bool) -> jax.Array:
        """x [V_l, C] -> [V_l, geo_features + euc_features]"""
        for step in range(STEPS):
            relative = self.relative and step == 0
            geodesic = MeanEdgeConv(self.geo_features, relative, **self.common, name=f"geodesic_{step}")
            euclidean = MeanEdgeConv(self.euc_features, relative, **self.common, name=f"euclidean_{step}")
            parts = [geodesic(x, batch.graph(level), train), euclidean(x, batch.radius_graph(level), train)]
            joined = jnp.concatenate(parts, axis=1)
            x = nn.relu(joined + x if step else joined)
        return x


class DCMNet(Layer):
    """The U-shape of dual levels. Reads the batch's vertex features and neighbours in space."""

    num_classes: int
    geo_widths: tuple[int, ...] = (48, 48, 24, 24)  # channels of the convolutions at each level used, finest first
    euc_widths: tuple[int, ...] = (16, 16, 72, 72)

    @nn.compact
    def __call__(self, batch: SceneBatch, train: bool) -> Logits:
        """Logits of a batch, none of voxels; `train` as for `VMNet`."""
        levels = len(self.geo_widths)
        if not levels == len(self.euc_widths) == len(batch.radius_rings):
            raise ValueError(
                f"DCMNet: {levels} geodesic and {len(self.euc_widths)} Euclidean widths, neighbours in space at "
                f"{len(batch.radius_rings)} levels; need the same number"
            )

        def dual(name: str, x: jax.Array, level: int, relative: bool = False) -> jax.Array:
            module = DualLevel(self.geo_widths[level], self.euc_widths[level], relative, **self.common, name=name)
            return module(x, batch, level, train)

        x, encoded = dual("encoder_0", batch.vertex_features, 0, relative=True), []
        for level in range(1, levels):
            encoded.append(x)
            x = mean_pool(x, batch.traces[level - 1], num_coarse=len(batch.vertex_scene[level]))
            x = dual(f"encoder_{level}", x, level)
        for level in reversed(range(levels - 1)):
            joined = jnp.concatenate([encoded[level], unpool(x, batch.traces[level])], axis=1)
            x = dual(f"decoder_{level}", joined, level)
        x = Linear(HEAD_FEATURES, use_bias=False, **self.common, name="head_linear")(x)
        x = nn.relu(MaskedBatchNorm(**self.common, name="head_norm")(x, batch.vertex_count[0], train))
        logits = Linear(self.num_classes, **self.common, name="head")(x)
        return Logits(None, jnp.where(batch.graph(0).real, logits, 0))

"""Backbone and projection head in one module.

The dense and the pruned branch are this module applied to `params` and to `apply_masks(params, masks)`. The branch
chooses the set of BatchNorm.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sdclr_jax.model.norm import DENSE, BranchNorm, ForwardMode, per_row
from sdclr_jax.model.resnet import resnet18, resnet32_s, resnet34, resnet50

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet32_s": lambda stem, *how: resnet32_s(*how),
}
"""The backbones by name: (stem, norm, dtype) -> module. resnet32_s has its own stem."""


# torch's default for a linear layer: uniform in +-1 / sqrt(fan_in).
torch_linear = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class ProjectionHead(nn.Module):
    """Linear, BatchNorm, ReLU, once or twice at the input's width, then Linear and BatchNorm without ReLU.

    The first of the 2 (SimCLR) or 3 (SDCLR) linear `layers` has a bias, the others none. `norm` makes a `BranchNorm`
    from a name; `dtype` is of the products, None for the inputs' and parameters' type.
    """

    layers: int
    features: int
    norm: Callable
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array, mode: ForwardMode) -> jax.Array:
        """[N, C] -> [N, features]."""
        if self.layers not in (2, 3):
            raise ValueError(f"a head of {self.layers} layers; known: 2, 3")
        width, limit = x.shape[-1], x.shape[-1] ** -0.5

        def torch_bias(rng: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
            return jax.random.uniform(rng, shape, dtype, -limit, limit)

        linear = partial(nn.Dense, kernel_init=torch_linear, bias_init=torch_bias, dtype=self.dtype)
        for i in range(1, self.layers):
            x = linear(width, use_bias=i == 1, name=f"fc{i}")(x)
            x = nn.relu(self.norm(name=f"bn{i}")(x, mode))
        x = linear(self.features, use_bias=False, name=f"fc{self.layers}")(x)
        return self.norm(name=f"bn{self.layers}")(x, mode)


class Embedding(NamedTuple):
    """`features` [N, C] after the average pool, which the linear probe reads; `projections` [N, D] after the head."""

    features: jax.Array
    projections: jax.Array


class ContrastiveNet(nn.Module):
    """The network: a stem "cifar" or "imagenet", and a head of 2 or 3 layers with `projection_size` = D outputs.

    Attributes:
        backbone_name: a key of `BACKBONES`.
        num_bn_sets: 2 gives every branch its own BatchNorm, 1 shares one.
        prune_bn_updates: see `BranchNorm.prune_updates`.
        axis_name: mapped axis of the batch for BatchNorm's statistics, or None.
        dtype: of convolutions and products; None takes the inputs' and parameters' type.
    """

    backbone_name: str = "resnet18"
    stem: str = "cifar"
    head_layers: int = 3
    projection_size: int = 128
    num_bn_sets: int = 2
    prune_bn_updates: int = 2
    axis_name: str | None = None
    dtype: jnp.dtype | None = None

    def setup(self):
        norm = partial(BranchNorm, self.num_bn_sets, self.prune_bn_updates, axis_name=self.axis_name)
        if self.backbone_name not in BACKBONES:
            raise ValueError(f"backbone {self.backbone_name!r}; known: {', '.join(BACKBONES)}")
        self.backbone = BACKBONES[self.backbone_name](self.stem, norm, self.dtype)
        self.head = ProjectionHead(self.head_layers, self.projection_size, norm, self.dtype)

    def __call__(
        self, images: jax.Array, branch: int = DENSE, train: bool = False, rows: jax.Array | None = None
    ) -> Embedding:
        """Embeds images float [N, H, W, 3], RGB in [0, 1]; see `ForwardMode` for the others.

        The pixels of padding images are not read. In training `batch_stats` must be mutable.
        """
        if rows is not None:
            images = jnp.where(per_row(rows, images.ndim), images, 0)
        mode = ForwardMode(branch, train, rows)
        features = self.backbone(images, mode)
        return Embedding(features, self.head(features, mode))

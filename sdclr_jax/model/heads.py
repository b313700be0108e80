"""The projection head between the backbone's features and the loss."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from sdclr_jax.model.norm import ForwardMode

# torch's default for a linear layer: uniform in +-1 / sqrt(fan_in).
torch_linear = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _torch_bias(fan_in: int) -> Callable:
    """Initialiser of a linear layer's bias, uniform in +-1 / sqrt(fan_in)."""
    limit = fan_in**-0.5
    return lambda rng, shape, dtype=jnp.float32: jax.random.uniform(rng, shape, dtype, -limit, limit)


class ProjectionHead(nn.Module):
    """Linear, BatchNorm, ReLU, once or twice at the input's width, then Linear and BatchNorm without ReLU.

    The first linear layer has a bias, the others none. The published SDCLR runs use three layers, SimCLR two.

    Attributes:
        layers: number of linear layers, 2 or 3.
        features: output dimension D.
        norm: makes a `BranchNorm` from a name.
        dtype: of the products; None takes the inputs' and parameters' type.
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
        width = x.shape[-1]
        linear = partial(nn.Dense, kernel_init=torch_linear, bias_init=_torch_bias(width), dtype=self.dtype)
        for i in range(1, self.layers):
            x = linear(width, use_bias=i == 1, name=f"fc{i}")(x)
            x = nn.relu(self.norm(name=f"bn{i}")(x, mode))
        x = linear(self.features, use_bias=False, name=f"fc{self.layers}")(x)
        return self.norm(name=f"bn{self.layers}")(x, mode)

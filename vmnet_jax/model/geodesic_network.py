"""The mesh alone: a U-shape of one-ring attention on seven levels, without voxels.

The paper gives the figure of a geodesic network, not its structure; this one is made of the modules of VMNet's decoder.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype

from kernels.device.pooling import mean_pool, unpool
from vmnet_jax.model.geodesic import IntraAggregation, LinearNormReLU, MeshOptions
from vmnet_jax.model.layers import Linear
from vmnet_jax.model.scene_batch import NUM_LEVELS, SceneBatch
from vmnet_jax.model.vmnet import Logits


class GeodesicNetwork(nn.Module):
    """Encoder: aggregation and mean pooling along the traces. Decoder: unpooling, the encoder's features, aggregation.

    Reads the batch's vertex features.

    Attributes:
        num_classes: K.
        features: channels at every level.
        layer_norm_scope, attention_shift, operator, axis_name, dtype, param_dtype: see
            `vmnet_jax.model.geodesic.MeshOptions`.
    """

    num_classes: int
    features: int = 32
    layer_norm_scope: str = "scene"
    attention_shift: str = "vertex"
    operator: str = "scalar"
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: SceneBatch, train: bool) -> Logits:
        """Logits of a batch, none of voxels. The network computes the same in training and evaluation."""
        del train
        common = {"axis_name": self.axis_name, "dtype": self.dtype, "param_dtype": self.param_dtype}
        options = MeshOptions(self.layer_norm_scope, self.attention_shift, self.operator, **common)

        def aggregate(name: str, x: jax.Array, level: int) -> jax.Array:
            return IntraAggregation(options, name=name)(x, batch.graph(level))

        x = LinearNormReLU(self.features, options, name="stem")(batch.vertex_features, batch.graph(0))
        encoded = []
        for level in range(NUM_LEVELS - 1):
            encoded.append(aggregate(f"encoder_{level}", x, level))
            x = mean_pool(encoded[-1], batch.traces[level], num_coarse=batch.vertex_scene[level + 1].shape[0])
        x = aggregate(f"encoder_{NUM_LEVELS - 1}", x, NUM_LEVELS - 1)
        for level in reversed(range(NUM_LEVELS - 1)):
            joined = jnp.concatenate([unpool(x, batch.traces[level]), encoded[level]], axis=1)
            x = options.linear(self.features, f"merge_{level}")(joined)
            x = aggregate(f"decoder_{level}", x, level) + x
            x = LinearNormReLU(self.features, options, name=f"output_{level}")(x, batch.graph(level))
        logits = Linear(self.num_classes, **options.dtypes, name="head")(x)
        return Logits(None, jnp.where(batch.graph(0).real, logits, 0))

"""VMNet, the two branches together (Hu et al., ICCV 2021, arXiv 2107.13824), and networks with one of them alone."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels.device.pooling import mean_pool, unpool
from kernels.device.trilinear import trilinear_read_out
from vmnet_jax.model.euclidean import EuclideanBranch
from vmnet_jax.model.geodesic import GeodesicBranch, IntraAggregation, LinearNormReLU, MeshLayer
from vmnet_jax.model.layers import Layer, Linear
from vmnet_jax.model.scene_batch import SceneBatch

WIDTHS = (32, 64, 96, 128, 160, 192, 224)


class Logits(NamedTuple):
    """Class scores: of voxels [P_0, K], None for a network without voxels, and of vertices [V_0, K], the prediction."""

    voxel: jax.Array | None
    vertex: jax.Array


class VMNet(MeshLayer):
    """Voxel U-Net and mesh attention over all levels of the batch; a `MeshLayer`, whose attributes it has too.

    Attributes:
        num_classes: K.
        widths: channels of the U-Net at each level, finest first.
        geo_width: channels of the mesh branch at every level.
        intra, inter: attention within and across the domains; see `vmnet_jax.model.geodesic.GeodesicLevel`.
    """

    num_classes: int = 20
    widths: tuple[int, ...] = WIDTHS
    geo_width: int = 32
    intra: bool = True
    inter: bool = True

    @nn.compact
    def __call__(self, batch: SceneBatch, train: bool) -> Logits:
        """Logits of a batch; `train` takes the batch's statistics and updates the collection `batch_stats`."""
        voxels = EuclideanBranch(self.num_classes, self.widths, **self.common, name="euclidean")
        logits, levels = voxels(batch, train)
        how = self.geo_width, self.intra, self.inter
        branch = GeodesicBranch(self.num_classes, *how, **self.mesh, name="geodesic")
        return Logits(logits, branch(levels, batch))


class EuclideanNetwork(Layer):
    """The voxel U-Net alone (SparseConvNet, MinkowskiUNet); attributes as in `VMNet`.

    A vertex takes the trilinear read-out of the voxels' logits. The head is linear, so this equals the head on the
    read-out of the features before it wherever the weights sum to one. They do not, as in the original, for a vertex
    none of whose eight voxels is occupied: its logits are zero, so that it gets class 0. For a vertex whose occupied
    voxels have weights of 1e-6 in all or less, the sum stays below one by the 1e-8 in its denominator.
    """

    num_classes: int = 20
    widths: tuple[int, ...] = WIDTHS

    @nn.compact
    def __call__(self, batch: SceneBatch, train: bool) -> Logits:
        """Logits of a batch, as in `VMNet`."""
        branch = EuclideanBranch(self.num_classes, self.widths, **self.common, name="euclidean")
        logits, _ = branch(batch, train)
        return Logits(logits, trilinear_read_out(logits, batch.corners[0]))


class GeodesicNetwork(MeshLayer):
    """The mesh alone, without voxels: a U-shape of one-ring attention that reads the batch's vertex features.

    Encoder: aggregation and mean pooling along the traces. Decoder: unpooling, the encoder's features, aggregation. The
    paper gives this network's figure, not its structure; this one is made of the modules of VMNet's decoder.
    """

    num_classes: int
    geo_width: int = 32  # channels at every level

    @nn.compact
    def __call__(self, batch: SceneBatch, train: bool) -> Logits:
        """Logits of a batch, none of voxels. The network computes the same in training and evaluation."""
        del train
        bottom = len(batch.traces)

        def aggregate(name: str, x: jax.Array, level: int) -> jax.Array:
            return IntraAggregation(**self.mesh, name=name)(x, batch.graph(level))

        x = LinearNormReLU(self.geo_width, **self.mesh, name="stem")(batch.vertex_features, batch.graph(0))
        encoded = []
        for level, trace in enumerate(batch.traces):
            encoded.append(aggregate(f"encoder_{level}", x, level))
            x = mean_pool(encoded[-1], trace, num_coarse=len(batch.vertex_scene[level + 1]))
        x = aggregate(f"encoder_{bottom}", x, bottom)
        for level in reversed(range(bottom)):
            joined = jnp.concatenate([unpool(x, batch.traces[level]), encoded[level]], axis=1)
            x = self.linear(self.geo_width, f"merge_{level}")(joined)
            x = aggregate(f"decoder_{level}", x, level) + x
            x = LinearNormReLU(self.geo_width, **self.mesh, name=f"output_{level}")(x, batch.graph(level))
        logits = Linear(self.num_classes, **self.common, name="head")(x)
        return Logits(None, jnp.where(batch.graph(0).real, logits, 0))

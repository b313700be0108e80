"""VMNet: the two branches together (Hu et al., ICCV 2021, arXiv 2107.13824); and the Euclidean branch by itself."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype

from kernels.device.trilinear import trilinear_read_out
from vmnet_jax.model.euclidean import EuclideanBranch
from vmnet_jax.model.geodesic import GeodesicBranch, MeshOptions
from vmnet_jax.model.scene_batch import NUM_LEVELS, SceneBatch


class Logits(NamedTuple):
    """Class scores: of voxels [P_0, K], None for a network without voxels, and of vertices [V_0, K], the prediction."""

    voxel: jax.Array | None
    vertex: jax.Array


class VMNet(nn.Module):
    """Voxel U-Net and mesh attention over seven levels.

    Attributes:
        num_classes: K.
        widths: channels of the U-Net at levels 0..6.
        geo_width: channels of the mesh branch at every level.
        layer_norm_scope: "scene", or "batch" as in the original program; see `vmnet_jax.model.layers.GraphLayerNorm`.
        attention_shift: "vertex", or "global" (the original); see `kernels.device.attention.api.one_ring_attention`.
        axis_name: mapped axis of the devices that share one batch's statistics; the module must then be applied inside
            that axis.
        dtype: of the computation; None takes the common type of inputs and parameters. Statistics are at least float32.
        param_dtype: of parameters and running statistics.
        operator: how a vertex aggregates its one-ring; a key of `vmnet_jax.model.geodesic.OPERATORS`.
        intra, inter: attention within and across the domains; see `vmnet_jax.model.geodesic.GeodesicLevel`.
    """

    num_classes: int = 20
    widths: tuple[int, ...] = (32, 64, 96, 128, 160, 192, 224)
    geo_width: int = 32
    layer_norm_scope: str = "scene"
    attention_shift: str = "vertex"
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    operator: str = "scalar"
    intra: bool = True
    inter: bool = True

    @nn.compact
    def __call__(self, batch: SceneBatch, train: bool) -> Logits:
        """Logits of a batch; `train` takes the batch's statistics and updates the collection `batch_stats`."""
        if len(self.widths) != NUM_LEVELS:
            raise ValueError(f"VMNet: one width for each of {NUM_LEVELS} levels, got {len(self.widths)}: {self.widths}")
        common = {"axis_name": self.axis_name, "dtype": self.dtype, "param_dtype": self.param_dtype}
        options = MeshOptions(self.layer_norm_scope, self.attention_shift, self.operator, **common)
        voxels = EuclideanBranch(self.num_classes, self.widths, **common, name="euclidean")(batch, train)
        branch = GeodesicBranch(self.num_classes, self.geo_width, options, self.intra, self.inter, name="geodesic")
        return Logits(voxels.logits, branch(voxels.levels, batch))


class EuclideanNetwork(nn.Module):
    """The voxel U-Net alone (SparseConvNet, MinkowskiUNet); attributes as in `VMNet`.

    A vertex takes the trilinear read-out of the voxels' logits. The head is linear, so this equals the head on the
    read-out of the features before it wherever the weights sum to one. They do not, as in the original, for a vertex
    none of whose eight voxels is occupied: its logits are zero, so that it gets class 0. For a vertex whose occupied
    voxels have weights of 1e-6 in all or less, the sum stays below one by the 1e-8 in its denominator.
    """

    num_classes: int = 20
    widths: tuple[int, ...] = (32, 64, 96, 128, 160, 192, 224)
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: SceneBatch, train: bool) -> Logits:
        """Logits of a batch, as in `VMNet`."""
        common = (self.axis_name, self.dtype, self.param_dtype)
        branch = EuclideanBranch(self.num_classes, self.widths, *common, name="euclidean")
        logits = branch(batch, train).logits
        return Logits(logits, trilinear_read_out(logits, batch.corners[0]))

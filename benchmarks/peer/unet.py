"""VMNet's voxel U-Net in spconv: its own rulebooks, found once and kept, and torch's batch normalisation.

spconv's backward pass asks for the current CUDA stream on CPU as well; it gets none here.
"""

import numpy as np
import spconv.pytorch as spconv
import torch
from spconv.pytorch import ops
from torch import nn

from benchmarks.harness.worker import Case, read_exchange

LIBRARIES = ("torch", "spconv", "cumm")
LEVELS = 7

ops.get_current_stream = lambda: 0


class Net(nn.Module):
    """The layers by the project's names; every convolution is followed by batch normalisation and ReLU."""

    def __init__(self, weights: dict[str, np.ndarray]):
        super().__init__()
        self.convs, self.norms = nn.ModuleDict(), nn.ModuleDict()
        self.weights = nn.ParameterDict()
        for path, array in weights.items():
            name = path.removesuffix("/conv/kernel")
            key = name.replace("/", "__")
            if path.endswith("/conv/kernel"):
                self.convs[key] = make_conv(name, torch.from_numpy(array))
                self.norms[key] = nn.BatchNorm1d(array.shape[2])
            elif "/norm/" not in path:
                self.weights[path.replace("/", "__")] = nn.Parameter(torch.from_numpy(array))

    def block(self, name, x):
        """Convolution, normalisation, ReLU."""
        x = self.convs[name](x)
        return x.replace_feature(torch.relu(self.norms[name](x.features)))

    def encoder(self, level, x):
        """Two blocks and the identity."""
        y = self.block(f"encoder_{level}__block_1", self.block(f"encoder_{level}__block_0", x))
        return y.replace_feature(y.features + x.features)

    def forward(self, x):
        """Logits [P, K]."""
        x, encoded = self.block("stem", x), []
        for level in range(LEVELS - 1):
            encoded.append(self.encoder(level, x))
            x = self.block(f"down_{level}", encoded[-1])
        x = self.encoder(LEVELS - 1, x)
        for level in reversed(range(LEVELS - 1)):
            up = self.block(f"decoder_{level}__up", x)
            joined = up.replace_feature(torch.cat([up.features, encoded[level].features], dim=1))
            y = self.block(f"decoder_{level}__block_1", self.block(f"decoder_{level}__block_0", joined))
            x = y.replace_feature(y.features + joined.features @ self.weights[f"decoder_{level}__shortcut__kernel"])
        return x.features @ self.weights["head__kernel"] + self.weights["head__bias"]


def make_conv(name: str, kernel: torch.Tensor) -> nn.Module:
    """spconv's layer with the project's weights: [27, in, out], x fastest, or [8, in, out], z fastest."""
    module = name.split("/")[0]
    level = int(module.rpartition("_")[2]) if "_" in module else 0
    taps, width, channels = kernel.shape
    if taps == 27:
        conv = spconv.SubMConv3d(width, channels, 3, bias=False, indice_key=f"same_{level}")
        turned = kernel.reshape(3, 3, 3, width, channels).permute(4, 2, 1, 0, 3)
    else:
        turned = kernel.reshape(2, 2, 2, width, channels).permute(4, 0, 1, 2, 3)
        if module.startswith("down"):
            conv = spconv.SparseConv3d(width, channels, 2, stride=2, bias=False, indice_key=f"down_{level}")
        else:
            conv = spconv.SparseInverseConv3d(width, channels, 2, bias=False, indice_key=f"down_{level}")
    conv.weight.data = turned.contiguous()
    return conv


def unet(data: str) -> Case:
    """The same network, weights and voxels as the project's; axes in the order x, y, z."""
    torch.set_num_threads(1)
    weights = read_exchange("unet")
    coords, features = weights.pop("coords"), torch.from_numpy(weights.pop("features"))
    indices = torch.from_numpy(np.pad(coords - coords.min(0), ((0, 0), (1, 0))).astype(np.int32))
    shape = [int(n) for n in (np.ptp(coords, axis=0) + 1 + 63) // 64 * 64]
    net = Net(weights).train()
    first = spconv.SparseConvTensor(features, indices, shape, 1)
    net(first)

    def call():
        x = first.replace_feature(features)
        net.zero_grad()
        logits = net(x)
        (logits.square().sum() / len(features)).backward()
        return logits

    def outputs(logits):
        d_block = net.convs["decoder_0__block_1"].weight.grad
        return {
            "logits": logits.detach().numpy(),
            "d_head": net.weights["head__kernel"].grad.numpy(),
            "d_decoder": d_block.permute(3, 2, 1, 4, 0).reshape(27, *d_block.shape[4:], d_block.shape[0]).numpy(),
        }

    return Case(call, outputs)

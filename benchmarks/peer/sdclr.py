"""SDCLR's training step in torch as the original program runs it.

The pruned branch runs forward without gradients, the dense branch against it, then the pruned branch again against the
dense one, and SGD.
"""

import torch
from torch import nn
from torch.nn import functional

from benchmarks.harness.worker import Case, read_exchange

LIBRARIES = ("torch",)
DENSE, PRUNED = 0, 1
RATE, TEMPERATURE = 0.05, 0.2
COMPARED = ("conv1.weight", "layer2.0.downsample.conv.weight", "layer4.1.conv2.weight", "fc.fc3.weight")


class Conv(nn.Conv2d):
    """A convolution whose weight is masked in the pruned branch."""

    mask: torch.Tensor

    def forward(self, x, branch):
        weight = self.weight * self.mask if branch == PRUNED else self.weight
        return functional.conv2d(x, weight, None, self.stride, self.padding)


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> Conv:
    """A convolution without bias."""
    return Conv(inputs, outputs, size, stride, size // 2, bias=False)


class Norm(nn.Module):
    """One BatchNorm a branch."""

    def __init__(self, norm: type[nn.Module], channels: int):
        super().__init__()
        self.bn_list = nn.ModuleList([norm(channels), norm(channels)])

    def forward(self, x, branch):
        return self.bn_list[branch](x)


class Shortcut(nn.Module):
    """1 x 1 convolution and BatchNorm."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv, self.bn = conv(inputs, outputs, 1, stride), Norm(nn.BatchNorm2d, outputs)

    def forward(self, x, branch):
        return self.bn(self.conv(x, branch), branch)


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride), Norm(nn.BatchNorm2d, outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3), Norm(nn.BatchNorm2d, outputs)
        self.downsample = Shortcut(inputs, outputs, stride) if stride > 1 or inputs != outputs else None

    def forward(self, x, branch):
        y = torch.relu(self.bn1(self.conv1(x, branch), branch))
        y = self.bn2(self.conv2(y, branch), branch)
        return torch.relu(y + (x if self.downsample is None else self.downsample(x, branch)))


class Head(nn.Module):
    """Three linear layers."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.fc3 = nn.Linear(width, outputs, bias=False)
        self.bn1, self.bn2 = Norm(nn.BatchNorm1d, width), Norm(nn.BatchNorm1d, width)
        self.bn3 = Norm(nn.BatchNorm1d, outputs)

    def forward(self, x, branch):
        x = torch.relu(self.bn1(self.fc1(x), branch))
        x = torch.relu(self.bn2(self.fc2(x), branch))
        return self.bn3(self.fc3(x), branch)


class Net(nn.Module):
    """ResNet-18 with the CIFAR stem and the head; named as in the original's state_dict."""

    def __init__(self):
        super().__init__()
        self.normalize = nn.Module()
        self.normalize.register_buffer("mean", torch.zeros(3))
        self.normalize.register_buffer("std", torch.ones(3))
        self.conv1, self.bn1 = conv(3, 64, 3), Norm(nn.BatchNorm2d, 64)
        width = 64
        for stage, channels in enumerate((64, 128, 256, 512), start=1):
            first = Block(width, channels, 1 if stage == 1 else 2)
            setattr(self, f"layer{stage}", nn.ModuleList([first, Block(channels, channels, 1)]))
            width = channels
        self.fc = Head(width, 128)

    def forward(self, x, branch):
        x = (x - self.normalize.mean[:, None, None]) / self.normalize.std[:, None, None]
        x = torch.relu(self.bn1(self.conv1(x, branch), branch))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                x = block(x, branch)
        return self.fc(x.mean((2, 3)), branch)


def nt_xent(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean over the 2N rows of -log(positive / sum over all other rows)."""
    z = functional.normalize(torch.cat([first, second]))
    scores = torch.exp(z @ z.T / TEMPERATURE)
    partner = torch.arange(len(z)).roll(len(first))
    positive = scores[torch.arange(len(z)), partner]
    return -torch.log(positive / (scores.sum(1) - scores.diagonal())).mean()


def training_step(data: str) -> Case:
    """The same weights, masks and images as the project's."""
    arrays = {name: torch.from_numpy(array) for name, array in read_exchange("sdclr").items()}
    first, second = arrays.pop("views")
    masks = {name: arrays.pop(name) for name in list(arrays) if name.startswith("mask.")}
    net = Net().train()
    net.load_state_dict(arrays)
    for name, module in net.named_modules():
        if isinstance(module, Conv):
            module.register_buffer("mask", masks[f"mask.{name}.weight"].float(), persistent=False)
    before = {name: arrays[name].clone() for name in COMPARED}
    optimizer = torch.optim.SGD(net.parameters(), RATE, momentum=0.9, weight_decay=1e-4)

    def call():
        optimizer.zero_grad()
        with torch.no_grad():
            fixed = net(second, PRUNED)
        dense = net(first, DENSE)
        loss = nt_xent(dense, fixed)
        loss.backward()
        nt_xent(dense.detach(), net(second, PRUNED)).backward()
        optimizer.step()
        return loss.detach()

    def outputs(loss):
        after = net.state_dict()
        return {"loss": loss.numpy()} | {name: (after[name] - before[name]).numpy() for name in COMPARED}

    return Case(call, outputs)

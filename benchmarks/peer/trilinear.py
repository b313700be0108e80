"""Trilinear read-out in torch: gather, product and sum, or embedding_bag with weights; the faster one is timed."""

import numpy as np
import torch
from torch.nn import functional

from benchmarks.harness.worker import Case
from benchmarks.peer.fastest import fastest

LIBRARIES = ("torch",)
EXCHANGE = ".bench-data/exchange/trilinear.npz"


def by_gather(x, corners, weights):
    """Absent corners read the first row with weight zero."""
    return (x.index_select(0, corners.reshape(-1)).view(*corners.shape, -1) * weights[..., None]).sum(1)


def by_embedding_bag(x, corners, weights):
    """A bag for each vertex."""
    return functional.embedding_bag(corners, x, per_sample_weights=weights, mode="sum")


def read_out(data: str) -> Case:
    """The same read-out and gradient as the project's."""
    with np.load(EXCHANGE) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    x, corners, weights = arrays["x"].requires_grad_(), arrays["corners"].long().clamp(min=0), arrays["weights"]

    def call(form):
        y = form(x, corners, weights)
        return y, torch.autograd.grad(y, x, arrays["cotangent"])[0]

    form = fastest(call, (by_gather, by_embedding_bag))
    return Case(
        lambda: call(form),
        lambda out: {"y": out[0].detach().numpy(), "dx": out[1].numpy()},
        {"torch_form": form.__name__},
    )

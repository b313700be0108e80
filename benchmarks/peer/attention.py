"""One-ring attention in torch over edges sorted by target, as torch-geometric 1.6.3 computes it.

The softmax subtracts the largest score of all edges; sums are by index_add.
"""

import numpy as np
import torch

from benchmarks.harness.worker import Case

LIBRARIES = ("torch",)
EXCHANGE = ".bench-data/exchange/attention.npz"


def attention(data: str) -> Case:
    """The same attention and gradients as the project's."""
    with np.load(EXCHANGE) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    target, source = arrays["target"].long(), arrays["source"].long()
    inputs = [arrays[name].requires_grad_() for name in ("query", "key", "value")]
    cotangent = arrays["cotangent"]
    scale = cotangent.shape[1] ** -0.5

    def call():
        query, key, value = inputs
        scores = (query.index_select(0, target) * key.index_select(0, source)).sum(1) * scale
        weights = torch.exp(scores - scores.max())
        total = torch.zeros(len(query)).index_add(0, target, weights) + 1e-16
        alpha = weights / total.index_select(0, target)
        messages = alpha[:, None] * value.index_select(0, source)
        y = torch.zeros_like(value).index_add(0, target, messages)
        return dict(zip(("y", "dq", "dk", "dv"), (y, *torch.autograd.grad(y, inputs, cotangent))))

    return Case(call, lambda out: {name: value.detach().numpy() for name, value in out.items()})

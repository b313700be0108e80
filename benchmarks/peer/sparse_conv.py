"""3x3x3 submanifold convolution in torch: for each offset, gather the pairs' rows, multiply, add to the outputs.

The pairs of all offsets are found beforehand, the centre is one plain product. Rows are added by index_add_ or,
since an offset's targets are distinct, by index_select, addmm_ and index_put_; the form that is faster here is timed.
"""

import numpy as np
import torch

from benchmarks.harness.worker import Case
from benchmarks.peer.fastest import fastest

LIBRARIES = ("torch",)
EXCHANGE = ".bench-data/exchange/convolution.npz"


def by_index_add(total, targets, rows, kernel):
    """total[targets] += rows @ kernel."""
    total.index_add_(0, targets, rows @ kernel)


def by_index_put(total, targets, rows, kernel):
    """total[targets] += rows @ kernel, for distinct targets."""
    total.index_put_((targets,), total.index_select(0, targets).addmm_(rows, kernel))


class Rulebook(torch.autograd.Function):
    """y[out] += x[in] @ kernel[k] over the pairs (in, out) of every offset k."""

    @staticmethod
    def forward(ctx, x, kernel, pairs, add):
        ctx.save_for_backward(x, kernel)
        ctx.pairs, ctx.add = pairs, add
        y = x @ kernel[13]
        for k, sources, targets in pairs:
            add(y, targets, x.index_select(0, sources), kernel[k])
        return y

    @staticmethod
    def backward(ctx, grad):
        x, kernel = ctx.saved_tensors
        dx, dw = grad @ kernel[13].T, torch.empty_like(kernel)
        dw[13] = x.T @ grad
        for k, sources, targets in ctx.pairs:
            rows = grad.index_select(0, targets)
            dw[k] = x.index_select(0, sources).T @ rows
            ctx.add(dx, sources, rows, kernel[k].T)
        return dx, dw, None, None


def convolution(data: str, level: int, channels: int, backward: bool) -> Case:
    """The same convolution as the project's."""
    with np.load(EXCHANGE) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    pairs = []
    for k in range(27):
        if k != 13:
            column = arrays["neighbours"][:, k]
            targets = torch.nonzero(column >= 0)[:, 0]
            pairs.append((k, column[targets].long(), targets))
    x, kernel = arrays["x"].requires_grad_(backward), arrays["kernel"].requires_grad_(backward)

    def call(add):
        if not backward:
            with torch.no_grad():
                return {"y": Rulebook.apply(x, kernel, pairs, add)}
        y = Rulebook.apply(x, kernel, pairs, add)
        dx, dw = torch.autograd.grad(y, (x, kernel), arrays["cotangent"])
        return {"y": y, "dx": dx, "dw": dw}

    add = fastest(call, (by_index_add, by_index_put))
    return Case(
        lambda: call(add),
        lambda out: {name: value.detach().numpy() for name, value in out.items()},
        {"torch_form": add.__name__},
    )

"""The device kernels in torch. Of several forms of the same work the one that is faster here is timed.

3x3x3 submanifold convolution: for each offset, gather the pairs' rows, multiply, add to the outputs. The pairs of all
offsets are found beforehand, the centre is one plain product. Rows are added by index_add_ or, since an offset's
targets are distinct, by index_select, addmm_ and index_put_.

One-ring attention over edges sorted by target, as torch-geometric 1.6.3 computes it: the softmax subtracts the largest
score of all edges; sums are by index_add.

Trilinear read-out: gather, product and sum, or embedding_bag with weights.
"""

import timeit
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from benchmarks.harness.worker import Case, read_exchange

LIBRARIES = ("torch",)


def fastest(call: Callable[[Callable], object], forms: Sequence[Callable], repeats: int = 3) -> Callable:
    """The form whose best `call(form)` of a few is the shortest, after one call to warm up."""
    return min(forms, key=lambda form: min(timeit.repeat(lambda: call(form), number=1, repeat=repeats + 1)[1:]))


def read_tensors(name: str) -> dict[str, torch.Tensor]:
    """The project's arrays [...] as tensors."""
    return {key: torch.from_numpy(array) for key, array in read_exchange(name).items()}


def as_arrays(out: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The outputs [...] of a call."""
    return {name: value.detach().numpy() for name, value in out.items()}


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
    arrays = read_tensors("convolution")
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
    return Case(lambda: call(add), as_arrays, {"torch_form": add.__name__})


def attention(data: str) -> Case:
    """The same attention and gradients as the project's."""
    arrays = read_tensors("attention")
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

    return Case(call, as_arrays)


def by_gather(x, corners, weights):
    """Absent corners read the first row with weight zero."""
    return (x.index_select(0, corners.reshape(-1)).view(*corners.shape, -1) * weights[..., None]).sum(1)


def by_embedding_bag(x, corners, weights):
    """A bag for each vertex."""
    return functional.embedding_bag(corners, x, per_sample_weights=weights, mode="sum")


def read_out(data: str) -> Case:
    """The same read-out and gradient as the project's."""
    arrays = read_tensors("trilinear")
    x, corners, weights = arrays["x"].requires_grad_(), arrays["corners"].long().clamp(min=0), arrays["weights"]

    def call(form):
        y = form(x, corners, weights)
        return {"y": y, "dx": torch.autograd.grad(y, x, arrays["cotangent"])[0]}

    form = fastest(call, (by_gather, by_embedding_bag))
    return Case(lambda: call(form), as_arrays, {"torch_form": form.__name__})

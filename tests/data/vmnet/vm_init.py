"""Deterministic parameter values for the VMNet parity fixtures (numpy only).

value(name, shape, seed): see docstring of `value`.  Names are PyTorch state_dict names.
"""

import zlib
import numpy as np


def rng_for(name, seed):
    return np.random.default_rng([int(seed), zlib.crc32(name.encode("utf-8"))])


def value(name, shape, seed):
    """n = default_rng([seed, crc32(name)]).standard_normal(shape)   (float64), then by the last part of the name:
      running_var               exp(0.1 n)
      running_mean              0.1 n
      bias                      0.1 n
      weight, 1-D               1 + 0.1 n          (BatchNorm / LayerNorm affine)
      weight, 2-D (out,in)      n * in**-0.5       (nn.Linear)
      kernel, 2-D (in,out)      n * in**-0.5       (1x1 sparse conv)
      kernel, 3-D (K,in,out)    n * (1/(c*in))**0.5 with c = 1 if the name contains '.up_' else {27: 9, 8: 4}[K]
      num_batches_tracked       0
    and the result is cast to float32."""
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    n = rng_for(name, seed).standard_normal(shape)
    if last == "running_var":
        v = np.exp(0.1 * n)
    elif last in ("running_mean", "bias"):
        v = 0.1 * n
    elif last == "weight" and len(shape) == 1:
        v = 1 + 0.1 * n
    elif last == "weight":
        v = n * shape[1] ** -0.5
    elif last == "kernel" and len(shape) == 2:
        v = n * shape[0] ** -0.5
    elif last == "kernel":
        c = 1 if ".up_" in name else {27: 9, 8: 4}[shape[0]]
        v = n * (1.0 / (c * shape[1])) ** 0.5
    else:
        raise ValueError(name)
    return v.astype(np.float32)


def grad_probe(name, shape, seed):
    """Fixed random direction used for <grad, R> checks: default_rng([seed + 1000, crc32(name)]).standard_normal, float32."""
    return rng_for(name, seed + 1000).standard_normal(shape).astype(np.float32)

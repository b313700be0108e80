"""numpy-only formula for the parameters and images used by the fixtures (written for this project, not from the reference).
The seed stands in seed.json.  Names are torch state_dict names without a 'module.' prefix, shapes in torch
layout (conv O,I,H,W; linear out,in).  All draws are float64, cast once to float32."""

import zlib
import numpy as np


def rng_for(seed, name):
    return np.random.default_rng([int(seed), zlib.crc32(name.encode())])


def value_for(seed, name, shape):
    shape = tuple(int(s) for s in shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if name == "normalize.mean":
        return np.array([0.485, 0.456, 0.406], np.float32)
    if name == "normalize.std":
        return np.array([0.229, 0.224, 0.225], np.float32)
    n = rng_for(seed, name).standard_normal(shape)
    if leaf == "running_mean":
        v = 0.1 * n
    elif leaf == "running_var":
        v = np.exp(0.1 * n)
    elif leaf == "weight" and len(shape) >= 2:
        v = n * float(np.prod(shape[1:])) ** -0.5  # fan_in ** -0.5
    elif leaf == "weight":
        v = 1.0 + 0.1 * n  # BN gamma
    elif leaf == "bias":
        v = 0.1 * n  # BN beta, linear bias
    else:
        raise KeyError(name)
    return v.astype(np.float32)


def batch(images_u8):
    """float32 network input; cast to float64 AFTER this division for the *64 arrays"""
    return images_u8.astype(np.float32) / np.float32(255)

"""Names of the original's PyTorch state_dict for every array of the network, and conversion both ways.

One set of BatchNorm is named `bn1.weight` and its shortcuts `downsample.0/1`; two sets are named `bn1.bn_list.0.weight`
and `downsample.conv/bn`. Convolutions are [O, I, H, W] there and [H, W, I, O] here, linear layers [out, in] and
[in, out].
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from sdclr_jax.model.resnet import IMAGENET_MEAN, IMAGENET_STD

Path = tuple[str, ...]
StateDict = dict[str, np.ndarray]

ROOTS = {"backbone": "", "head": "fc."}
LAYER_LEAVES = {"kernel": "weight", "bias": "bias"}
NORM_LEAVES = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
SHORTCUTS = {
    1: {"downsample_conv": "downsample.0", "downsample_bn": "downsample.1"},
    2: {"downsample_conv": "downsample.conv", "downsample_bn": "downsample.bn"},
}
TORCH_AXES = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
"""Axes of ours in torch's order, by rank: convolutions, linear layers, vectors."""
OUR_AXES = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
"""Axes of torch's in our order."""


def torch_name(path: Path, num_bn_sets: int) -> str:
    """('params', 'backbone', 'layer1_0', 'bn1', 'scale_1') -> 'layer1.0.bn1.bn_list.1.weight'.

    Args:
        path: collection ('params' or 'batch_stats'), then the path in it.
        num_bn_sets: 1 or 2, of the whole network.
    """
    _, root, *modules, leaf = path
    parts = [SHORTCUTS[num_bn_sets].get(module, re.sub(r"^(layer\d)_(\d+)$", r"\1.\2", module)) for module in modules]
    kind, _, bn_set = leaf.partition("_")
    if bn_set and num_bn_sets == 2:
        parts.append(f"bn_list.{bn_set}")
    parts.append(NORM_LEAVES[kind] if bn_set else LAYER_LEAVES[leaf])
    return ROOTS[root] + ".".join(parts)


def name_table(variables: Mapping[str, Any]) -> dict[Path, str]:
    """Path (collection first) -> torch name, for every array of {'params': ..., 'batch_stats': ...}."""
    paths = list(flatten_dict(dict(variables)))
    num_bn_sets = 2 if any(path[-1] == "scale_1" for path in paths) else 1
    return {path: torch_name(path, num_bn_sets) for path in paths}


def named_arrays(tree: Mapping[str, Any], collection: str = "params", num_bn_sets: int = 2) -> StateDict:
    """A tree shaped like (a part of) the parameters, e.g. gradients or masks, by torch name and in torch layout."""
    flat = flatten_dict({collection: tree})
    return {
        torch_name(path, num_bn_sets): np.transpose(np.asarray(leaf), TORCH_AXES[leaf.ndim])
        for path, leaf in flat.items()
    }


def to_state_dict(variables: Mapping[str, Any], updates: tuple[int, int] = (0, 0)) -> StateDict:
    """The original's state_dict (without the `module.` prefix of its checkpoints).

    Args:
        variables: {'params': ..., 'batch_stats': ...} of a `ContrastiveNet`.
        updates: how often the running statistics of set 0 and set 1 were updated (`num_batches_tracked`).
    """
    flat = flatten_dict(dict(variables))
    state = {"normalize.mean": np.float32(IMAGENET_MEAN), "normalize.std": np.float32(IMAGENET_STD)}
    for path, name in name_table(variables).items():
        state[name] = np.transpose(np.asarray(flat[path]), TORCH_AXES[flat[path].ndim])
        if path[-1].startswith("var_"):
            counter = name.replace("running_var", "num_batches_tracked")
            state[counter] = np.asarray(updates[int(path[-1][-1])], np.int64)
    return state


def is_unused(name: str) -> bool:
    """Whether an entry of the original's state_dict is a constant or a counter that the network here does without."""
    return name.startswith("normalize.") or name.endswith("num_batches_tracked")


def from_state_dict(
    state: Mapping[str, np.ndarray], like: Mapping[str, Any], skip: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Variables from a state_dict, whole or not at all.

    Args:
        state: name -> array [...] in torch layout; a leading `module.` is dropped.
        like: variables (or their shapes, from `jax.eval_shape` of `model.init`) that name the needed arrays.
        skip: prefixes of names to skip, e.g. ("fc.",) if only the backbone is needed.

    Returns:
        Nested dict as `like`, NumPy arrays of the dtypes of `state`.

    Raises:
        ValueError: names missing, left over or of another shape, all of them listed.
    """
    state = {name.removeprefix("module."): np.asarray(array) for name, array in state.items()}
    table = name_table(like)
    shapes = {path: tuple(leaf.shape) for path, leaf in flatten_dict(dict(like)).items()}
    ignored = {name for name in state if is_unused(name) or name.startswith(skip)}
    missing = [name for name in table.values() if name not in state]
    extra = sorted(state.keys() - set(table.values()) - ignored)
    found = {path: state[name] for path, name in table.items() if name in state}
    arrays = {path: np.transpose(array, OUR_AXES[array.ndim]) for path, array in found.items()}
    wrong = [f"{table[p]} {a.shape} instead of {shapes[p]}" for p, a in arrays.items() if a.shape != shapes[p]]
    if missing or extra or wrong:
        raise ValueError(f"the weights do not fit the network: missing {missing}; left over {extra}; shapes {wrong}")
    return unflatten_dict(arrays)


def linear_export(variables: Mapping[str, Any], rng: jax.Array, num_classes: int, bn_set: int = 0) -> StateDict:
    """State_dict of a plain torchvision-style classifier: dense weights unmasked, one BatchNorm set, a fresh `fc`.

    Args:
        variables: of a `ContrastiveNet` with one or two sets of BatchNorm.
        rng: jax key [] of the new classifier's weight, normal with deviation 0.01; its bias is zero.
        num_classes: rows of the classifier.
        bn_set: the set to keep; 0, the dense branch's, is the one that evaluations use.
    """
    flat = flatten_dict({name: {"backbone": tree["backbone"]} for name, tree in variables.items()})
    kept = {}
    for (*modules, leaf), array in flat.items():
        kind, _, own_set = leaf.partition("_")
        if own_set in ("", str(bn_set)):
            kept[(*modules, f"{kind}_0" if own_set else leaf)] = array
    state = to_state_dict(unflatten_dict(kept))
    width = variables["params"]["head"]["fc1"]["kernel"].shape[0]
    state["fc.weight"] = 0.01 * np.asarray(jax.random.normal(rng, (num_classes, width)))
    state["fc.bias"] = np.zeros(num_classes, np.float32)
    return state

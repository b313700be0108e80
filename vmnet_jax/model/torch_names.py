"""Names of the original program's state_dict for every array of the network, and conversion in both directions.

torch stores the weight of a linear map as (out, in); ours is (in, out). The scalars of the layer normalisation have
shape (1,) there and () here. The original also holds two unused scalars for every attention (`lin_edge`) and a step
counter for every batch normalisation, which ours has no use for.
"""

from collections.abc import Mapping

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

Path = tuple[str, ...]
TOP = 6  # the coarsest level, which the original calls mid
LAYER_NORM = {"scale": "weight", "bias": "bias"}
BATCH_NORM = LAYER_NORM | {"mean": "running_mean", "var": "running_var"}
LINEAR = {"kernel": "weight", "bias": "bias"}


def _arrays(leaves: Mapping[str, str], ours: Path, theirs: str) -> dict[Path, str]:
    """The arrays of a module, whose `leaves` are named here and there."""
    collection = {"mean": "batch_stats", "var": "batch_stats"}
    return {(collection.get(leaf, "params"), *ours, leaf): f"{theirs}.{name}" for leaf, name in leaves.items()}


def _block(ours: Path, conv: str, norm: str) -> dict[Path, str]:
    """A sparse convolution and its batch normalisation."""
    return _arrays({"kernel": "kernel"}, (*ours, "conv"), conv) | _arrays(BATCH_NORM, (*ours, "norm"), norm)


def _two_blocks(ours: Path, theirs: str) -> dict[Path, str]:
    second = _block((*ours, "block_1"), f"{theirs}.3", f"{theirs}.4")
    return _block((*ours, "block_0"), f"{theirs}.0", f"{theirs}.1") | second


def _euclidean() -> dict[Path, str]:
    ours, theirs = "euclidean", "Euc_branch"
    names = _block((ours, "stem"), f"{theirs}.input_conv.0", f"{theirs}.input_conv.1")
    names |= _two_blocks((ours, f"encoder_{TOP}"), f"{theirs}.mid")
    for level in range(TOP):
        names |= _two_blocks((ours, f"encoder_{level}"), f"{theirs}.en{level}")
        names |= _block((ours, f"down_{level}"), f"{theirs}.down_{level}.0", f"{theirs}.down_{level}.1")
        decoder = (ours, f"decoder_{level}")
        names |= _block((*decoder, "up"), f"{theirs}.up_{level}.0", f"{theirs}.up_{level}.1")
        names |= _two_blocks(decoder, f"{theirs}.de{level}")
        names["params", *decoder, "shortcut", "kernel"] = f"{theirs}.lin_net_{level}.kernel"
    return names | _arrays({"kernel": "kernel", "bias": "bias"}, (ours, "head"), f"{theirs}.output_layer")


def _attention_block(ours: Path, theirs: str, index: int) -> dict[Path, str]:
    names = _arrays(LAYER_NORM, (*ours, "norm"), f"{theirs}.norm_{index}")
    for role in ("key", "query", "value", "skip"):
        names |= _arrays(LINEAR, (*ours, "attention", role), f"{theirs}.geo_{index}.lin_{role}")
    return names


def _geodesic() -> dict[Path, str]:
    names = _arrays(LINEAR, ("geodesic", "head"), "Geo_branch.output_layer")
    for level in range(TOP + 1):
        ours = ("geodesic", f"level_{level}")
        stage = "mid" if level == TOP else f"de{level}"
        linear = f"Geo_branch.lin_{stage}"
        names["params", *ours, "read_out", "kernel"] = f"{linear}_d.kernel"
        if level < TOP:
            names |= _attention_block((*ours, "fusion"), f"Geo_branch.cd_{level}", 0)
        names["params", *ours, "merge", "kernel"] = f"{linear}_i.weight"
        for index in range(2):
            names |= _attention_block((*ours, "aggregation", f"block_{index}"), f"Geo_branch.{stage}_geo", index)
        names["params", *ours, "output", "linear", "kernel"] = f"{linear}_o.0.weight"
        names |= _arrays(LAYER_NORM, (*ours, "output", "norm"), f"{linear}_o.1")
    return names


TORCH_NAMES: dict[Path, str] = _euclidean() | _geodesic()
"""Name in the state_dict of the array at every path of ours, collection first."""


def from_state_dict(state: Mapping[str, np.ndarray]) -> dict:
    """{"params", "batch_stats"} of `VMNet` from arrays [...] by state_dict name; unused entries are skipped.

    Raises:
        KeyError: with the names that are missing.
    """
    missing = [name for name in TORCH_NAMES.values() if name not in state]
    if missing:
        raise KeyError(f"state_dict lacks {len(missing)} of {len(TORCH_NAMES)} arrays, the first: {missing[:5]}")
    arrays = {}
    for path, name in TORCH_NAMES.items():
        array = _transposed(name, state[name])
        is_scalar = path[1] == "geodesic" and path[-2] == "norm"
        arrays[path] = array.reshape(()) if is_scalar else array
    return unflatten_dict(arrays)


def to_state_dict(variables: Mapping) -> dict[str, np.ndarray]:
    """Arrays [...] by state_dict name from {"params", "batch_stats"}, or gradients from {"params": gradient}."""
    named = {TORCH_NAMES[path]: array for path, array in flatten_dict(dict(variables)).items()}
    return {name: np.atleast_1d(_transposed(name, array)) for name, array in named.items()}


def _transposed(name: str, array: np.ndarray) -> np.ndarray:
    """Linear maps with their axes swapped; vectors and the kernels of voxels as they are."""
    array = np.asarray(array)
    return array.T if name.endswith(".weight") else array


def is_unused(name: str) -> bool:
    """Whether an entry of the original's state_dict has no part in the computation."""
    return ".lin_edge." in name or name.endswith(".num_batches_tracked")


def with_unused(state: Mapping[str, np.ndarray], updates: int = 0) -> dict[str, np.ndarray]:
    """The original's whole state_dict: `state` [...] with `lin_edge` (zeros) and `num_batches_tracked` (`updates`)."""
    whole = {}
    for name, array in state.items():
        if ".lin_skip.weight" in name:
            edge = name.replace("lin_skip", "lin_edge")
            whole |= {edge: np.zeros((1, 1), np.float32), edge.replace("weight", "bias"): np.zeros(1, np.float32)}
        whole[name] = array
        if name.endswith(".running_var"):
            whole[name.replace("running_var", "num_batches_tracked")] = np.asarray(updates, np.int64)
    return whole

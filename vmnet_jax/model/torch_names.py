"""Names of the original program's state_dict for every array of the network, and conversion in both directions.

torch stores the weight of a linear map as (out, in); ours is (in, out). The scalars of the layer normalisation have
shape (1,) there and () here. The original also holds two unused scalars for every attention (`lin_edge`) and a step
counter for every batch normalisation, which ours has no use for.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from vmnet_jax.model.scene_batch import NUM_LEVELS


class TorchArray(NamedTuple):
    """The place of an array of ours in the state_dict, and its layout there."""

    name: str
    transposed: bool = False
    scalar: bool = False


Path = tuple[str, ...]
TOP = NUM_LEVELS - 1


def _block(ours: Path, conv: str, norm: str) -> dict[Path, TorchArray]:
    """A sparse convolution and its batch normalisation."""
    return {
        ("params", *ours, "conv", "kernel"): TorchArray(f"{conv}.kernel"),
        ("params", *ours, "norm", "scale"): TorchArray(f"{norm}.weight"),
        ("params", *ours, "norm", "bias"): TorchArray(f"{norm}.bias"),
        ("batch_stats", *ours, "norm", "mean"): TorchArray(f"{norm}.running_mean"),
        ("batch_stats", *ours, "norm", "var"): TorchArray(f"{norm}.running_var"),
    }


def _two_blocks(ours: Path, theirs: str) -> dict[Path, TorchArray]:
    return _block((*ours, "block_0"), f"{theirs}.0", f"{theirs}.1") | _block(
        (*ours, "block_1"), f"{theirs}.3", f"{theirs}.4"
    )


def _euclidean() -> dict[Path, TorchArray]:
    ours, theirs = "euclidean", "Euc_branch"
    names = _block((ours, "stem"), f"{theirs}.input_conv.0", f"{theirs}.input_conv.1")
    names |= _two_blocks((ours, f"encoder_{TOP}"), f"{theirs}.mid")
    for level in range(TOP):
        names |= _two_blocks((ours, f"encoder_{level}"), f"{theirs}.en{level}")
        names |= _block((ours, f"down_{level}"), f"{theirs}.down_{level}.0", f"{theirs}.down_{level}.1")
        decoder = (ours, f"decoder_{level}")
        names |= _block((*decoder, "up"), f"{theirs}.up_{level}.0", f"{theirs}.up_{level}.1")
        names |= _two_blocks(decoder, f"{theirs}.de{level}")
        names["params", *decoder, "shortcut", "kernel"] = TorchArray(f"{theirs}.lin_net_{level}.kernel")
    names["params", ours, "head", "kernel"] = TorchArray(f"{theirs}.output_layer.kernel")
    names["params", ours, "head", "bias"] = TorchArray(f"{theirs}.output_layer.bias")
    return names


def _linear(ours: Path, theirs: str, bias: bool) -> dict[Path, TorchArray]:
    names = {("params", *ours, "kernel"): TorchArray(f"{theirs}.weight", transposed=True)}
    if bias:
        names["params", *ours, "bias"] = TorchArray(f"{theirs}.bias")
    return names


def _layer_norm(ours: Path, theirs: str) -> dict[Path, TorchArray]:
    return {
        ("params", *ours, "scale"): TorchArray(f"{theirs}.weight", scalar=True),
        ("params", *ours, "bias"): TorchArray(f"{theirs}.bias", scalar=True),
    }


def _attention_block(ours: Path, theirs: str, index: int) -> dict[Path, TorchArray]:
    names = _layer_norm((*ours, "norm"), f"{theirs}.norm_{index}")
    for role in ("key", "query", "value", "skip"):
        names |= _linear((*ours, "attention", role), f"{theirs}.geo_{index}.lin_{role}", bias=True)
    return names


def _geodesic() -> dict[Path, TorchArray]:
    names = _linear(("geodesic", "head"), "Geo_branch.output_layer", bias=True)
    for level in range(NUM_LEVELS):
        ours = ("geodesic", f"level_{level}")
        stage = "mid" if level == TOP else f"de{level}"
        linear = f"Geo_branch.lin_{stage}"
        names["params", *ours, "read_out", "kernel"] = TorchArray(f"{linear}_d.kernel")
        if level < TOP:
            names |= _attention_block((*ours, "fusion"), f"Geo_branch.cd_{level}", 0)
        names |= _linear((*ours, "merge"), f"{linear}_i", bias=False)
        for index in range(2):
            block = (*ours, "aggregation", f"block_{index}")
            names |= _attention_block(block, f"Geo_branch.{stage}_geo", index)
        names |= _linear((*ours, "output", "linear"), f"{linear}_o.0", bias=False)
        names |= _layer_norm((*ours, "output", "norm"), f"{linear}_o.1")
    return names


TORCH_NAMES: dict[Path, TorchArray] = _euclidean() | _geodesic()


def to_ours(array: np.ndarray, entry: TorchArray) -> np.ndarray:
    """An array [...] (or its gradient) in the state_dict's shape -> our shape."""
    array = np.asarray(array)
    return array.T if entry.transposed else array.reshape(()) if entry.scalar else array


def to_theirs(array: np.ndarray, entry: TorchArray) -> np.ndarray:
    """An array [...] of ours -> the state_dict's shape."""
    array = np.asarray(array)
    return array.T if entry.transposed else array.reshape(1) if entry.scalar else array


def from_state_dict(state: Mapping[str, np.ndarray]) -> dict:
    """{"params", "batch_stats"} of `VMNet` from arrays [...] by state_dict name; unused entries are skipped.

    Raises:
        KeyError: with the names that are missing.
    """
    missing = [entry.name for entry in TORCH_NAMES.values() if entry.name not in state]
    if missing:
        raise KeyError(f"state_dict lacks {len(missing)} of {len(TORCH_NAMES)} arrays, the first: {missing[:5]}")
    return unflatten_dict({path: to_ours(state[entry.name], entry) for path, entry in TORCH_NAMES.items()})


def is_unused(name: str) -> bool:
    """Whether an entry of the original's state_dict has no part in the computation."""
    return ".lin_edge." in name or name.endswith(".num_batches_tracked")


def torch_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape in the state_dict of the array at a path of ours."""
    entry = TORCH_NAMES[path]
    return shape[::-1] if entry.transposed else (1,) if entry.scalar else shape


def to_state_dict(variables: Mapping) -> dict[str, np.ndarray]:
    """Arrays [...] by state_dict name from {"params", "batch_stats"}, or gradients from {"params": gradient}."""
    flat = flatten_dict(dict(variables))
    return {TORCH_NAMES[path].name: to_theirs(array, TORCH_NAMES[path]) for path, array in flat.items()}


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

"""Names of the original program's state_dict for every array of the network, and conversion in both directions.

torch stores the weight of a linear map as (out, in); ours is (in, out). The scalars of the layer normalisation have
shape (1,) there and () here. The original also holds two unused scalars for every attention (`lin_edge`) and a step
counter for every batch normalisation, which ours has no use for.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict


class TorchArray(NamedTuple):
    """The place of an array of ours in the state_dict, and its layout there."""

    name: str
    transposed: bool = False
    scalar: bool = False


Path = tuple[str, ...]
TOP = 6  # the original's coarsest level, which it calls mid

KERNEL = {("params", "kernel"): TorchArray("kernel")}
WEIGHT = {("params", "kernel"): TorchArray("weight", transposed=True)}
BIAS = {("params", "bias"): TorchArray("bias")}
BATCH_NORM = {
    ("params", "scale"): TorchArray("weight"),
    ("params", "bias"): TorchArray("bias"),
    ("batch_stats", "mean"): TorchArray("running_mean"),
    ("batch_stats", "var"): TorchArray("running_var"),
}
LAYER_NORM = {
    ("params", "scale"): TorchArray("weight", scalar=True),
    ("params", "bias"): TorchArray("bias", scalar=True),
}

_Modules = Iterator[tuple[str, str, dict[Path, TorchArray]]]
"""Our module, the original's, and the arrays in them."""


def _blocks(ours: str, theirs: str, *first: int) -> _Modules:
    """Sparse convolutions, each with its batch normalisation; first: number of each convolution in the original."""
    for index, number in enumerate(first):
        block = f"{ours}/block_{index}" if len(first) > 1 else ours
        yield f"{block}/conv", f"{theirs}.{number}", KERNEL
        yield f"{block}/norm", f"{theirs}.{number + 1}", BATCH_NORM


def _euclidean() -> _Modules:
    ours, theirs = "euclidean", "Euc_branch"
    yield from _blocks(f"{ours}/stem", f"{theirs}.input_conv", 0)
    yield from _blocks(f"{ours}/encoder_{TOP}", f"{theirs}.mid", 0, 3)
    for level in range(TOP):
        yield from _blocks(f"{ours}/encoder_{level}", f"{theirs}.en{level}", 0, 3)
        yield from _blocks(f"{ours}/down_{level}", f"{theirs}.down_{level}", 0)
        yield from _blocks(f"{ours}/decoder_{level}/up", f"{theirs}.up_{level}", 0)
        yield from _blocks(f"{ours}/decoder_{level}", f"{theirs}.de{level}", 0, 3)
        yield f"{ours}/decoder_{level}/shortcut", f"{theirs}.lin_net_{level}", KERNEL
    yield f"{ours}/head", f"{theirs}.output_layer", KERNEL | BIAS


def _attention(ours: str, theirs: str, index: int) -> _Modules:
    yield f"{ours}/norm", f"{theirs}.norm_{index}", LAYER_NORM
    for role in ("key", "query", "value", "skip"):
        yield f"{ours}/attention/{role}", f"{theirs}.geo_{index}.lin_{role}", WEIGHT | BIAS


def _geodesic() -> _Modules:
    yield "geodesic/head", "Geo_branch.output_layer", WEIGHT | BIAS
    for level in range(TOP + 1):
        ours, stage = f"geodesic/level_{level}", "mid" if level == TOP else f"de{level}"
        linear = f"Geo_branch.lin_{stage}"
        yield f"{ours}/read_out", f"{linear}_d", KERNEL
        if level < TOP:
            yield from _attention(f"{ours}/fusion", f"Geo_branch.cd_{level}", 0)
        yield f"{ours}/merge", f"{linear}_i", WEIGHT
        for index in range(2):
            yield from _attention(f"{ours}/aggregation/block_{index}", f"Geo_branch.{stage}_geo", index)
        yield f"{ours}/output/linear", f"{linear}_o.0", WEIGHT
        yield f"{ours}/output/norm", f"{linear}_o.1", LAYER_NORM


TORCH_NAMES: dict[Path, TorchArray] = {
    (collection, *ours.split("/"), leaf): array._replace(name=f"{theirs}.{array.name}")
    for modules in (_euclidean(), _geodesic())
    for ours, theirs, arrays in modules
    for (collection, leaf), array in arrays.items()
}


def from_state_dict(state: Mapping[str, np.ndarray]) -> dict:
    """{"params", "batch_stats"} of `VMNet` from arrays [...] by state_dict name; unused entries are skipped.

    Raises:
        KeyError: with the names that are missing.
    """
    missing = [entry.name for entry in TORCH_NAMES.values() if entry.name not in state]
    if missing:
        raise KeyError(f"state_dict lacks {len(missing)} of {len(TORCH_NAMES)} arrays, the first: {missing[:5]}")
    ours = {}
    for path, entry in TORCH_NAMES.items():
        array = np.asarray(state[entry.name])
        array = array.T if entry.transposed else array
        ours[path] = array.reshape(()) if entry.scalar else array
    return unflatten_dict(ours)


def to_state_dict(variables: Mapping) -> dict[str, np.ndarray]:
    """Arrays [...] by state_dict name from {"params", "batch_stats"}, or gradients from {"params": gradient}."""
    theirs = {}
    for path, array in flatten_dict(dict(variables)).items():
        name, transposed, scalar = TORCH_NAMES[path]
        array = np.asarray(array).T if transposed else np.asarray(array)
        theirs[name] = array.reshape(1) if scalar else array
    return theirs


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

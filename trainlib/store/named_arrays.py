"""A state as named arrays on the host, and back: the form in which a checkpoint keeps it."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from trainlib.core.errors import CheckpointError

NamedArrays = dict[tuple[str, ...], np.ndarray]
"""A leaf by its place in a tree: ("params", "conv", "kernel")."""

_LONGEST_TABLE = 8


def named_arrays(tree: Any) -> NamedArrays:
    """The leaves of a tree (arrays of one host, Python numbers) by their place; arrays may share the leaves' memory.

    Raises ValueError for a tree that is a bare leaf, TypeError for JAX's typed random keys.
    """
    arrays = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if jax.numpy.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
            raise TypeError(f"{'/'.join(leaf_name(path))} is a typed random key: keep jax.random.key_data of it")
        arrays[leaf_name(path)] = np.asarray(leaf)
    if () in arrays:
        raise ValueError("a state needs names: give a dict or a dataclass of arrays, not a bare array")
    return arrays


def nested(arrays: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Nested dicts of leaves by their place: ("params", "conv", "kernel") becomes tree["params"]["conv"]["kernel"]."""
    tree: dict[str, Any] = {}
    for (*folders, name), leaf in arrays.items():
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = leaf
    return tree


def require_finite(what: str, arrays: NamedArrays) -> None:
    """Raises CheckpointError, beginning with `what`, naming the first array that has NaN or Inf."""
    for names, array in arrays.items():
        if jax.numpy.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
            count = int((~np.isfinite(array)).sum())
            raise CheckpointError(f"{what}: {'/'.join(names)} has {count} values that are NaN or Inf")


def fill(target: Any, arrays: NamedArrays, source: str) -> Any:
    """The tree `target` with its leaves taken from `arrays`; Python numbers stay such.

    Args:
        target: tree whose leaves have the expected shape and dtype (arrays, `jax.ShapeDtypeStruct`, numbers).
        arrays: exactly the names, shapes and dtypes of `target`.
        source: where the arrays are from, for the message.

    Raises:
        CheckpointError: with a table of all names, shapes and dtypes that differ: nothing is cast, nothing skipped.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(target)
    expected = {leaf_name(path): _signature(leaf) for path, leaf in leaves}
    found = {names: _signature(array) for names, array in arrays.items()}
    rows = [
        f"  {'/'.join(names)}: {found.get(names, 'absent')}, expected {expected.get(names, 'absent')}"
        for names in sorted(found.keys() | expected.keys())
        if found.get(names) != expected.get(names)
    ]
    if rows:
        more = [f"  and {len(rows) - _LONGEST_TABLE} more"] if len(rows) > _LONGEST_TABLE else []
        table = "\n".join(rows[:_LONGEST_TABLE] + more)
        raise CheckpointError(f"{source} does not fit the state of this config:\n{table}")
    filled = ((leaf, arrays[leaf_name(path)]) for path, leaf in leaves)
    return structure.unflatten(array if hasattr(leaf, "shape") else type(leaf)(array.item()) for leaf, array in filled)


def leaf_name(path: tuple[Any, ...]) -> tuple[str, ...]:
    """A leaf's place in a tree by names, from its path in JAX's terms."""
    return tuple(jax.tree_util.keystr((entry,), simple=True) for entry in path)


def _signature(leaf: Any) -> str:
    """dtype and shape, as in "float32[3, 4]"."""
    array = leaf if hasattr(leaf, "dtype") and hasattr(leaf, "shape") else np.asarray(leaf)
    return f"{np.dtype(array.dtype)}[{', '.join(map(str, array.shape))}]"

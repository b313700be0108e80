"""A state as named arrays on the host, and back: the form in which a checkpoint keeps it."""

from typing import Any

import jax
import numpy as np

from trainlib.core.errors import CheckpointError

Names = tuple[str, ...]
"""A leaf's place in a tree: ("params", "conv", "kernel")."""

NamedArrays = dict[Names, np.ndarray]

_LONGEST_TABLE = 8


def named_arrays(tree: Any) -> NamedArrays:
    """The leaves of a tree (arrays of one host, Python numbers) by their place; arrays may share the leaves' memory.

    Raises ValueError for a tree that is a bare leaf, TypeError for JAX's typed random keys.
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    arrays = {_names(path): _host_array(path, leaf) for path, leaf in leaves}
    if () in arrays:
        raise ValueError("a state needs names: give a dict or a dataclass of arrays, not a bare array")
    return arrays


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
    expected = {_names(path): _signature(leaf) for path, leaf in leaves}
    rows = []
    for names in sorted(arrays.keys() | expected.keys()):
        found = _signature(arrays[names]) if names in arrays else "absent"
        wanted = expected.get(names, "absent")
        if found != wanted:
            rows.append(f"  {'/'.join(names)}: {found}, expected {wanted}")
    if rows:
        more = [f"  and {len(rows) - _LONGEST_TABLE} more"] if len(rows) > _LONGEST_TABLE else []
        table = "\n".join(rows[:_LONGEST_TABLE] + more)
        raise CheckpointError(f"{source} does not fit the state of this config:\n{table}")
    return jax.tree.unflatten(structure, [_like(leaf, arrays[_names(path)]) for path, leaf in leaves])


def _names(path: tuple[Any, ...]) -> Names:
    return tuple(jax.tree_util.keystr((entry,), simple=True) for entry in path)


def _host_array(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
    if jax.numpy.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
        raise TypeError(f"{'/'.join(_names(path))} is a typed random key: keep jax.random.key_data of it")
    return np.asarray(leaf)


def _signature(leaf: Any) -> str:
    """dtype and shape, as in "float32[3, 4]"."""
    array = leaf if hasattr(leaf, "dtype") and hasattr(leaf, "shape") else np.asarray(leaf)
    return f"{np.dtype(array.dtype)}[{', '.join(map(str, array.shape))}]"


def _like(leaf: Any, array: np.ndarray) -> Any:
    return array if hasattr(leaf, "shape") else type(leaf)(array.item())

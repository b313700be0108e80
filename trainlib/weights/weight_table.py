"""Foreign weights against a network's: by name and shape, whole or not at all."""

from collections.abc import Callable, Mapping

import numpy as np

from trainlib.core.errors import UserError

_LONGEST = 16


def require_weights(
    source: str,
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, np.ndarray],
    unused: Callable[[str], bool],
) -> dict[str, np.ndarray]:
    """The arrays of `found` that the network has, as float32.

    Args:
        source: the file, for the message.
        expected: shape by name of every array that the network has.
        found: arrays [...] by name.
        unused: whether a name that the network lacks is known and may be skipped.

    Raises:
        UserError: a table of all names that are missing, left over or of another shape.
    """
    shapes = {name: array.shape for name, array in found.items()}
    rows = {
        "of another shape": [n for n in expected if n in shapes and shapes[n] != expected[n]],
        "missing": [n for n in expected if n not in shapes],
        "left over": [n for n in shapes if n not in expected and not unused(n)],
    }
    if any(rows.values()):
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in rows.items() if names)
        lines = [f"{source} does not fit the network of this config ({counts}):", _line("", "the file", "the network")]
        for kind, names in rows.items():
            lines += [_line(n, shapes.get(n, "-"), expected.get(n, "-")) for n in names[:_LONGEST]]
            lines += [f"  and {len(names) - _LONGEST} more that are {kind}"] if len(names) > _LONGEST else []
        raise UserError("\n".join(lines))
    return {name: np.asarray(found[name], np.float32) for name in expected}


def _line(name: str, there: object, wanted: object) -> str:
    return f"  {name:56} {there!s:>20} {wanted!s:>20}"

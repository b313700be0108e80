"""Public doors: a package gives out the names of its rooms, and imports a room when one of its names is asked for."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def door(package: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package (PEP 562) that re-export names of modules inside it.

    Args:
        package: its `__name__`.
        places: public name -> module that defines it, relative to the package: {"one_ring": "mesh.rings"}.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{places[name]}"), name)

    return get, lambda: sorted(places)

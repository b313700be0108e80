"""Other projects ship a package `kernels` too (Hugging Face's has that name); the wrong one is named, not half used."""

import importlib.util
import pathlib


def require_own_kernels(package: str) -> None:
    """Raises ImportError if Python finds another `kernels` than the one next to this package.

    Args:
        package: name of the package that needs it, for the message.
    """
    ours = pathlib.Path(__file__).resolve().parents[2] / "kernels"
    spec = importlib.util.find_spec("kernels")
    found = pathlib.Path(spec.origin).resolve().parent if spec and spec.origin else "a folder without __init__.py"
    if found != ours:
        raise ImportError(
            f"{package} needs its own package 'kernels' in {ours}, but Python found another one first: {found}. "
            "Run from the root of the checkout, put it first on PYTHONPATH, or uninstall the other package."
        )

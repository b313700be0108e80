"""SDCLR in JAX: contrastive learning of images against a pruned copy of the same network (Jiang et al., ICML 2021)."""

import importlib.util
import pathlib

from trainlib.core.caches import prepare_caches


def _check_kernels_folder() -> None:
    """Raise ImportError when `import kernels` would find another project's package (Hugging Face's has that name)."""
    ours = pathlib.Path(__file__).resolve().parents[1] / "kernels"
    spec = importlib.util.find_spec("kernels")
    if spec is None or not spec.origin:
        return
    found = pathlib.Path(spec.origin).resolve().parent
    if found != ours:
        raise ImportError(
            f"`kernels` is found in {found}, but this project's own package is {ours}. Another distribution of that "
            "name comes first on sys.path: run from the checkout's root, or `pip uninstall kernels`."
        )


_check_kernels_folder()
prepare_caches(pathlib.Path(__file__).parent)

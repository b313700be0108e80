"""VMNet: semantic segmentation of meshes by a voxel U-Net and attention along the mesh (Hu et al., ICCV 2021)."""

import pathlib

import kernels as _kernels
from trainlib.core.caches import prepare_caches

_HERE = pathlib.Path(__file__).resolve().parents[1] / "kernels"
_FOUND = pathlib.Path(_kernels.__file__ or "unknown").resolve().parent
if _FOUND != _HERE:
    raise ImportError(
        f"vmnet_jax needs its own package 'kernels' in {_HERE}, but Python found another one first: {_FOUND}. "
        "Run from the root of the checkout, put it first on PYTHONPATH, or uninstall the other package."
    )

prepare_caches(pathlib.Path(__file__).parent)

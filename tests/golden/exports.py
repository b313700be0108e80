"""Weight files for PyTorch of networks whose weights are stored or follow a rule: nothing is trained."""

import hashlib
import pathlib
import zipfile
from collections.abc import Mapping

import jax
import numpy as np

from sdclr_jax.commands import convert as sdclr_convert
from sdclr_jax.learn.build import build_state
from sdclr_jax.model.torch_names import is_unused, to_state_dict
from tests.golden import configs
from tests.golden.files import digest, unpack
from trainlib.weights.conversion import torch_shapes
from trainlib.weights.torch_files import write_tensors
from vmnet_jax.commands import convert as vmnet_convert


def collect(folder: pathlib.Path) -> dict[str, dict[str, str]]:
    """{"vmnet", "sdclr": {name in the state_dict: digest, "(file)": SHA-256 of the names and bytes of its entries}}."""
    unpack("vmnet.zip", folder / "vmnet")
    _make_sdclr(folder / "sdclr")
    found = {}
    for name, convert in (("vmnet", vmnet_convert), ("sdclr", sdclr_convert)):
        state = convert.to_torch(folder / name, folder / f"{name}.pt")
        found[name] = {key: digest(np.asarray(array)) for key, array in state.items()}
        found[name]["(file)"] = _entries_digest(folder / f"{name}.pt")
    return found


def _make_sdclr(workdir: pathlib.Path) -> None:
    """A run whose network, a real one, has the weights of `_weights`."""
    config = configs.load("sdclr_digits_lt", "smoke")
    state = jax.eval_shape(lambda: build_state(config, steps_per_epoch=1))
    shapes = torch_shapes({"params": state.params, "batch_stats": state.batch_stats}, to_state_dict, is_unused)
    write_tensors(workdir.with_suffix(".original.pt"), _weights(shapes))
    sdclr_convert.from_torch(workdir.with_suffix(".original.pt"), workdir, config)


def _weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """float32 multiples of 1/512 within -1 and 1, others for each name."""
    weights = {}
    for index, (name, shape) in enumerate(shapes.items()):
        numbers = np.arange(int(np.prod(shape)), dtype=np.int64) * 7919 + index * 104729
        weights[name] = ((numbers % 1021 - 510) / 512).astype(np.float32).reshape(shape)
    return weights


def _entries_digest(path: pathlib.Path) -> str:
    """Of all but the times of a zip archive."""
    total = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            total.update(f"{entry.filename} {entry.compress_type} {entry.file_size}\n".encode() + archive.read(entry))
    return total.hexdigest()

"""Row 28: weights of another network or program. A table of what does not fit, nothing loaded in part, nothing run."""

import os
import pickle
import zipfile

import jax
import numpy as np
import pytest

from sdclr_jax import convert as sdclr_convert
from sdclr_jax.learn.build import build_state
from sdclr_jax.model.torch_names import to_state_dict
from tests.vmnet_jax.model.parity_batch import state_dict
from trainlib.core.cli import exit_code
from trainlib.core.config import load_config_file
from trainlib.weights.torch_files import write_tensors
from vmnet_jax import convert as vmnet_convert

SDCLR_CONFIG = "configs/sdclr_digits_lt.py"


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture(params=["vmnet", "sdclr"])
def door(request, fixtures):
    """(convert(file, workdir) -> exit code, weights that fit)"""
    if request.param == "vmnet":
        parser, main, weights = vmnet_convert.make_parser(), vmnet_convert.main, state_dict(fixtures / "vmnet")
    else:
        shapes = jax.eval_shape(lambda: build_state(load_config_file(SDCLR_CONFIG), 1))
        state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        weights = to_state_dict({"params": state.params, "batch_stats": state.batch_stats})
        parser, main = sdclr_convert.make_parser(), sdclr_convert.main

    def convert(file, workdir):
        options = [] if request.param == "vmnet" else [f"--config={SDCLR_CONFIG}"]
        arguments = parser.parse_args([str(file), f"--workdir={workdir}", *options])
        return exit_code(lambda: main(arguments), debug=False)

    return convert, weights


def test_28_what_does_not_fit_is_a_table(door, tmp_path, capsys):
    convert, weights = door
    names = list(weights)
    changed = {name: array for name, array in weights.items() if name != names[3]} | {"extra.weight": np.zeros(2)}
    matrix = next(name for name in reversed(names) if weights[name].ndim > 1 and "lin_edge" not in name)
    changed[matrix] = np.zeros((3, 5), np.float32)
    write_tensors(tmp_path / "other.pt", changed)
    assert convert(tmp_path / "other.pt", tmp_path / "run") == 1
    said = capsys.readouterr().err
    assert "1 of another shape, 1 missing, 1 left over" in said
    for text in ("other.pt", names[3], "extra.weight", matrix, "(3, 5)", "the network"):
        assert text in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_28_whole_weights_are_taken(door, tmp_path):
    convert, weights = door
    write_tensors(tmp_path / "net.pt", {f"module.{name}": array for name, array in weights.items()})
    assert convert(tmp_path / "net.pt", tmp_path / "run") == 0
    assert (tmp_path / "run" / "checkpoints" / "0").is_dir()


def test_28_and_29_a_payload_never_runs(door, tmp_path, capsys):
    convert, _ = door
    payload = pickle.dumps({"state_dict": Payload(tmp_path / "trap")})
    (tmp_path / "stream.pt").write_bytes(payload)
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("archive/data.pkl", payload)
    for name in ("stream.pt", "zip.pt"):
        assert convert(tmp_path / name, tmp_path / "run") == 1
        assert name in capsys.readouterr().err
    assert not (tmp_path / "trap").exists()
    assert not (tmp_path / "run").exists()
    pickle.loads(payload)
    assert (tmp_path / "trap").exists(), "the payload is a real one"

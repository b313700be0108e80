"""Checkpoints of the original pre-training: in, out, and refused where they do not fit."""

import jax
import numpy as np
import pytest

from sdclr_jax.commands.convert import from_torch, to_torch
from sdclr_jax.learn.build import build_state
from sdclr_jax.learn.restore import load_run
from sdclr_jax.model.torch_names import to_state_dict
from trainlib.core.config import load_config_file
from trainlib.core.errors import UserError
from trainlib.weights.torch_files import read_tensors, write_tensors

CONFIG = "configs/sdclr_digits_lt.py"


def random_state(config, seed=0):
    """A state_dict of the config's network with random numbers everywhere."""
    state = jax.eval_shape(lambda: build_state(config, 1))
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state)
    names = to_state_dict({"params": state.params, "batch_stats": state.batch_stats})
    rng = np.random.default_rng(seed)
    return {n: rng.normal(size=a.shape).astype(a.dtype) if a.dtype.kind == "f" else a for n, a in names.items()}


@pytest.mark.parametrize("words", ["", ":simclr"])
def test_in_and_out_bit_for_bit(tmp_path, words):
    config = load_config_file(CONFIG + words)
    theirs = random_state(config)
    write_tensors(tmp_path / "net.pt", {f"module.{name}": array for name, array in theirs.items()})
    from_torch(tmp_path / "net.pt", tmp_path / "run", config)
    run = load_run(tmp_path / "run")
    assert run.step == 0
    to_torch(tmp_path / "run", tmp_path / "back.pt")
    back = read_tensors(tmp_path / "back.pt")
    assert back.keys() == theirs.keys()
    for name, array in theirs.items():
        if not name.startswith("normalize."):
            np.testing.assert_array_equal(back[name], array, err_msg=name)
    state = run.variables["params"]["backbone"]["conv1"]["kernel"]
    np.testing.assert_array_equal(np.transpose(state, (3, 2, 0, 1)), theirs["conv1.weight"])
    assert len(jax.tree.leaves(run.masks)) == (0 if words else 31)


def test_one_branch_into_two_is_refused_with_the_names(tmp_path):
    write_tensors(tmp_path / "net.pt", random_state(load_config_file(CONFIG + ":simclr")))
    with pytest.raises(UserError) as caught:
        from_torch(tmp_path / "net.pt", tmp_path / "run", load_config_file(CONFIG))
    for text in ("272 missing", "bn1.bn_list.0.weight", "left over", "bn1.weight"):
        assert text in str(caught.value)
    assert not (tmp_path / "run").exists()

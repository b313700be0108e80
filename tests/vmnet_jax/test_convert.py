"""Weights of the original program: in, out, and refused where they do not fit."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.vmnet_jax.model.parity_batch import read_entries, state_dict
from trainlib.core.config import load_config_file
from trainlib.core.errors import UserError
from trainlib.store.checkpoints import CheckpointStore
from trainlib.weights.torch_files import read_tensors, write_tensors
from vmnet_jax.commands.convert import from_torch, to_torch
from vmnet_jax.learn.build import build_state
from vmnet_jax.learn.restore import load_run

CONFIG = "configs/vmnet_scannet.py"


@pytest.fixture(scope="module")
def weights(fixtures):
    return state_dict(fixtures / "vmnet")


@pytest.fixture(scope="module")
def converted(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("convert")
    write_tensors(folder / "net.pt", {f"module.{name}": array for name, array in weights.items()})
    from_torch(folder / "net.pt", folder / "run", load_config_file(CONFIG))
    return folder / "run"


def test_every_array_arrives(converted, weights):
    run = load_run(converted)
    assert run.step == 0
    assert run.config.layer_norm_scope == "batch"
    assert run.label_map.names[:2] == ("wall", "floor") or list(run.label_map.names[:2]) == ["wall", "floor"]
    kernel = weights["Euc_branch.en0.0.kernel"]
    np.testing.assert_array_equal(
        run.variables["params"]["euclidean"]["encoder_0"]["block_0"]["conv"]["kernel"], kernel
    )
    key = run.variables["params"]["geodesic"]["level_0"]["fusion"]["attention"]["key"]["kernel"]
    np.testing.assert_array_equal(key.T, weights["Geo_branch.cd_0.geo_0.lin_key.weight"])


def test_back_again_is_the_whole_state_dict(converted, weights, fixtures, tmp_path):
    to_torch(converted, tmp_path / "back.pt")
    back = read_tensors(tmp_path / "back.pt")
    assert {e["name"]: tuple(e["shape"]) for e in read_entries(fixtures / "vmnet")} == {
        name: array.shape for name, array in back.items()
    }
    for name, array in back.items():
        if ".lin_edge." not in name and not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(array, weights[name], err_msg=name)


def test_what_does_not_fit_is_a_table_and_leaves_nothing(weights, tmp_path):
    wrong = dict(weights)
    wrong["Euc_branch.input_conv.0.kernel"] = np.zeros((27, 4, 32), np.float32)
    wrong["Euc_branch.extra"] = np.zeros(3, np.float32)
    del wrong["Geo_branch.lin_de0_i.weight"]
    write_tensors(tmp_path / "wrong.pt", wrong)
    with pytest.raises(UserError) as caught:
        from_torch(tmp_path / "wrong.pt", tmp_path / "run", load_config_file(CONFIG))
    text = str(caught.value)
    assert "1 of another shape, 1 missing, 1 left over" in text
    for name in ("Euc_branch.input_conv.0.kernel", "(27, 4, 32)", "Euc_branch.extra", "Geo_branch.lin_de0_i.weight"):
        assert name in text
    assert not (tmp_path / "run").exists()


def test_other_classes_need_their_names(weights, tmp_path):
    fewer = {n: a[..., :7] if n.startswith("Euc_branch.output_layer") else a for n, a in weights.items()}
    write_tensors(tmp_path / "seven.pt", fewer)
    with pytest.raises(UserError, match="7 classes, the label map 20: name them with --label_map"):
        from_torch(tmp_path / "seven.pt", tmp_path / "run", load_config_file(CONFIG))


def test_a_run_of_its_own_is_not_overwritten(converted, weights, tmp_path):
    write_tensors(tmp_path / "net.pt", weights)
    with pytest.raises(UserError, match="its own checkpoints"):
        from_torch(tmp_path / "net.pt", converted, load_config_file(CONFIG))


def test_training_takes_it_as_its_own(converted):
    config: ConfigDict = load_run(converted).config
    target = jax.eval_shape(lambda: build_state(config, 20))
    with CheckpointStore(converted / "checkpoints") as store:
        state, step = store.restore(target)
    assert step == int(state.step) == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(state.opt_state))


def test_networks_that_the_original_lacks_are_refused(tmp_path):
    config = load_config_file(CONFIG, ("model=dcm",))
    with pytest.raises(UserError, match="no network of model 'dcm'"):
        from_torch(tmp_path / "net.pt", tmp_path / "run", config)

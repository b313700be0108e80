"""The mapping to the original's names: round trip, refusals, the plain export."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.torch_names import from_state_dict, linear_export, name_table, to_state_dict, torch_name


@pytest.fixture(scope="module")
def variables():
    """Random values in every array of a resnet32_s with two sets of BatchNorm."""
    like = jax.eval_shape(ContrastiveNet("resnet32_s").init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), like)


@pytest.mark.parametrize(
    ("path", "sets", "name"),
    [
        (("params", "backbone", "conv1", "kernel"), 2, "conv1.weight"),
        (("params", "backbone", "layer3_1", "bn2", "scale_1"), 2, "layer3.1.bn2.bn_list.1.weight"),
        (("params", "backbone", "layer3_1", "bn2", "bias_0"), 1, "layer3.1.bn2.bias"),
        (
            ("batch_stats", "backbone", "layer2_0", "downsample_bn", "var_0"),
            2,
            "layer2.0.downsample.bn.bn_list.0.running_var",
        ),
        (("batch_stats", "backbone", "layer2_0", "downsample_bn", "mean_0"), 1, "layer2.0.downsample.1.running_mean"),
        (("params", "backbone", "layer2_0", "downsample_conv", "kernel"), 1, "layer2.0.downsample.0.weight"),
        (("params", "head", "fc1", "bias"), 2, "fc.fc1.bias"),
    ],
)
def test_names(path, sets, name):
    assert torch_name(path, sets) == name


def test_round_trip(variables):
    state = to_state_dict(variables, updates=(3, 6))
    assert len(set(name_table(variables).values())) == len(jax.tree.leaves(variables))
    assert state["bn1.bn_list.0.num_batches_tracked"] == 3
    assert state["bn1.bn_list.1.num_batches_tracked"] == 6
    assert state["conv1.weight"].shape == (16, 3, 3, 3)
    kernel = variables["params"]["backbone"]["conv1"]["kernel"]
    assert state["conv1.weight"][5, 1, 2, 0] == kernel[2, 0, 1, 5]
    assert state["fc.fc3.weight"][7, 9] == variables["params"]["head"]["fc3"]["kernel"][9, 7]
    back = from_state_dict({f"module.{name}": array for name, array in state.items()}, variables)
    assert jax.tree.structure(back) == jax.tree.structure(variables)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(variables)):
        np.testing.assert_array_equal(a, b)


def test_weights_that_do_not_fit_are_refused_whole(variables):
    state = to_state_dict(variables)
    del state["fc.fc2.weight"]
    state["fc.fc3.weight"] = state["fc.fc3.weight"][:5]
    state["surplus.weight"] = np.zeros(3)
    with pytest.raises(
        ValueError, match=r"missing \['fc.fc2.weight'\].*surplus.*fc3.weight \(64, 5\) instead of \(64, 128\)"
    ):
        from_state_dict(state, variables)


def test_linear_export_keeps_one_branch(variables):
    state = linear_export(variables, jax.random.key(0), 7, bn_set=1)
    assert not any("bn_list" in name or name.startswith("fc.fc") for name in state)
    np.testing.assert_array_equal(state["bn1.weight"], variables["params"]["backbone"]["bn1"]["scale_1"])
    assert state["fc.weight"].shape == (7, 64)
    assert state["fc.weight"].std() == pytest.approx(0.01, rel=0.15)
    assert not np.any(state["fc.bias"])

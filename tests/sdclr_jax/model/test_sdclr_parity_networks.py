"""Every network, mode and branch against the stored outputs of the original, in float64 and float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.learn.masks import apply_masks, is_backbone_conv, magnitude_masks, sparsity_report
from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.norm import DENSE, PRUNED, BranchNorm, ForwardMode
from sdclr_jax.model.resnet import resnet18
from sdclr_jax.model.torch_names import from_state_dict, linear_export, named_arrays, to_state_dict
from tests.parity_tools import assert_close_in_norm, assert_close_to_largest, largest
from trainlib.analysis.pruning import magnitude_threshold, num_pruned

pytestmark = pytest.mark.parity

DUAL18 = ContrastiveNet("resnet18", prune_bn_updates=1)
SINGLE18 = ContrastiveNet("resnet18", head_layers=2, num_bn_sets=1, prune_bn_updates=1)
NARROW = ContrastiveNet("resnet32_s", prune_bn_updates=1)
DUAL50 = ContrastiveNet("resnet50", "imagenet")
LAST_BLOCKS = {
    "resnet18": ("layer1_1", "layer2_1", "layer3_1", "layer4_1"),
    "resnet50": ("layer1_2", "layer2_3", "layer3_5", "layer4_2"),
    "resnet32_s": ("layer1_4", "layer2_4", "layer3_4"),
}
BRANCHES = {"dense": DENSE, "plain": DENSE, "prune": PRUNED}
NETWORKS = {
    "resnet32s_dual": (NARROW, ("eval", "train"), ("dense", "prune")),
    "resnet18_dual": (DUAL18, ("eval", "train"), ("dense", "prune")),
    "resnet18_simclr": (SINGLE18, ("eval", "train"), ("plain",)),
    "resnet18_prune_singlebn": (SINGLE18, ("eval", "train"), ("dense", "prune")),
    "resnet50_dual_64": (DUAL50, ("eval",), ("dense", "prune")),
    "resnet50_dual_224": (DUAL50, ("eval",), ("dense",)),
}
RUNS = [(name, mode, branch) for name, (_, modes, tags) in NETWORKS.items() for mode in modes for branch in tags]
STORED_F32 = {"eval": 5e-6, "train": 5e-5}


@pytest.fixture(scope="module")
def network(open_fixture, stored_weights):
    """network(name) -> (file, model, float32 variables, masks or {})."""

    @functools.cache
    def build(name):
        stored, model = open_fixture(f"sdclr/{name}.npz"), NETWORKS[name][0]
        like = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
        variables = from_state_dict(stored_weights(stored["names"], stored["shapes"]), like)
        fraction = float(stored["prune_fraction"])
        return stored, model, variables, magnitude_masks(variables["params"], fraction) if fraction else {}

    return build


@functools.cache
def forward(model, branch, train):
    """Jitted forward: embedding, running statistics by path, and (mean, rms) of every stage's output."""
    blocks = LAST_BLOCKS[model.backbone_name]

    @jax.jit
    def run(variables, images):
        embedding, state = model.apply(
            variables,
            images,
            branch,
            train,
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=lambda module, _: module.name in blocks,
        )
        stages = [state["intermediates"]["backbone"][block]["__call__"][0] for block in blocks]
        moments = jnp.stack([jnp.stack([x.mean(), jnp.sqrt(jnp.square(x).mean())]) for x in stages])
        return embedding, state["batch_stats"], moments

    return run


@pytest.mark.parametrize("name", NETWORKS)
def test_names_shapes_and_weights(name, network):
    stored, _, variables, _ = network(name)
    state = to_state_dict(variables)
    shapes = {n: "x".join(map(str, a.shape)) or "scalar" for n, a in state.items()}
    assert shapes == dict(zip(map(str, stored["names"]), map(str, stored["shapes"])))
    sums = [(state[n].sum(dtype=np.float64), np.square(state[n], dtype=np.float64).sum()) for n in stored["names"]]
    assert_close_to_largest(sums, stored["weight_sum_sumsq"], 1e-12)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "resnet18_simclr"])
def test_masks(name, network, tools):
    stored, model, variables, masks = network(name)
    fraction = float(stored["prune_fraction"])
    by_name = named_arrays(masks, "params", model.num_bn_sets)
    names = [f"{layer}.weight" for layer in stored["mask_names"]]
    assert set(names) == set(by_name)
    assert [by_name[n].sum() for n in names] == list(stored["mask_kept"])
    assert [by_name[n].size for n in names] == list(stored["mask_total"])
    assert [tools.mask_digest(by_name[n]) for n in names] == list(stored["mask_sha256_packbits"])
    total = sparsity_report(masks)[-1]
    assert num_pruned(fraction, total.total) == stored["mask_k"]
    assert magnitude_threshold(variables["params"], fraction, is_backbone_conv) == stored["mask_threshold"]
    assert total.sparsity == pytest.approx(float(stored["mask_sparsity"]), rel=3e-6)


@pytest.mark.parametrize(("name", "mode", "tag"), RUNS)
def test_float64_outputs_and_running_statistics(name, mode, tag, network, formula, tools):
    stored, model, variables, masks = network(name)
    images = formula.batch(stored["images_u8"]).transpose(0, 2, 3, 1).astype(np.float64)
    with jax.enable_x64(True):
        variables = tools.as_double(variables)
        if tag == "prune":
            variables["params"] = apply_masks(variables["params"], masks)
        embedding, stats, moments = forward(model, BRANCHES[tag], mode == "train")(variables, images)
    assert_close_in_norm(embedding.features, stored[f"{mode}_{tag}_pool64"], 1e-9)
    assert_close_in_norm(embedding.projections, stored[f"{mode}_{tag}_proj64"], 1e-9)
    own_error = stored.peek(f"{mode}_{tag}_relerr_f32_vs_f64").max()
    theirs = stored.float32(f"{mode}_{tag}_stage_mean_rms")
    assert_close_to_largest(moments, theirs._replace(own_error=own_error * largest(theirs.value)))

    updates = (0, 0) if mode == "eval" else (0, 1) if BRANCHES[tag] and model.num_bn_sets == 2 else (1, 0)
    state = to_state_dict({"params": variables["params"], "batch_stats": stats}, updates)
    prefix = f"{mode}_{tag}_after/"
    buffers = [key.removeprefix(prefix) for key in stored.keys() if key.startswith(prefix)]  # noqa: SIM118
    assert bool(buffers) == (mode == "train")
    for buffer in buffers:
        if buffer.endswith("num_batches_tracked"):
            assert state[buffer] == stored[prefix + buffer], buffer
            continue
        theirs = stored.float32(prefix + buffer)
        theirs = theirs._replace(own_error=own_error * largest(theirs.value))
        assert_close_to_largest(state[buffer], theirs, 1e-5, buffer)


@pytest.mark.parametrize(("name", "mode", "tag"), RUNS)
def test_float32_outputs(name, mode, tag, network, formula):
    stored, model, variables, masks = network(name)
    images = formula.batch(stored["images_u8"]).transpose(0, 2, 3, 1)
    if tag == "prune":
        variables = variables | {"params": apply_masks(variables["params"], masks)}
    embedding, _, _ = forward(model, BRANCHES[tag], mode == "train")(variables, images)
    own_errors = []
    for array, key in zip(embedding, (f"{mode}_{tag}_pool", f"{mode}_{tag}_proj")):
        assert array.dtype == jnp.float32
        theirs = stored.float32(key, twin=key + "64")
        assert_close_in_norm(array, theirs, STORED_F32[mode], key)
        own_errors.append(np.linalg.norm(theirs.value - theirs.exact) / np.linalg.norm(theirs.exact))
    assert_close_to_largest(own_errors, stored[f"{mode}_{tag}_relerr_f32_vs_f64"], 1e-2)


def test_linear_export(open_fixture, network, formula):
    exported = open_fixture("sdclr/linear_export_r18.npz")
    original, _, variables, _ = network("resnet18_dual")
    images = exported["images_u8"]
    np.testing.assert_array_equal(images, original["images_u8"])
    inputs = formula.batch(images).transpose(0, 2, 3, 1)
    backbone = resnet18("cifar", functools.partial(BranchNorm, 1))
    run = jax.jit(lambda tree, x: backbone.apply(tree, x, ForwardMode()))
    exported_shapes = dict(zip(map(str, exported["names"]), map(str, exported["shapes"])))
    num_classes = int(exported_shapes["fc.bias"])
    for bn_set in (0, 1):
        state = linear_export(variables, jax.random.key(0), num_classes, bn_set)
        shapes = {n: "x".join(map(str, a.shape)) or "scalar" for n, a in state.items()}
        assert shapes == exported_shapes
        like = jax.eval_shape(SINGLE18.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
        like = {collection: {"backbone": tree["backbone"]} for collection, tree in like.items()}
        plain = from_state_dict(state, like, skip=("fc.",))
        own_error = original.peek("eval_dense_relerr_f32_vs_f64")[0]
        theirs = exported.float32(f"bn{bn_set}_pool")
        features = run({collection: tree["backbone"] for collection, tree in plain.items()}, inputs)
        assert_close_to_largest(features, theirs._replace(own_error=own_error * largest(theirs.value)))
        assert np.all(state["fc.bias"] == 0)
        assert state["fc.weight"].std() == pytest.approx(0.01, rel=0.1)


def test_every_array_was_compared(open_fixture):
    for name in (*NETWORKS, "linear_export_r18"):
        assert not open_fixture(f"sdclr/{name}.npz").unread

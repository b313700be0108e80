"""Networks: shapes, initial values, stems, shortcuts, heads; errors that name what is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.model.contrastive import BACKBONES, ContrastiveNet
from sdclr_jax.model.resnet import option_a_shortcut, standardize


def shapes_of(model, side=32):
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))


@pytest.mark.parametrize(
    ("name", "channels"), [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048), ("resnet32_s", 64)]
)
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_outputs(name, channels, stem):
    model = ContrastiveNet(name, stem, projection_size=128)
    images = jnp.zeros((2, 64, 64, 3))
    variables = shapes_of(model, 64)
    embedding = jax.eval_shape(lambda v: model.apply(v, images), variables)
    assert embedding.features.shape == (2, channels)
    assert embedding.projections.shape == (2, 128)
    stem_kernel = variables["params"]["backbone"]["conv1"]["kernel"].shape
    assert stem_kernel[:2] == ((7, 7) if stem == "imagenet" and name != "resnet32_s" else (3, 3))
    assert name in BACKBONES


def test_resnet34_has_its_published_size():
    """21,284,672 parameters without the classifier (torchvision's resnet34: 21,797,672 with 513,000 of it)."""
    backbone = shapes_of(ContrastiveNet("resnet34", "imagenet", num_bn_sets=1))["params"]["backbone"]
    assert sum(leaf.size for leaf in jax.tree.leaves(backbone)) == 21_797_672 - 513_000


@pytest.mark.parametrize("layers", [2, 3])
def test_head_layers(layers):
    head = shapes_of(ContrastiveNet("resnet32_s", head_layers=layers))["params"]["head"]
    kernels = {name: layer["kernel"].shape for name, layer in head.items() if "kernel" in layer}
    widths = {f"fc{i}": (64, 128 if i == layers else 64) for i in range(1, layers + 1)}
    assert kernels == widths
    assert [name for name, layer in head.items() if "bias" in layer] == ["fc1"]


def test_initial_values(tiny_net):
    """Kaiming-normal convolutions, uniform linear layers within 1 / sqrt(fan_in), unit BatchNorm."""
    model = tiny_net(widths=(16, 32, 64))
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    kernel = params["backbone"]["layer3_0"]["conv2"]["kernel"]
    assert kernel.std() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)
    assert np.abs(kernel).max() > 3 * kernel.std()
    for array in (params["head"]["fc1"]["kernel"], params["head"]["fc1"]["bias"]):
        assert np.abs(array).max() <= 64**-0.5
        assert array.std() == pytest.approx((3 * 64) ** -0.5, rel=0.2)
    assert set(params["head"]["bn2"]) == {"scale_0", "bias_0", "scale_1", "bias_1"}
    np.testing.assert_array_equal(params["head"]["bn2"]["scale_1"], 1)
    np.testing.assert_array_equal(params["head"]["bn2"]["bias_1"], 0)


def test_fan_out_initialisation_of_the_wide_networks():
    model = ContrastiveNet("resnet18")
    kernel = jax.jit(lambda key: model.init(key, jnp.zeros((1, 8, 8, 3)))["params"]["backbone"]["layer2_0"]["conv1"])(
        jax.random.key(0)
    )["kernel"]
    assert kernel.shape == (3, 3, 64, 128)
    assert kernel.std() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)


def test_option_a_shortcut_subsamples_and_pads_channels():
    x = jnp.arange(2 * 4 * 4 * 2, dtype=jnp.float32).reshape(2, 4, 4, 2)
    y = option_a_shortcut(x, 4, 2)
    np.testing.assert_array_equal(y[..., 1:3], x[:, ::2, ::2])
    assert not np.any(y[..., [0, 3]])
    np.testing.assert_array_equal(option_a_shortcut(x, 2, 1), x)


def test_standardize_by_hand():
    pixel = np.array([0.485, 0.456 + 0.224, 0.406 - 0.225], np.float32).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(standardize(pixel).ravel(), [0, 1, -1], atol=1e-6)


def test_padding_images_are_not_read(tiny_net):
    model = tiny_net()
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    images = np.random.default_rng(0).random((3, 8, 8, 3)).astype(np.float32)
    images[1] = np.nan
    rows = np.array([True, False, True])
    embed = jax.jit(lambda x, rows: model.apply(variables, x, rows=rows))
    embedding, expected = embed(images, rows), embed(images[rows], None)
    np.testing.assert_allclose(embedding.features[rows], expected.features, rtol=1e-5, atol=1e-6)
    assert np.all(np.isfinite(embedding.features))
    assert not np.any(embedding.projections[1])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"backbone_name": "vgg"}, "vgg.*resnet32_s"),
        ({"stem": "mnist"}, "mnist.*imagenet"),
        ({"head_layers": 4}, "4 layers"),
    ],
)
def test_unknown_parts_are_named(attributes, message):
    with pytest.raises(ValueError, match=message):
        shapes_of(ContrastiveNet(**attributes))

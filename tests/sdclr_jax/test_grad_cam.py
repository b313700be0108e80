"""Grad-CAM against class activation maps, finite differences and the network's own pooled features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.model.norm import DENSE
from sdclr_jax.probe.attention import Attention, class_score, enlarged, feature_maps, grad_cam, tail_rows
from sdclr_jax.probe.balancedness import Groups, groups_by_size
from sdclr_jax.probe.probe import LinearClassifier
from sdclr_jax.report.grad_cam_plot import plot_grad_cam
from sdclr_jax.views.views import to_float
from trainlib.core.errors import UserError


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_it_is_the_class_activation_map_where_a_linear_layer_follows_the_pool():
    """Zhou et al. (2016): relu(sum_c w_c A_c), here over the number of places, which the average pool divides by."""
    maps, classifier = drawn(3, 4, 5, 6), LinearClassifier(drawn(6, 7, seed=1), drawn(7, seed=2))
    labels = np.array([2, 0, 6])
    found = grad_cam(jnp.asarray(maps), class_score(classifier, jnp.asarray(labels)))
    expected = np.maximum(np.einsum("nhwc,cn->nhw", maps, classifier.kernel[:, labels]), 0) / 20
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_weights_are_the_mean_gradients_of_any_score():
    """Finite differences in float64, of a score that is not linear."""
    maps, weights = drawn(2, 2, 3, 4).astype(np.float64), drawn(4, seed=1).astype(np.float64)

    def score(maps):
        return (np.tanh(maps) ** 2 * weights).sum((1, 2, 3))

    gradient = np.zeros_like(maps)
    for place in np.ndindex(maps.shape):
        up, down = maps.copy(), maps.copy()
        up[place] += 1e-5
        down[place] -= 1e-5
        gradient[place] = (score(up) - score(down))[place[0]] / 2e-5
    expected = np.maximum((gradient.mean((1, 2), keepdims=True) * maps).sum(-1), 0)
    with jax.enable_x64(True):
        found = grad_cam(jnp.asarray(maps), lambda maps: (jnp.tanh(maps) ** 2 * weights).sum((1, 2, 3)))
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_maps_pool_to_the_features(tiny_net):
    model = tiny_net()
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    assert set(variables) == {"params", "batch_stats"}, "what is sown stays out of the state"
    maps = feature_maps(model, variables, images)
    assert maps.shape == (2, 4, 4, 16)
    features = model.apply(variables, to_float(images), DENSE).features
    np.testing.assert_allclose(maps.mean((1, 2)), features, rtol=1e-5)


def test_maps_are_enlarged_bilinearly_up_to_one():
    large = enlarged(np.array([[[0, 2], [0, 2]], [[0, 0], [0, 0]]], np.float32), 4, 4)
    np.testing.assert_allclose(large[0], np.tile([0, 0.25, 0.75, 1], (4, 1)), atol=1e-6)
    np.testing.assert_array_equal(large[1], 0)


def test_images_are_of_the_smallest_classes_in_turn():
    labels = np.array([1, 0, 3, 3, 1, 2, 1, 3])
    groups = Groups(np.array([0]), np.array([2]), np.array([1, 3]))
    rows = tail_rows(labels, groups, counts=np.array([90, 5, 40, 2]), number=5)
    assert rows.tolist() == [2, 0, 3, 4, 7]
    assert tail_rows(labels, groups, np.array([90, 5, 40, 2]), 3).tolist() == pytest.approx([2, 0, 3])


def test_without_a_class_in_few_the_smallest_of_all_are_shown():
    counts = np.array([200, 150, 50])
    assert tail_rows(np.array([0, 1, 2, 2]), groups_by_size(counts), counts, 3).tolist() == [2, 1, 0]
    groups = Groups(np.array([0]), np.array([1]), np.array([2]))
    with pytest.raises(UserError, match="the 1 smallest classes have no test image"):
        tail_rows(np.array([0, 1]), groups, counts, 4)


def test_the_picture_has_the_names_of_the_classes(tmp_path, monkeypatch):
    """Long ones are cut, and a dollar sign begins no formula."""
    figures = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: figures.append(figure))
    images, names = np.zeros((3, 4, 4, 3), np.uint8), ["ant$", "a beetle of a very long name", "2"]
    seen = [Attention("run", np.ones((3, 4, 4), np.float32), np.array([0, 0, 2]))]
    plot_grad_cam(tmp_path / "x.png", images, np.array([0, 1, 2]), seen, counts=np.array([7, 5, 3]), names=names)
    panels = figures[0].axes
    assert [axes.get_title() for axes in panels[:3]] == [
        "ant\\$\n7 in training",
        "a beetle of a v\N{HORIZONTAL ELLIPSIS}\n5 in training",
        "class 2\n3 in training",
    ]
    assert [axes.get_xlabel() for axes in panels[3:]] == ["right", "says ant\\$", "right"]

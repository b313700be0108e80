"""Views: keys by example, the same whatever the batch or the device; the frequencies of the configuration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.views.views import (
    CIFAR_VIEWS,
    IMAGENET_VIEWS,
    ViewConfig,
    draw_view,
    example_key,
    probe_views,
    two_views,
)

CONFIG = ViewConfig(size=12, blur=0.5)
make = jax.jit(two_views, static_argnames="config")


def images(n=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)


def test_views_belong_to_the_example_not_to_its_place():
    x, ids, key = images(), jnp.arange(8) * 7, jax.random.key(3)
    views = make(key, 5, ids, x, config=CONFIG)
    assert views.shape == (2, 8, 12, 12, 3)
    assert views.dtype == jnp.float32
    assert 0 <= views.min() < views.max() <= 1
    order = np.random.default_rng(1).permutation(8)
    np.testing.assert_array_equal(make(key, 5, ids[order], x[order], config=CONFIG), views[:, order])


def test_views_are_the_same_on_four_devices():
    x, ids, key = images(), jnp.arange(8), jax.random.key(0)
    views = make(key, 2, ids, x, config=CONFIG)
    spread = jax.pmap(lambda i, x: two_views(key, 2, i, x, CONFIG))(ids.reshape(4, 2), x.reshape(4, 2, 16, 16, 3))
    np.testing.assert_array_equal(spread.transpose(1, 0, 2, 3, 4, 5).reshape(views.shape), views)


def test_views_differ_by_epoch_example_and_view():
    x = np.repeat(images(1), 8, 0)
    one, other = (make(jax.random.key(0), epoch, jnp.arange(8), x, config=CONFIG) for epoch in (0, 1))
    flat = np.concatenate([np.asarray(views).reshape(16, -1) for views in (one, other)])
    assert len(np.unique(flat, axis=0)) == 32


def test_the_key_is_epoch_then_example_then_view():
    key = jax.random.key(9)
    expected = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key, 4), 17), 1)
    assert example_key(key, 4, 17, 1) == expected


@pytest.mark.parametrize("config", [CIFAR_VIEWS, IMAGENET_VIEWS])
def test_frequencies_and_ranges(config):
    draw = jax.jit(jax.vmap(lambda key: draw_view(key, 32, 32, config)))
    view = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(0), 4000)))
    for name in ("flip", "jitter", "gray", "blur"):
        assert getattr(view, name).mean() == pytest.approx(getattr(config, name), abs=0.03)
    np.testing.assert_allclose(view.factors.min(0), [0.6, 0.6, 0.6, -0.1], atol=0.01)
    np.testing.assert_allclose(view.factors.max(0), [1.4, 1.4, 1.4, 0.1], atol=0.01)
    assert np.all(np.sort(view.order, 1) == np.arange(4))
    _, counts = np.unique(view.order, axis=0, return_counts=True)
    assert len(counts) == 24
    assert counts.min() > 4000 / 24 * 0.6
    assert view.sigma.min() == pytest.approx(0.1, abs=0.01)
    assert view.sigma.max() == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(("method", "size"), [("padded", 16), ("resized", 12)])
def test_probe_views(method, size):
    x, ids, key = images(), jnp.arange(8), jax.random.key(0)
    views = jax.jit(lambda ids, x: probe_views(key, 0, ids, x, size=size, method=method))
    first = views(ids, x)
    assert first.shape == (8, size, size, 3)
    np.testing.assert_array_equal(views(ids[::-1], x[::-1]), first[::-1])
    assert np.any(first != jax.jit(lambda ids, x: probe_views(key, 1, ids, x, size=size, method=method))(ids, x))


def test_probe_views_check_their_arguments():
    with pytest.raises(ValueError, match="16"):
        probe_views(jax.random.key(0), 0, jnp.arange(2), images(2), size=12, method="padded")
    with pytest.raises(ValueError, match="squashed"):
        probe_views(jax.random.key(0), 0, jnp.arange(2), images(2), size=12, method="squashed")

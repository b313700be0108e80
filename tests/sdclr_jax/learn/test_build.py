"""What a config names has to be known, also where nobody has checked the config before."""

import pytest

from sdclr_jax.default_config import default_config
from sdclr_jax.learn.build import build_model, build_optimizer
from trainlib.core.errors import UserError


@pytest.mark.parametrize(
    ("key", "value", "build", "known"),
    [
        ("dtype", "float16", build_model, "float32, bfloat16"),
        ("optimizer", "adam", lambda config: build_optimizer(config, 10), "sgd, lars"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(key, value, build, known):
    config = default_config()
    config[key] = value
    with pytest.raises(UserError, match=f"config.{key} is '{value}'; known: {known}"):
        build(config)

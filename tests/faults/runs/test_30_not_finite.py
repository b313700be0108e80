"""Row 30: a loss or gradient that is not finite, from a learning rate far too large."""

import json

import numpy as np
import pytest

from trainlib.core.errors import UserError
from trainlib.run.loop import MetricWindow


@pytest.mark.parametrize(
    ("module", "more", "batch"),
    [
        ("vmnet_jax.train", ["--config.save_every=1"], "with scenes room_"),
        ("sdclr_jax.train", ["--config.save_every_epochs=1", "--config.warmup_epochs=0"], "with batch "),
    ],
)
def test_30_it_stops_with_step_quantity_and_batch_and_keeps_the_last_good_state(
    run, arguments, read_run, tmp_path, module, more, batch
):
    command = [*arguments[module], *more, "--config.learning_rate=1e30", f"--workdir={tmp_path}"]
    code, program = run(module, *command)
    assert code == 1
    message = next(line for line in program.err.splitlines() if line.startswith("error: step "))
    assert " is nan" in message or " is inf" in message
    assert batch in message
    assert "The last good checkpoint is kept. Lower config.learning_rate" in message
    assert "Traceback" not in program.err
    if not (tmp_path / "checkpoints").exists() or not list((tmp_path / "checkpoints").iterdir()):
        return
    for name, array in read_run(tmp_path)[0].items():
        assert np.isfinite(array).all(), name
    assert json.loads((tmp_path / "config.json").read_text())["learning_rate"] == 1e30


def test_30_a_gradient_alone_is_enough():
    window = MetricWindow("Lower it.")
    window.add(7, "scenes a, b", {"loss": 1.0, "gradient_norm": np.float32("inf")})
    with pytest.raises(UserError, match=r"step 7: gradient_norm is inf with scenes a, b\. The last good .* Lower it\."):
        window.notes()

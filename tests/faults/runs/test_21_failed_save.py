"""Row 21: a save that fails for another reason than a full disk. Saves are not in the background: each has ended when
the next step begins, and its failure ends the run with the step's number."""

import pytest

from trainlib.store.checkpoints import CheckpointStore
from trainlib.store.manifest import verify


@pytest.mark.parametrize("module", ["vmnet_jax.train", "sdclr_jax.train"])
def test_21_the_run_ends_with_the_step_that_was_not_saved(start, arguments, tmp_path, module):
    """Between two saves the folder of checkpoints is moved away and a file takes its place."""
    pause = {"pause_in": "trainlib.run.loop:TrainRun.finish", "calls": (3,)}
    program = start(module, *arguments[module], f"--workdir={tmp_path}", **pause)
    program.wait_for("pausing in TrainRun.finish")
    (tmp_path / "checkpoints").rename(tmp_path / "moved")
    (tmp_path / "checkpoints").write_text("")
    program.release(3)
    assert program.finish() == 1
    assert "error: the save of step 4 in" in program.err
    assert "Traceback" not in program.err
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["2"]
    verify(tmp_path / "moved" / "2")


def test_21_a_failure_of_the_storage_layer_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(path, tree):
        path.mkdir()
        (path / "half").write_bytes(b"x" * 1000)
        raise ValueError("OUT_OF_RANGE: failed writing")

    with CheckpointStore(tmp_path) as store:
        store.save(10, {"w": 1.0})
        monkeypatch.setattr(store._writer, "save", fail)
        with pytest.raises(Exception, match=r"save of step 20 .*failed writing"):
            store.save(20, {"w": 2.0}, retry_later=True)
        assert [path.name for path in tmp_path.iterdir()] == ["10"]

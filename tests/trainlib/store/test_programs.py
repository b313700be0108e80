"""Stored programs: traced once for each kind of arguments, by whichever process comes first, and checked when read."""

import concurrent.futures
import logging
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainlib.run import parallel
from trainlib.run.memory import step_memory
from trainlib.store import programs

X = np.arange(12, dtype=np.float32).reshape(4, 3) / 7


@pytest.fixture(autouse=True)
def cache(tmp_path):
    """An empty compilation cache; JAX takes the folder's name from its configuration at each compilation."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


def make_step(traced, about="a", scale=2.0):
    """A step that notes in `traced` how often it was made."""

    def make():
        traced.append(about)
        return jax.jit(lambda tree, x: {"y": jnp.tanh(x @ tree["w"]) * scale})

    return programs.StoredStep(make, about, describe=lambda tree, x: f"{len(x)} rows")


def arguments(width=2, rows=4):
    return {"w": np.full((3, width), 0.5, np.float32)}, X[:rows]


def stored(cache):
    return sorted((cache / "programs").glob("step-*.bin"))


def test_a_later_process_does_not_trace(caplog):
    caplog.set_level(logging.INFO)
    traced = []
    first = make_step(traced)
    y = first(*arguments())["y"]
    np.testing.assert_array_equal(y, first(*arguments())["y"])
    np.testing.assert_allclose(y, np.tanh(X @ arguments()[0]["w"]) * 2, rtol=1e-6)
    np.testing.assert_array_equal(make_step(traced)(*arguments())["y"], y)
    assert traced == ["a"]
    assert caplog.messages == ["Compiling 4 rows; this may take a minute, and is kept for the next time"]


def test_other_arguments_settings_versions_and_sources_are_traced_again(cache, monkeypatch):
    traced = []
    make_step(traced)(*arguments())
    make_step(traced)(*arguments(width=5))
    make_step(traced)(*arguments(rows=3))
    make_step(traced, "b")(*arguments())
    assert traced == ["a", "a", "a", "b"]
    version = programs.importlib.metadata.version
    with monkeypatch.context() as other:
        other.setattr(programs.importlib.metadata, "version", lambda name: version(name) + ".1")
        make_step(traced)(*arguments())
    with monkeypatch.context() as other:
        other.setattr(programs, "_sources", lambda: "other code")
        make_step(traced)(*arguments())
    with jax.enable_x64(True):
        make_step(traced)(*arguments())
    assert len(traced) == len(stored(cache)) == 7
    make_step(traced)(*arguments())
    assert len(traced) == 7


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "another", "unreadable"])
def test_what_is_not_whole_or_of_another_key_is_made_again(cache, damage):
    traced = []
    y = make_step(traced)(*arguments())["y"]
    (path,) = stored(cache)
    data = path.read_bytes()
    if damage == "flipped":
        path.write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])
    elif damage == "another":
        make_step([], "b", scale=3.0)(*arguments())
        (other,) = set(stored(cache)) - {path}
        other.rename(path)
    elif damage == "unreadable":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"")
    np.testing.assert_array_equal(make_step(traced)(*arguments())["y"], y)
    assert len(traced) == 2
    make_step(traced)(*arguments())
    assert len(traced) == (3 if damage == "unreadable" else 2)


def test_without_a_folder_nothing_is_kept(cache):
    jax.config.update("jax_compilation_cache_dir", None)
    traced = []
    for _ in range(2):
        make_step(traced)(*arguments())
    assert len(traced) == 2
    assert not stored(cache)


def test_only_the_newest_files_are_kept(cache, monkeypatch):
    monkeypatch.setattr(programs, "MOST_FILES", 3)
    for number in range(5):
        programs.write("step", str(number), bytes([number]))
    assert [programs.read("step", str(number)) for number in range(5)].count(None) == 2
    assert programs.read("step", "4") == b"\4"


def test_threads_share_one_trace():
    traced = []
    step = make_step(traced)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: np.asarray(step(*arguments())["y"]), range(16)))
    assert traced == ["a"]
    assert all(np.array_equal(result, results[0]) for result in results)


def test_a_call_does_not_wait_while_another_size_is_compiled():
    """The look-ahead of predictions compiles in a second thread."""
    compiling, finish = threading.Event(), threading.Event()

    def make():
        compiling.set()
        assert finish.wait(60)
        return jax.jit(lambda tree, x: x @ tree["w"])

    step = programs.StoredStep(make, "a", describe=lambda *_: "")
    finish.set()
    step(*arguments())
    finish.clear()
    compiling.clear()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        other = pool.submit(step, *arguments(width=5))
        assert compiling.wait(60)
        known = pool.submit(step, *arguments())
        try:
            assert known.result(60).shape == (4, 2)
            assert not other.done()
        finally:
            finish.set()
        assert other.result(60).shape == (4, 5)


def test_several_devices_and_the_memory_plan():
    devices = parallel.num_local_devices()

    def make():
        return parallel.pmap_step(lambda w, x: x @ w, in_axes=(None, 0), out_axes=0, local=True)

    w, x = parallel.to_devices(np.eye(3, dtype=np.float32)), parallel.stack([X + n for n in range(devices)])
    for _ in range(2):
        step = programs.StoredStep(make, "pmap", describe=lambda w, x: "a test")
        memory = step_memory(step, w, x)
        np.testing.assert_array_equal(step(w, x), np.stack([X + n for n in range(devices)]))
        assert memory.arguments >= 4 * (9 + 12)

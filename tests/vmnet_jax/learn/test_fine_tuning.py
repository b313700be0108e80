"""Weights of another run: what is read and taken of them, and a step that leaves the backbone alone."""

import functools
import json
import re

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from preprocess.labels.label_map import LabelMap, scannet20, write_label_map
from preprocess.scene.params import HierarchyParams
from trainlib.core.config import load_config_file
from trainlib.core.errors import CheckpointError, UserError
from trainlib.run.workdir import open_workdir
from trainlib.store.checkpoints import CheckpointStore
from vmnet_jax.commands import train
from vmnet_jax.learn.build import build_state
from vmnet_jax.learn.fine_tuning import initial_weights
from vmnet_jax.learn.restore import load_run, write_inputs
from vmnet_jax.learn.step import is_head


@functools.cache
def shapes_of(classes, **changes):
    """The shapes of a state; the network is traced once for all tests."""
    config = load_config_file("configs/vmnet_meshes.py:smoke")
    config.update(changes)
    return jax.eval_shape(lambda: build_state(config, classes))


def state_of(classes, fill, **changes):
    """A state whose arrays all hold `fill`."""
    return jax.tree.map(lambda leaf: np.full(leaf.shape, fill, leaf.dtype), shapes_of(classes, **changes))


def save_run(workdir, **changes):
    """The workdir of a run of 20 classes that ended after step 7 with twos everywhere."""
    config = load_config_file("configs/vmnet_meshes.py:smoke")
    config.update(changes)
    with open_workdir(workdir, config) as folder:
        folder.keep_config()
        with CheckpointStore(folder.checkpoints) as store:
            store.save(7, state_of(20, 2, **changes).replace(step=np.int32(7)))
    return workdir


@pytest.fixture
def run_of_20(tmp_path):
    return save_run(tmp_path / "old")


@pytest.mark.parametrize("classes", [20, 5])
def test_all_but_heads_of_other_classes_are_taken(run_of_20, classes):
    state = initial_weights(run_of_20, state_of(classes, 1))
    params = flatten_dict(state.params)
    for path, leaf in params.items():
        expected = 1 if is_head(path) and classes != 20 else 2
        assert np.all(leaf == expected), path
    assert sum(is_head(path) for path in params) == 4
    assert all(np.all(leaf == 2) for leaf in jax.tree.leaves(state.batch_stats))
    assert all(np.all(leaf == 1) for leaf in jax.tree.leaves((state.step, state.opt_state)))


def label_map(*names, first_id=1):
    return LabelMap(tuple(range(first_id, first_id + len(names))), names, ((0, 0, 0),) * len(names))


TWENTY = tuple(f"class {k}" for k in range(20))


@pytest.mark.parametrize(
    ("theirs", "ours", "kept"),
    [
        (label_map(*TWENTY), label_map(*TWENTY), True),
        (label_map(*TWENTY), label_map(*TWENTY, first_id=40), True),
        (label_map(*TWENTY), label_map(*TWENTY[1:], "class 20"), False),
        (label_map(*TWENTY), label_map(*TWENTY[::-1]), False),
        (None, label_map(*TWENTY), True),
        (label_map(*TWENTY), None, True),
    ],
    ids=["the same", "other ids", "other names", "another order", "theirs unknown", "ours unknown"],
)
def test_heads_are_taken_only_for_the_same_classes(run_of_20, caplog, theirs, ours, kept):
    """As many classes are not the same classes: name and order decide; ids are how the files spell them."""
    if theirs is not None:
        write_label_map(run_of_20 / "label_map.csv", theirs)
    with caplog.at_level("INFO"):
        state = initial_weights(run_of_20, state_of(20, 1), ours)
    for path, leaf in flatten_dict(state.params).items():
        assert np.all(leaf == (1 if is_head(path) and not kept else 2)), path
    said = "its weights but for the classifiers, whose classes are others (20 classes there, 20 here; the first"
    assert (said in caplog.text) is not kept


def test_a_network_without_running_statistics(tmp_path):
    state = initial_weights(save_run(tmp_path / "old", model="geodesic"), state_of(5, 1, model="geodesic"))
    params = flatten_dict(state.params)
    assert {path for path, leaf in params.items() if np.all(leaf == 1)} == {("head", "kernel"), ("head", "bias")}
    assert not state.batch_stats


def test_another_network_is_refused_with_a_table(run_of_20):
    with pytest.raises(UserError, match=r"of another shape[\s\S]*geodesic/level_0"):
        initial_weights(run_of_20, state_of(20, 1, geo_width=16))


@pytest.mark.parametrize("model", ["vmnet", "geodesic"])
def test_a_run_is_read_as_it_was_saved(tmp_path, model):
    workdir = save_run(tmp_path / "run", model=model)
    write_inputs(workdir, HierarchyParams().to_dict(), scannet20())
    run, saved = load_run(workdir), state_of(20, 2, model=model)
    assert run.step == 7
    weights = {"params": saved.params, "batch_stats": saved.batch_stats}
    assert list(run.variables) == list(weights)
    jax.tree.map(np.testing.assert_array_equal, run.variables, weights)


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"geo_width": 16}, r"params/geodesic/head/kernel: float32\[8, 20\], expected float32\[16, 20\]"),
        ({"model": "geodesic"}, "batch_stats/euclidean/decoder_0/block_0/norm/mean: .*, expected absent"),
    ],
)
def test_a_run_whose_config_is_of_another_network_is_refused_with_a_table(run_of_20, changes, row):
    write_inputs(run_of_20, HierarchyParams().to_dict(), scannet20())
    file = run_of_20 / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    beginning = f"the checkpoint {run_of_20 / 'checkpoints' / '7'} does not fit the state of this config:\n"
    with pytest.raises(CheckpointError, match=re.escape(beginning)) as found:
        load_run(run_of_20)
    assert re.search(row, str(found.value))


def test_heads_alone_learn(scene_folder, tmp_path):
    config = load_config_file("configs/vmnet_meshes.py:smoke")
    config.update(scenes=str(scene_folder), batch_size=jax.local_device_count(), num_steps=1, heads_only=True)
    start = build_state(config, 20)
    state = train.train_and_evaluate(config, tmp_path / "run")
    old, new = flatten_dict(start.params), flatten_dict(state.params)
    assert {path for path in old if not np.array_equal(old[path], new[path])} == {p for p in old if is_head(p)}
    jax.tree.map(np.testing.assert_array_equal, start.batch_stats, state.batch_stats)

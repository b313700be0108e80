"""Meshes are prepared one ahead, in order, in a thread that compiles for their sizes and ends with the prediction."""

import contextlib
import functools
import threading

import jax
import pytest
from ml_collections import ConfigDict

from preprocess.cli.sources import Source
from preprocess.labels.label_map import scannet20
from preprocess.scene.params import HierarchyParams
from tests.faults.meshes import sheet, write_mesh
from trainlib.run import parallel
from trainlib.store.programs import StoredStep
from vmnet_jax.learn.inference import pass_size
from vmnet_jax.learn.restore import TrainedRun
from vmnet_jax.prediction import cost_estimate, preparation
from vmnet_jax.prediction import predictor as predictor_module

LIMIT_S = 60
PARAMS = HierarchyParams(cells=(0.12, 0.25), voxel_size=0.1)


def always(one, other) -> bool:
    return True


def never(one, other) -> bool:
    return False


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("look-ahead")]


@pytest.mark.parametrize("may_overlap", [always, never, lambda one, other: other % 3 == 0])
def test_results_come_in_order(may_overlap):
    assert list(preparation.look_ahead(range(7), lambda item: item * item, may_overlap)) == [n * n for n in range(7)]
    assert list(preparation.look_ahead([], abs, may_overlap)) == []
    assert not threads()


def test_the_next_item_is_prepared_while_the_caller_works():
    begun = [threading.Event() for _ in range(3)]
    for place in preparation.look_ahead(range(3), lambda item: begun[item].set() or item, always):
        for event in begun[: place + 2]:
            assert event.wait(LIMIT_S), "the caller works, and the next item is not begun"
        assert not any(event.is_set() for event in begun[place + 2 :]), "more than one item ahead"


def test_items_that_may_not_overlap_wait_for_the_caller():
    order = []
    for item in preparation.look_ahead([5, 6, 7], lambda item: order.append(f"prepare {item}") or item, never):
        order.append(f"use {item}")
    assert order == ["prepare 5", "use 5", "prepare 6", "use 6", "prepare 7", "use 7"]


def test_an_error_is_raised_at_its_place_and_nothing_follows():
    begun, used = [], []

    def prepare(item):
        begun.append(item)
        return 1 // (item - 2)

    ready = preparation.look_ahead(range(5), prepare, always)
    with pytest.raises(ZeroDivisionError):
        used.extend(ready)
    assert used == [-1, -1]
    assert begun == [0, 1, 2]
    assert not threads()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_thread_ends_with_the_caller(error):
    begun, asked, ended = [], threading.Event(), []

    def prepare(item):
        begun.append(item)
        if item:
            assert asked.wait(LIMIT_S)
            ended.append(item)
        return item

    def use():
        with contextlib.closing(preparation.look_ahead(range(5), prepare, always)) as ready:
            for _ in ready:
                asked.set()
                raise error

    with pytest.raises(error):
        use()
    assert not threads()
    assert begun == [0, *ended]


def test_large_files_do_not_overlap(tmp_path, monkeypatch):
    sources = [Source(name, tmp_path / name) for name in ("a", "b", "gone")]
    for source, size in zip(sources, (600, 401)):
        source.path.write_bytes(bytes(size))
    for memory, fit in ((1001, True), (1000, False)):
        monkeypatch.setattr(preparation, "host_memory", lambda memory=memory: memory * preparation.BYTES_BY_FILE)
        assert preparation.both_fit(*sources[:2]) is fit
    assert preparation.both_fit(*sources[1:])


def read_out(variables, batch):
    """Instead of a network: the features of the voxels around each vertex, [V_0, F]."""
    table = batch.corners[0]
    return (batch.features[table.corners] * table.weights[..., None]).sum(1)


@pytest.fixture
def predictor(monkeypatch, tmp_path):
    """A predictor with `read_out`, which is compiled, in place of a network."""
    make = functools.partial(parallel.pmap_step, read_out, in_axes=(None, 0), out_axes=0, local=True)
    forward = StoredStep(make, str(tmp_path), describe=pass_size)
    monkeypatch.setattr(predictor_module, "network_forward", lambda *_: forward)
    config = ConfigDict({"features": ("rgb",), "rotation": "z", "seed": 0, "platform": "any"})
    return predictor_module.Predictor(TrainedRun(config, scannet20(), PARAMS, {"up": "z"}, "m", {}, 0))


@pytest.fixture
def sources(tmp_path):
    """Meshes of 25, 30 and 60 vertices a side, and a broken file in between: two sizes of programs."""
    found = []
    for name, side in (("a", 25), ("b", 60), ("broken", 0), ("c", 30), ("d", 60)):
        path = tmp_path / f"{name}.ply"
        if side:
            write_mesh(path, *sheet(side), labelled=False)
        else:
            path.write_text("ply\nno header")
        found.append(Source(name, path))
    return found


def test_meshes_and_errors_keep_their_places_and_each_size_is_compiled_once(predictor, sources, caplog):
    with caplog.at_level("INFO"):
        ready = list(preparation.prepared(sources, predictor, preparation.Reading()))
    assert [isinstance(found, str) for found in ready] == [False, False, True, False, False]
    assert str(sources[2].path) in ready[2]
    found = [one for one in ready if not isinstance(one, str)]
    assert [len(one.mesh.vertices) for one in found] == [625, 3600, 900, 3600]
    rungs = [one.plan.batches.buckets for one in found]
    assert rungs[0] == rungs[2] != rungs[1] == rungs[3]
    compiled = [record for record in caplog.records if record.getMessage().startswith("Compiling a pass of")]
    assert len(compiled) == 2
    assert all(record.threadName.startswith("look-ahead") for record in compiled)
    for one in found:
        assert predictor.run_plan(one.plan)[0].classes.shape == (len(one.mesh.vertices),)


def test_a_program_is_compiled_while_the_mesh_before_is_predicted(predictor, sources, monkeypatch, caplog):
    """The prediction of the first mesh ends only after the second one's program is there."""
    compiled, measure = [threading.Event(), threading.Event()], predictor.memory

    def memory(plan):
        needed = measure(plan)
        next(event for event in compiled if not event.is_set()).set()
        return needed

    monkeypatch.setattr(predictor, "memory", memory)
    with contextlib.closing(preparation.prepared(sources[:2], predictor, preparation.Reading())) as ready:
        first = next(ready)
        predictor.run_plan(first.plan, lambda: compiled[1].wait(LIMIT_S))
        assert compiled[1].is_set()
        second = next(ready)
    caplog.clear()
    with jax.log_compiles(), caplog.at_level("WARNING"):
        predictor.run_plan(second.plan)
    assert "Compiling" not in caplog.text


def test_estimates_know_nothing_of_compiling(predictor, sources, monkeypatch):
    """The clock is `kernels.host.jit.clock`, which stands still while kernels compile; a pass compiles afterwards."""
    given, now, build, plan = [], [100.0], preparation.build_scene, predictor.plan

    def slow_build(*arguments):
        now[0] += 2
        return build(*arguments)

    def slow_plan(*arguments):
        now[0] += 100
        return plan(*arguments)

    monkeypatch.setattr(preparation, "clock", lambda: now[0])
    monkeypatch.setattr(preparation, "build_scene", slow_build)
    monkeypatch.setattr(predictor, "plan", slow_plan)
    monkeypatch.setattr(
        preparation, "expect", lambda *_, **more: given.append(more) or cost_estimate.expect(*_, **more)
    )
    preparation.prepare(sources[0], predictor, preparation.Reading())
    assert [more["preparation_s"] for more in given] == [2]

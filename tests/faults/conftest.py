"""The mains as processes that a test can signal, tiny rooms, and small finished runs that several tests read."""

import json
import multiprocessing
import os
import pathlib
import runpy
import time

import jax
import numpy as np
import pytest

from preprocess.labels.label_map import scannet20, write_label_map
from preprocess.scene.build import build_scene
from preprocess.scene.params import HierarchyParams
from preprocess.scene.scene_file import write_scene
from preprocess.synthetic.room import make_room
from tests.faults.meshes import write_odd_meshes
from trainlib.store.checkpoints import CheckpointStore

SMALL_MAINS = str(pathlib.Path(__file__).with_name("small_mains.py"))
SERVER = multiprocessing.get_context("forkserver")
COMMANDS = ["vmnet_jax.commands.train", "vmnet_jax.commands.evaluate", "vmnet_jax.commands.predict"]
COMMANDS += ["sdclr_jax.commands.train", "sdclr_jax.commands.evaluate"]
SERVER.set_forkserver_preload([*COMMANDS, "trainlib.run.flags"])
LIMIT_S = 120  # for a run of seconds, a cold compile included


class Program:
    """A running main; its standard error and output are read from the files that it writes them to."""

    def __init__(self, folder: pathlib.Path, module: str, arguments: list, devices: int, **options):
        self._folder, self._out, self._err = folder, folder / "out", folder / "err"
        environment = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"]
        request = {"module": module, "arguments": [*map(str, arguments)], "environment": environment, **options}
        request |= {"out": str(self._out), "err": str(self._err)}
        self._process = SERVER.Process(
            target=runpy.run_path,
            args=(SMALL_MAINS,),
            kwargs={"init_globals": {"REQUEST": request}, "run_name": "__main__"},
        )
        self._process.start()

    @property
    def err(self) -> str:
        return self._err.read_text() if self._err.exists() else ""

    @property
    def out(self) -> str:
        return self._out.read_text() if self._out.exists() else ""

    def wait_for(self, text: str, timeout: float = LIMIT_S, or_end: bool = False) -> None:
        """Returns when standard error contains `text`; fails if the program hangs or, without `or_end`, ends before."""
        end = time.monotonic() + timeout
        while text not in self.err:
            ended = not self._process.is_alive()
            if ended and or_end:
                return
            if ended or time.monotonic() > end:
                raise AssertionError(f"never said {text!r}:\n{self.err[-3000:]}")
            time.sleep(0.01)

    def release(self, call: int = 1) -> None:
        """Ends the pause at this call of the function that it was started to pause in."""
        (self._folder / f"release-{call}").touch()

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        """Sends it, unless the program has ended."""
        if self._process.is_alive():
            os.kill(self.pid, number)

    def finish(self, timeout: float = LIMIT_S) -> int:
        """Exit code, once it has ended; negative for the signal that ended it."""
        self._process.join(timeout)
        hangs = self._process.is_alive()
        self.kill()
        assert not hangs, f"did not end:\n{self.err[-3000:]}"
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """start("vmnet_jax.train", *arguments, devices=1, ...) -> Program; further options as `small_mains.run_main`.

    The processes are forked from one that has imported everything and started no device.
    """
    programs = []

    def start_one(module, *arguments, devices=1, **options):
        programs.append(Program(tmp_path_factory.mktemp("output"), module, arguments, devices, **options))
        return programs[-1]

    yield start_one
    for program in programs:
        program.kill()


@pytest.fixture(scope="session")
def run(start):
    """run(...) as `start`, to the end -> (exit code, the ended Program)."""

    def run_one(*arguments, **options):
        program = start(*arguments, **options)
        return program.finish(), program

    return run_one


@pytest.fixture(scope="session")
def tiny_rooms(tmp_path_factory):
    """Three synthetic rooms of about 1,200 vertices at level 0, preprocessed: two to train on, one to validate."""
    folder = tmp_path_factory.mktemp("rooms")
    write_label_map(folder / "label_map.csv", scannet20())
    params = HierarchyParams(cells=(0.2, 0.4), voxel_size=0.2)
    for seed in range(3):
        scene = build_scene(f"room_{seed}", make_room(seed, 0.08), params, scannet20())
        write_scene(folder / f"{scene.name}.scene.npz", scene)
    return folder


@pytest.fixture(scope="session")
def vmnet_arguments(tiny_rooms):
    """Of `vmnet_jax.train`, without --workdir: eight steps, one scene each, a save every second, an evaluation at 4."""
    overrides = {"scenes": tiny_rooms, "num_steps": 8, "log_every": 3, "eval_every": 4, "keep_checkpoints": 3}
    return ["--config=configs/vmnet_meshes.py:smoke", *(f"--config.{k}={v}" for k, v in overrides.items())]


@pytest.fixture(scope="session")
def sdclr_arguments():
    """Of `sdclr_jax.train`, without --workdir: eight steps, two an epoch, a save at the end of each."""
    overrides = {"epochs": 4, "log_every": 3, "head_layers": 2, "projection_size": 16, "forgetting_every_epochs": 0}
    return ["--config=configs/sdclr_digits_lt.py:smoke", *(f"--config.{k}={v}" for k, v in overrides.items())]


@pytest.fixture(scope="session")
def arguments(vmnet_arguments, sdclr_arguments):
    """By module."""
    return {"vmnet_jax.train": vmnet_arguments, "sdclr_jax.train": sdclr_arguments}


@pytest.fixture(scope="session")
def finished(run, arguments, tmp_path_factory):
    """finished(module) -> workdir of its uninterrupted run, made once; tests only read it."""
    workdirs = {}

    def finished_run(module):
        if module not in workdirs:
            workdirs[module] = tmp_path_factory.mktemp(module)
            code, program = run(module, *arguments[module], f"--workdir={workdirs[module]}")
            assert code == 0, program.err
        return workdirs[module]

    return finished_run


def final_arrays(workdir) -> dict[str, np.ndarray]:
    """Every array of the newest checkpoint, by name; a damaged one raises."""
    with CheckpointStore(pathlib.Path(workdir) / "checkpoints") as store:
        tree, _ = store.read("last", strict=True)
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def metric_lines(workdir) -> list[dict]:
    """Lines of metrics.jsonl without their time."""
    lines = map(json.loads, (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


@pytest.fixture(scope="session")
def read_run():
    """read_run(workdir) -> (arrays of its newest checkpoint by name, lines of metrics.jsonl without their time)."""
    return lambda workdir: (final_arrays(workdir), metric_lines(workdir))


@pytest.fixture(scope="session")
def assert_same_run():
    """assert_same_run(a, b): two workdirs hold the same final state, bit for bit, and the same figures."""

    def compare(first, second):
        ours, theirs = final_arrays(first), final_arrays(second)
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            assert array.dtype == theirs[name].dtype, name
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)
        assert metric_lines(first) == metric_lines(second)

    return compare


@pytest.fixture(scope="session")
def odd_predictions(run, finished, tmp_path_factory):
    """(meshes, exit code, ended Program, output folder) of predicting a folder of odd meshes with --repair."""
    folder = tmp_path_factory.mktemp("odd")
    meshes = write_odd_meshes(folder / "meshes")
    output = folder / "out"
    where = [f"--workdir={finished('vmnet_jax.train')}", f"--mesh={folder / 'meshes'}", f"--output={output}"]
    code, program = run("vmnet_jax.predict", *where, "--repair")
    return meshes, code, program, output

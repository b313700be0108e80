"""From a command to its result: processor seconds of whole commands, against an earlier version of the project.

BENCH_BEFORE names a checkout of that version with its environment in `.venv`. Both run the same commands on the same
files, in turn. Where it is not set, its stored seconds are quoted. The start of a self-supervised training is compared
with importing torch and lightly, if LIGHTLY names a Python that has them.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

from benchmarks import peers
from benchmarks.harness.pairs import BenchmarkError, Workers

FOLDER = peers.ROOT / ".bench-data" / "commands"
SYSTEMS = {
    "vmnet_jax": "baseline convert curve evaluate exemplars predict study submit tfds_prepare train",
    "sdclr_jax": "convert curve evaluate exemplars grad_cam study table tfds_prepare train",
    "preprocess": "check rooms scenes",
}
PROGRAMS = [f"{package}.{name}" for package, names in SYSTEMS.items() for name in names.split()]
MESHES = 3


class Version(NamedTuple):
    """A checkout and the Python that runs it."""

    root: pathlib.Path
    python: pathlib.Path


class Inputs(NamedTuple):
    """Files that the commands read."""

    meshes: pathlib.Path  # rooms of about 23,000 vertices, much alike in size
    vmnet: pathlib.Path  # a training run of full width on them
    sdclr: pathlib.Path  # one on the digits

    @property
    def mesh(self) -> pathlib.Path:
        """The first room."""
        return self.meshes / "room_0000.ply"


def ours() -> Version:
    """This checkout."""
    return Version(peers.ROOT, pathlib.Path(sys.executable))


def before() -> Version | None:
    """The checkout that BENCH_BEFORE names."""
    named = os.environ.get("BENCH_BEFORE")
    if not named:
        return None
    root = pathlib.Path(named).resolve()
    python = root / ".venv" / "bin" / "python"
    if not python.exists():
        raise BenchmarkError(f"BENCH_BEFORE={named} has no .venv/bin/python; run make .venv there")
    return Version(root, python)


def run(version: Version, arguments: Sequence[str], says: str = "", **environment: str) -> float:
    """Processor seconds, user and system, of `python ARGUMENTS` in a checkout.

    Raises BenchmarkError if it fails, or, with `says`, if it does not fail with that text.
    """
    command = [str(version.python), *map(str, arguments)]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=version.root, env=kept | environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
        if bool(process.returncode) != bool(says) or says not in text:
            raise BenchmarkError(f"{' '.join(command)}: {text[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def prepare_files() -> Inputs:
    """Makes the rooms and trains a step of each system on the first call."""
    inputs = Inputs(FOLDER / "meshes", FOLDER / "vmnet", FOLDER / "sdclr")
    names = inputs.meshes / "room.txt"
    rooms, scenes = ["--count", str(MESHES), "--seed=1000", "--prefix=room"], FOLDER / "scenes"
    if not names.is_file():
        run(ours(), ["-m", "preprocess.rooms", f"--output={inputs.meshes}", *rooms])
        cells = ["--cells=0.08,0.16", "--voxel_size=0.08"]
        run(ours(), ["-m", "preprocess.scenes", f"--input={inputs.meshes}", f"--output={scenes}", *cells])
    if not (inputs.vmnet / "checkpoints").is_dir():
        run(ours(), vmnet_training(inputs.vmnet))
    if not (inputs.sdclr / "checkpoints").is_dir():
        run(ours(), sdclr_training(inputs.sdclr))
        run(ours(), ["-m", "sdclr_jax.evaluate", f"--workdir={inputs.sdclr}"])
    return inputs


def vmnet_training(workdir: pathlib.Path) -> list[str]:
    """Arguments of a training of one step, saved."""
    lists = [f"--config.{name}_list={FOLDER / 'meshes' / 'room.txt'}" for name in ("train", "val")]
    how = [f"--config.scenes={FOLDER / 'scenes'}", *lists, "--config.num_steps=1", "--config.batch_size=1"]
    return ["-m", "vmnet_jax.train", "--config=configs/vmnet_rooms.py", f"--workdir={workdir}", *how]


def sdclr_training(workdir: pathlib.Path) -> list[str]:
    """Arguments of a short training."""
    return ["-m", "sdclr_jax.train", "--config=configs/sdclr_digits_lt.py:sdclr,smoke", f"--workdir={workdir}"]


def predict(inputs: Inputs, output: pathlib.Path, source: pathlib.Path) -> list[str]:
    """Arguments of a prediction."""
    return ["-m", "vmnet_jax.predict", f"--workdir={inputs.vmnet}", f"--mesh={source}", f"--output={output}"]


Measurement = Callable[[Version, Inputs, pathlib.Path], float]
"""(version, inputs, an empty folder) -> processor seconds."""


def slowest_help(version: Version, inputs: Inputs, folder: pathlib.Path) -> float:
    """Of all programs, the one whose `--help` takes longest."""
    return max(run(version, ["-m", program, "--help"]) for program in PROGRAMS)


def missing_mesh(version: Version, inputs: Inputs, folder: pathlib.Path) -> float:
    """A prediction of a file that is not there; it fails, as it should."""
    return run(version, predict(inputs, folder / "out", folder / "absent.ply"), says="there is no such file")


def warm_prediction(version: Version, inputs: Inputs, folder: pathlib.Path) -> float:
    """One mesh, everything compiled and stored by the first call."""
    return run(version, predict(inputs, folder, inputs.mesh))


def further_mesh(version: Version, inputs: Inputs, folder: pathlib.Path) -> float:
    """What each further mesh of a folder adds."""
    all_of_them = run(version, predict(inputs, folder / "all", inputs.meshes))
    return (all_of_them - run(version, predict(inputs, folder / "one", inputs.mesh))) / (MESHES - 1)


def cold_prediction(version: Version, inputs: Inputs, folder: pathlib.Path) -> float:
    """One mesh with empty caches, as after installing."""
    caches = {"NUMBA_CACHE_DIR": str(folder / "numba"), "JAX_COMPILATION_CACHE_DIR": str(folder / "jax")}
    return run(version, predict(inputs, folder / "out", inputs.mesh), **caches)


def first_vmnet_step(version: Version, inputs: Inputs, folder: pathlib.Path) -> float:
    """A whole training of one step with its save; the compiled step is stored."""
    return run(version, vmnet_training(folder / "run"))


def sdclr_evaluation(version: Version, inputs: Inputs, folder: pathlib.Path) -> float:
    """Linear, few-shot and nearest-neighbour evaluation of a short run."""
    return run(version, ["-m", "sdclr_jax.evaluate", f"--workdir={inputs.sdclr}"])


def sdclr_table(version: Version, inputs: Inputs, folder: pathlib.Path) -> float:
    """The table of one run."""
    return run(version, ["-m", "sdclr_jax.table", str(inputs.sdclr), f"--output={folder}"])


def sdclr_curve(version: Version, inputs: Inputs, folder: pathlib.Path) -> float:
    """The training curve of one run."""
    output = f"--output={folder / 'curve.png'}"
    return run(version, ["-m", "sdclr_jax.curve", str(inputs.sdclr), "--kind=training", output])


def training_imports(version: Version, inputs: Inputs, folder: pathlib.Path) -> float:
    """All that an SDCLR training imports before its first image is read."""
    return run(version, ["-c", "import jax, optax, flax.linen, orbax.checkpoint, sdclr_jax.train"])


def lightly_imports(version: Version, inputs: Inputs, folder: pathlib.Path) -> float:
    """The same for a script with lightly."""
    return run(version, ["-c", "import torch, lightly, lightly.loss, lightly.transforms"])


@dataclass(frozen=True)
class CommandRow:
    """Processor seconds of a command, of this version and of the version before or another program, in turn.

    Attributes:
        name: what is done.
        work: one run of it.
        quoted: stored seconds of the other side, taken in one run with the project's; None if it must be run.
        most: seconds that it may take.
        theirs: the other program's work, instead of the version before.
        rounds: turns.
    """

    name: str
    work: Measurement
    _: KW_ONLY
    quoted: float | None
    most: float | None = None
    theirs: Measurement | None = None
    rounds: int = 3

    @property
    def peer(self) -> str:
        """Who it is compared with."""
        return "the version before" if self.theirs is None else "torch and lightly"

    def measure(self, workers: Workers, data: str, rounds: int | None = None) -> list[dict]:
        """One record; the first turn fills the caches and does not count."""
        inputs, rounds = prepare_files(), rounds or self.rounds
        sides = [(ours(), self.work)]
        if self.theirs is not None and (named := os.environ.get("LIGHTLY")):
            sides.append((Version(peers.ROOT, pathlib.Path(named)), self.theirs))
        elif self.theirs is None and (version := before()):
            sides.append((version, self.work))
        if len(sides) == 1 and self.quoted is None:
            raise BenchmarkError(f"{self.name}: no stored seconds of {self.peer}; set BENCH_BEFORE or LIGHTLY")
        seconds: list[list[float]] = [[] for _ in sides]
        for turn in range(rounds + 1):
            for (version, work), found in zip(sides, seconds):
                with tempfile.TemporaryDirectory() as folder:
                    found.extend([work(version, inputs, pathlib.Path(folder))] if turn else [])
                    if not turn and work is not cold_prediction:
                        work(version, inputs, pathlib.Path(folder))
        medians = [statistics.median(found) for found in seconds]
        theirs = medians[1] if len(sides) == 2 else self.quoted
        record = {"row": self.name, "peer": self.peer, "rounds": rounds, "kind": "command", "unit": "cpu s"}
        record |= {"ours": medians[0], "theirs": theirs, "ratio": theirs / medians[0], "quoted": len(sides) == 1}
        bar = None if self.most is None else f"{self.most:g} s"
        met = None if self.most is None else medians[0] <= self.most
        return [record | {"versions": {}, "notes": {}, "required": bar, "aim": None, "met": met}]


ROWS = (
    CommandRow("the slowest --help of all programs", slowest_help, quoted=3.34, most=1, rounds=1),
    CommandRow("vmnet_jax.predict of a file that is not there", missing_mesh, quoted=2.61, most=1),
    CommandRow("vmnet_jax.predict, 23,000 vertices, warm", warm_prediction, quoted=9.4, most=4),
    CommandRow("vmnet_jax.predict, each further mesh", further_mesh, quoted=2.62, most=1.5),
    CommandRow("vmnet_jax.predict, cold", cold_prediction, quoted=70.5, rounds=1),
    CommandRow("vmnet_jax.train to its first step, warm", first_vmnet_step, quoted=35.1),
    CommandRow("sdclr_jax.evaluate of a short run, warm", sdclr_evaluation, quoted=None),
    CommandRow("sdclr_jax.table of a run", sdclr_table, quoted=None, most=4),
    CommandRow("sdclr_jax.curve of a run", sdclr_curve, quoted=None, most=4),
    CommandRow("imports of a self-supervised training", training_imports, quoted=None, theirs=lightly_imports),
)

"""A study: runs of several variants with several seeds, one after the other, and the table of their results.

A run is a training and, if the training does not evaluate, an evaluation, in their own processes and in
WORKDIR/VARIANT/seed_S. Finished runs are skipped and an unfinished one resumes, so the same command continues an
interrupted study.
"""

import argparse
import json
import logging
import math
import pathlib
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from trainlib.analysis.study_table import Result, format_table, write_table
from trainlib.core import cli
from trainlib.core.config import load_config_file
from trainlib.core.errors import Stopped, UsageError, UserError
from trainlib.core.files import write_atomic, write_json
from trainlib.core.outputs import require_folder
from trainlib.run.signals import STOPPED, StopRequest

RESULT, SPENT = "result.json", "spent.json"
POLL_S = 0.2
LAST_LINES = 5  # of the log of a run that failed

_log = logging.getLogger(__name__)


class StudyTarget(NamedTuple):
    """What the studies of a package run.

    Attributes:
        train: module of the training main.
        evaluate: module of the evaluation main; None where the training evaluates.
        read: workdir of a run -> its figures by column, in %.
        check: raises UserError for a config that the training would refuse.
    """

    train: str
    evaluate: str | None
    read: Callable[[pathlib.Path], Mapping[str, float]]
    check: Callable[[ConfigDict], None] = lambda config: None


class StudyRun(NamedTuple):
    """A variant with a seed: its folder, its config file with words, and the keys that it sets, "KEY=VALUE"."""

    variant: str
    seed: int
    workdir: pathlib.Path
    config: str
    settings: tuple[str, ...]

    @property
    def name(self) -> str:
        """The run as "VARIANT, seed S"."""
        return f"{self.variant}, seed {self.seed}"

    def commands(self, system: StudyTarget) -> list[list[str]]:
        """Training and evaluation."""
        keys = [f"--config.{setting}" for setting in self.settings]
        parts = [[system.train, f"--config={self.config}", *keys]]
        parts += [[system.evaluate]] if system.evaluate else []
        return [[sys.executable, "-m", *part, f"--workdir={self.workdir}"] for part in parts]

    def result(self) -> Result | None:
        """The result of a finished run; None for others. Raises UserError if its settings were different."""
        file = self.workdir / RESULT
        if not file.is_file():
            return None
        content = _read_json(file)
        if content.pop("run") != [self.config, *self.settings]:
            raise UserError(
                f"{self.workdir} was run with other settings than the study has now; delete that folder, or choose "
                "another --workdir"
            )
        return Result(self.variant, self.seed, **content)


def plan_runs(
    study: ConfigDict, workdir: pathlib.Path, check: Callable[[ConfigDict], None] = lambda config: None
) -> list[StudyRun]:
    """All variants with the first seed, then all with the next.

    Args:
        study: `title`, `seeds`, and `variants`: (name, config file with words, settings "KEY=VALUE"), each with
            "{seed}" where the seed goes.
        check: see `StudyTarget`.

    Raises:
        UsageError: it is not a study, or files, words or keys do not exist.
        UserError: with the variant's name, if settings are out of their range.
    """
    _check(study)
    runs = []
    for seed in study.seeds:
        for variant, template, templates in study.variants:
            config, *settings = (text.replace("{seed}", str(seed)) for text in (template, *templates))
            loaded = load_config_file(config, settings)
            try:
                check(loaded)
            except UserError as error:
                raise UserError(f"variant {variant!r}: {error}") from None
            if len(study.seeds) > 1 and "{seed}" not in "".join((template, *templates)):
                raise UsageError(
                    f'variant {variant!r} is the same for every seed: write "{{seed}}" where the seed goes'
                )
            runs.append(StudyRun(variant, seed, workdir / variant / f"seed_{seed}", config, tuple(settings)))
    if len({run.workdir for run in runs}) < len(runs):
        raise UsageError("the study has a variant or a seed twice")
    return runs


def _check(study: ConfigDict) -> None:
    """Raises UsageError if title, seeds or variants are missing or malformed."""
    missing = [key for key in ("title", "seeds", "variants") if key not in study]
    if missing:
        raise UsageError(f"this config is not a study: it has no {', '.join(missing)}")
    seeds = study.seeds
    if not isinstance(seeds, tuple | list) or not seeds or not all(isinstance(seed, int) for seed in seeds):
        raise UsageError(f"seeds is {seeds!r}; it must be whole numbers such as (0, 1, 2)")
    if not isinstance(study.variants, tuple | list) or not study.variants:
        raise UsageError("the study has no variants")
    for variant in study.variants:
        is_form = isinstance(variant, tuple | list) and len(variant) == 3 and isinstance(variant[2], tuple | list)
        if not is_form or not all(isinstance(text, str) for text in (*variant[:2], *variant[2])):
            form = '("name", "configs/NAME.py:words", ("KEY=VALUE", ...))'
            raise UsageError(f"variant {variant!r} is not of the form {form}")
        if variant[0] in ("", ".", "..") or pathlib.Path(variant[0]).name != variant[0]:
            raise UsageError(f"variant {variant[0]!r} cannot be the name of a folder")


def run_study(
    study: ConfigDict, workdir: str | pathlib.Path, system: StudyTarget, max_seconds: float | None = None
) -> list[Result]:
    """Does the runs that are not finished and writes table.md, table.json and table.png into `workdir` after each.

    Returns the results of all runs. Raises Stopped, with the runs that are left, after a signal or `max_seconds`: the
    running training saves and resumes the next time. Raises UserError if a run fails.
    """
    runs = plan_runs(study, pathlib.Path(workdir), system.check)
    workdir = require_folder(workdir, "--workdir")
    deadline = time.monotonic() + max_seconds if max_seconds else None
    with StopRequest() as stop:

        def is_over() -> bool:
            return stop.requested or (deadline is not None and time.monotonic() >= deadline)

        for run in runs:
            if run.result() is None:
                _log.info("%s: %s", run.name, run.workdir)
                if is_over() or not _do(run, system, is_over):
                    left = [run.name for run in runs if run.result() is None]
                    raise Stopped(f"{len(left)} of {len(runs)} runs are left: {'; '.join(left)}")
                write_table(workdir, study, _results(runs))
    write_table(workdir, study, _results(runs))
    return _results(runs)


def _results(runs: Sequence[StudyRun]) -> list[Result]:
    return [result for run in runs if (result := run.result()) is not None]


def _do(run: StudyRun, system: StudyTarget, is_over: Callable[[], bool]) -> bool:
    """Trains and evaluates; False where it was stopped."""
    run.workdir.mkdir(parents=True, exist_ok=True)
    log = run.workdir / "log.txt"
    for command in run.commands(system):
        began, before = time.monotonic(), _children_s()
        status = _call(command, log, is_over)
        spent = _add_spent(run.workdir / SPENT, time.monotonic() - began, _children_s() - before)
        if status == STOPPED or (status == -signal.SIGTERM and is_over()):
            return False
        if status:
            tail = "\n".join(log.read_text(errors="replace").strip().splitlines()[-LAST_LINES:])
            raise UserError(f"{run.name} ended with status {status}; {log} ends:\n{tail}")
    figures = dict(system.read(run.workdir))
    plain = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    write_json(run.workdir / RESULT, {"run": [run.config, *run.settings], "figures": plain, **spent})
    shown = "  ".join(f"{name} {value:.1f}" for name, value in figures.items())
    _log.info("%s: %s  (%.0f s, %.0f s of processor time)", run.name, shown, spent["wall_s"], spent["cpu_s"])
    return True


def _call(command: list[str], log: pathlib.Path, is_over: Callable[[], bool]) -> int:
    """Runs a program to its end, which it is asked for once `is_over`; returns its exit status."""
    with open(log, "ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        asked = False
        while process.poll() is None:
            if is_over() and not asked:
                process.terminate()
                asked = True
            time.sleep(POLL_S)
    return process.returncode


def _read_json(file: pathlib.Path) -> dict:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); delete its folder, and the run is done again") from error


def _children_s() -> float:
    """Processor time of all ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _add_spent(file: pathlib.Path, wall_s: float, cpu_s: float) -> dict[str, float]:
    """The time of all processes of a run so far, interrupted ones too."""
    before = _read_json(file) if file.is_file() else {}
    spent = {"wall_s": before.get("wall_s", 0.0) + wall_s, "cpu_s": before.get("cpu_s", 0.0) + cpu_s}
    write_atomic(file, json.dumps(spent) + "\n")
    return spent


def run_main(system: StudyTarget, description: str, prog: str) -> None:
    """The command line of a package's studies; leaves the process with one of the exit codes of `cli.exit_code`."""
    parser = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="configs/study_NAME.py, with words after a colon")
    parser.add_argument("--workdir", help="folder of the runs and the table; default: runs/study_NAME")
    parser.add_argument("--max_seconds", type=cli.positive, help="stop after this time; the same command goes on")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")

    def main(arguments: argparse.Namespace) -> None:
        workdir = arguments.workdir or pathlib.Path("runs", pathlib.Path(arguments.config.partition(":")[0]).stem)
        study = load_config_file(arguments.config)
        print(format_table(study, run_study(study, workdir, system, arguments.max_seconds)))
        print(f"Table and picture: {workdir}")

    def run() -> int:
        arguments = cli.parse(parser)
        cli.set_up_logging()
        return cli.exit_code(lambda: main(arguments), arguments.debug)

    cli.run(run)

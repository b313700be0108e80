"""A study: runs of several variants with several seeds, one after the other, and the table of their results.

A run is a training and, if the training does not evaluate, an evaluation, in their own processes and in
WORKDIR/VARIANT/seed_S. Finished runs are skipped and an unfinished one resumes, so the same command continues an
interrupted study. The table is Markdown, JSON and a picture: mean and sample deviation over the seeds of a variant.
"""

import argparse
import json
import logging
import math
import pathlib
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from ml_collections import ConfigDict

from trainlib.analysis.study_plan import RESULT, Result, StudyRun, StudyTarget, plan_runs, read_json
from trainlib.core import cli
from trainlib.core.config import load_config_file
from trainlib.core.errors import Stopped, UserError
from trainlib.core.files import write_atomic, write_json
from trainlib.core.outputs import require_folder
from trainlib.run.signals import STOPPED, StopRequest

SPENT = "spent.json"
POLL_S = 0.2
LAST_LINES = 5  # of the log of a run that failed

_log = logging.getLogger(__name__)


def run_study(
    study: ConfigDict, workdir: str | pathlib.Path, system: StudyTarget, max_seconds: float | None = None
) -> list[Result]:
    """Does the runs that are not finished and writes table.md, table.json and table.png into `workdir` after each.

    Returns the results of all runs. Raises Stopped, with the runs that are left, after a signal or `max_seconds`: the
    running training saves and resumes the next time. Raises UserError if a run fails.
    """
    runs = plan_runs(study, pathlib.Path(workdir), system.check)
    workdir = require_folder(workdir, "--workdir")

    from trainlib.analysis.study_table import write_table

    cli.imported()
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


def _children_s() -> float:
    """Processor time of all ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _add_spent(file: pathlib.Path, wall_s: float, cpu_s: float) -> dict[str, float]:
    """The time of all processes of a run so far, interrupted ones too."""
    before = read_json(file) if file.is_file() else {}
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
    parser.add_argument("--max_seconds", type=cli.positive, help="stop after this time; the same command resumes")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")

    def main(arguments: argparse.Namespace) -> None:
        workdir = arguments.workdir or pathlib.Path("runs", pathlib.Path(arguments.config.partition(":")[0]).stem)
        study = load_config_file(arguments.config)
        results = run_study(study, workdir, system, arguments.max_seconds)

        from trainlib.analysis.study_table import format_table

        print(format_table(study, results))
        print(f"Table and picture: {workdir}")

    def run() -> int:
        arguments = cli.parse(parser)
        cli.set_up_logging()
        return cli.exit_code(lambda: main(arguments), arguments.debug)

    cli.run(run)

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
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from trainlib.analysis.plots import save_figure
from trainlib.core import cli
from trainlib.core.config import load_config_file
from trainlib.core.errors import Stopped, UsageError, UserError
from trainlib.core.files import write_atomic, write_json
from trainlib.core.outputs import require_folder
from trainlib.run.signals import STOPPED, StopRequest

RESULT, SPENT = "result.json", "spent.json"
POLL_S = 0.2
SPREAD = "After ±: the sample deviation (n - 1) over the seeds."
NOTHING = "–"
_PANELS_ACROSS = 4
LAST_LINES = 5  # of the log of a run that failed

_log = logging.getLogger(__name__)


class Result(NamedTuple):
    """One run: figures by column in % (None if not a number), and its seconds on the clock and of processor time."""

    variant: str
    seed: int
    figures: Mapping[str, float | None]
    wall_s: float
    cpu_s: float


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


def by_variant(study: ConfigDict, results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each variant, in the study's order, by seed; a list may be empty."""
    return {name: [result for result in results if result.variant == name] for name, *_ in study.variants}


def _columns(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(column for result in results for column in result.figures))


def _values(results: Sequence[Result], column: str) -> np.ndarray:
    """float [runs], NaN for what is not a number."""
    return np.array([result.figures[column] for result in results], np.float64)


def mean(values: np.ndarray) -> float | None:
    """Mean of `values` [N]; None if a value is not a number."""
    return _finite(values.mean())


def deviation(values: np.ndarray) -> float | None:
    """Sample deviation (divided by N - 1) of `values` [N]; None for N < 2, or if a value is not a number."""
    return _finite(values.std(ddof=1)) if len(values) > 1 else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def format_table(study: ConfigDict, results: Sequence[Result]) -> str:
    """Markdown: mean ± sample deviation by variant and column, the published figures where the study has them."""
    columns, paper = _columns(results), study.get("paper")
    head = ["Variant", "Seeds", *columns, *([paper.title] if paper else []), "Wall s", "CPU s"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for variant, runs in by_variant(study, results).items():
        cells, seconds = [NOTHING] * len(columns), [NOTHING] * 2
        if runs:
            cells = [_cell(_values(runs, column)) for column in columns]
            seconds = [f"{value:.0f}" for value in np.mean([(run.wall_s, run.cpu_s) for run in runs], axis=0)]
        if paper:
            published = paper.figures.get(variant)
            cells.append(NOTHING if published is None else f"{published:.1f}")
        lines.append("| " + " | ".join([variant, str(len(runs)), *cells, *seconds]) + " |")
    return "\n".join(lines) + "\n"


def _cell(values: np.ndarray) -> str:
    centre, spread = mean(values), deviation(values)
    return NOTHING if centre is None else f"{centre:.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def as_json(study: ConfigDict, results: Sequence[Result]) -> list[dict]:
    """The rows with mean, sample deviation and the value of every run; None for what is not a number."""
    rows = []
    for variant, runs in by_variant(study, results).items():
        entry = {"variant": variant, "seeds": [run.seed for run in runs]}
        for column in _columns(runs):
            values = _values(runs, column)
            numbers = {"mean": mean(values), "deviation": deviation(values)}
            entry[column] = numbers | {"values": list(map(_finite, values))}
        rows.append(entry | {"wall_s": [run.wall_s for run in runs], "cpu_s": [run.cpu_s for run in runs]})
    return rows


def draw(path: pathlib.Path, study: ConfigDict, results: Sequence[Result]) -> None:
    """Bars with their values, a panel for each column, four in a row; whiskers are sample deviations."""
    rows = {variant: runs for variant, runs in by_variant(study, results).items() if runs}
    columns = _columns(results)
    across, down = min(len(columns), _PANELS_ACROSS), -(-len(columns) // _PANELS_ACROSS)
    figure = Figure(figsize=(1.5 + 2.6 * across, 0.5 + (0.9 + 0.32 * len(rows)) * down), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for axes in panels[len(columns) :]:
        axes.set_axis_off()
    for axes, column in zip(panels, columns):
        values = [_values(runs, column) for runs in rows.values()]
        means, spreads = (np.array([of(v) or 0 for v in values]) for of in (mean, deviation))
        bars = axes.barh(range(len(rows)), means, xerr=spreads, capsize=2, color="C0", alpha=0.7)
        axes.bar_label(bars, list(map(_cell, values)), padding=3, fontsize=7)
        axes.set(title=column, xlabel="%", xlim=(0, 1.45 * max((means + spreads).max(), 1)))
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 100])
        axes.set_yticks(range(len(rows)), rows)
    figure.axes[0].invert_yaxis()
    figure.suptitle(study.title)
    save_figure(figure, path)


def write_table(folder: pathlib.Path, study: ConfigDict, results: Sequence[Result]) -> None:
    """Writes table.md, table.json and table.png into the folder; nothing without a result."""
    if not results:
        return
    repeated = len({result.seed for result in results}) > 1
    write_atomic(folder / "table.md", format_table(study, results) + (f"\n{SPREAD}\n" if repeated else ""))
    write_json(folder / "table.json", as_json(study, results))
    draw(folder / "table.png", study, results)


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
        print(format_table(study, run_study(study, workdir, system, arguments.max_seconds)))
        print(f"Table and picture: {workdir}")

    def run() -> int:
        arguments = cli.parse(parser)
        cli.set_up_logging()
        return cli.exit_code(lambda: main(arguments), arguments.debug)

    cli.run(run)

"""Rows of the tables: evaluated runs of the same experiment, with the mean and deviation of their figures."""

import itertools
import json
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.default_config import MARKS, is_pruned
from sdclr_jax.probe.balancedness import group_classes, weak_figures, without_nan
from sdclr_jax.report.evaluation import COLUMNS, REPORT
from trainlib.core.errors import UserError
from trainlib.run.workdir import load_config, require_settings

HEADINGS = {"many": "Many ↑", "medium": "Medium ↑", "few": "Few ↑", "std": "Std ↓", "all": "All ↑"}
HEADINGS["class_std"] = "Class std ↓"  # over all classes, where Std is over the three groups
DEVIATIONS = "Std and the number after ± are population deviations (n), as published"
REPEATED = ("seed", "split")
IRRELEVANT = {"platform", "data_path", "loader_threads", "feature_batch_size", "probe_limit", "keep_checkpoints"}
IRRELEVANT |= {"log_every", "forgetting_every_epochs", "save_every_epochs"}


class EvaluatedRun(NamedTuple):
    """One evaluated run: its folder, its config, and the report of its newest evaluated step."""

    path: pathlib.Path
    config: ConfigDict
    report: dict


class TableRow(NamedTuple):
    """Runs of the same experiment, by split and seed: the method trained on the subset "D_i" or "D_b" of a data set.

    A note in `method` distinguishes rows that would have the same name.
    """

    dataset: str
    subset: str
    method: str
    runs: list[EvaluatedRun]

    def about(self) -> dict:
        """What the row is, as JSON values."""
        runs = [str(run.path) for run in self.runs]
        return {"dataset": self.dataset, "subset": self.subset, "method": self.method, "runs": runs}

    def figures(self, protocol: str) -> dict[str, dict] | None:
        """By column of `HEADINGS` the `mean`, population `deviation` and `values` of the runs, in %, or None.

        Runs without a figure (of a group without a class or without a test image) have the value None and do not count
        in mean and deviation. None if not every run was evaluated by the protocol.
        """
        if any(protocol not in run.report for run in self.runs):
            return None
        lines = []
        for entry in (run.report[protocol] for run in self.runs):
            classes = [share for share in entry["classes"] if share is not None]
            lines.append([*(entry[column] for column in COLUMNS), np.std(classes) if classes else None])
        return dict(zip(HEADINGS, map(_figure, 100 * np.array(lines, np.float64).T)))

    def weak(self) -> list[str]:
        """What rests on few test images in some run, see `balancedness.weak_figures`; nothing of old reports."""
        lines = []
        for path, config, report in self.runs:
            if "test_counts" in report:
                groups = group_classes(config.groups, np.array(report["class_counts"]))
                found = weak_figures(np.array(report["test_counts"]), groups, report["class_names"])
                lines += [f"{path}: {line}" for line in found]
        return lines


def _figure(values: np.ndarray) -> dict:
    known = values[~np.isnan(values)]
    mean, deviation = (float(known.mean()), float(known.std())) if len(known) else (None, None)
    return {"mean": mean, "deviation": deviation, "values": without_nan(values)}


def read_run(path: str | pathlib.Path) -> EvaluatedRun:
    """Raises UserError if the folder is not a run or was not evaluated."""
    path = pathlib.Path(path)
    config = load_config(path)
    require_settings(config, MARKS, f"the run in {path}", "sdclr_jax")
    reports = {int(file.parent.name.removeprefix("step_")): file for file in path.glob(f"eval/step_*/{REPORT}")}
    if not reports:
        raise UserError(f"{path} has no report; run python -m sdclr_jax.evaluate --workdir={path}")
    return EvaluatedRun(path, config, json.loads(reports[max(reports)].read_text()))


def make_rows(runs: Iterable[EvaluatedRun]) -> list[TableRow]:
    """Gathers the runs of the same experiment, SimCLR before SDCLR. Raises UserError for a split and seed twice."""
    experiments: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        experiments.setdefault(json.dumps(_settings(run), sort_keys=True), []).append(run)
    rows = []
    for members in experiments.values():
        repeats = {run.path: tuple(run.config[key] for key in REPEATED) for run in members}
        members = sorted(members, key=lambda run: repeats[run.path])
        for one, other in itertools.pairwise(members):
            if repeats[one.path] == repeats[other.path]:
                raise UserError(f"{one.path} and {other.path} are the same experiment with the same split and seed")
        config = members[0].config
        rows.append(TableRow(config.dataset, "D_b" if config.balanced else "D_i", method_name(config), members))
    rows.sort(key=lambda row: (row.dataset, row.subset, is_pruned(row.runs[0].config), row.method))
    return [row._replace(method=row.method + _note(row, rows)) for row in rows]


def _settings(run: EvaluatedRun) -> dict:
    """What makes an experiment, as JSON values."""
    config = {key: value for key, value in run.config.to_dict().items() if key not in (*REPEATED, *IRRELEVANT)}
    lists = "given" if config.pop("lists", "") else "drawn"
    return {**config, "lists": lists, "step": run.report["step"], "limit": run.report["limit"]}


def method_name(config: ConfigDict) -> str:
    """Such as "SDCLR, head 3"."""
    return f"{'SDCLR' if is_pruned(config) else 'SimCLR'}, head {config.head_layers}"


def _note(row: TableRow, rows: list[TableRow]) -> str:
    """The settings in which a row differs from others of its name: " (epochs=40)"."""
    own, differing = _settings(row.runs[0]), set()
    for other in (_settings(other.runs[0]) for other in rows if other[:3] == row[:3]):
        differing |= {key for key, value in other.items() if own.get(key) != value}
    return f" ({', '.join(f'{key}={own.get(key)}' for key in sorted(differing))})" if differing else ""


def markdown_table(header: list[str], lines: list[list[str]]) -> str:
    """A Markdown table of cells."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, ["---"] * len(header), *lines))


def cell(figure: dict) -> str:
    """Such as "81.67 ± 3.79"; without the deviation for one run, "--" where no run has the figure."""
    if figure["mean"] is None:
        return "--"
    spread = f" ± {figure['deviation']:.2f}" if len(figure["values"]) > 1 else ""
    return f"{figure['mean']:.2f}{spread}"

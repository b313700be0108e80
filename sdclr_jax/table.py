"""The balancedness table of several runs: python -m sdclr_jax.table RUN... --output=DIR

Each RUN is the workdir of an evaluated training run. Runs that differ in split and seed alone make one row: the mean
over them ± the population deviation, in per cent. Prints Markdown and writes table.md, table.json and table.png.
"""

import argparse
import itertools
import json
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.build import is_pruned
from sdclr_jax.evaluate import COLUMNS, PROTOCOLS, REPORT
from trainlib.command import run_command
from trainlib.errors import UserError
from trainlib.figures import COLORS, HATCHES, INK, new_figure, tidy
from trainlib.workdir import load_config

TITLES = {"full": "Linear separability", "few": "Few-shot", "knn": "Nearest neighbours"}
REPEATED = ("seed", "split")
IRRELEVANT = (
    "platform",
    "data_path",
    "loader_threads",
    "log_every",
    "forgetting_every_epochs",
    "save_every_epochs",
    "keep_checkpoints",
    "feature_batch_size",
    "probe_limit",
)


class Run(NamedTuple):
    """One evaluated run: its folder, its config, and the report of its newest evaluated step."""

    path: pathlib.Path
    config: ConfigDict
    report: dict


class Row(NamedTuple):
    """Runs of the same experiment.

    Attributes:
      dataset, subset ("D_i" or "D_b"), method: what was trained, and a note where such rows need to be told apart.
      runs: the runs, by split and seed.
    """

    dataset: str
    subset: str
    method: str
    runs: list[Run]

    def values(self, protocol: str) -> np.ndarray | None:
        """float [runs, columns] in per cent; None if not every run was evaluated by the protocol."""
        if any(protocol not in run.report for run in self.runs):
            return None
        return 100 * np.array([[run.report[protocol][column] for column in COLUMNS] for run in self.runs])


def read_run(path: str | pathlib.Path) -> Run:
    """Raises UserError if the folder is no run or was not evaluated."""
    path = pathlib.Path(path)
    config = load_config(path)
    reports = {int(file.parent.name.removeprefix("step_")): file for file in path.glob(f"eval/step_*/{REPORT}")}
    if not reports:
        raise UserError(f"{path} has no report; run python -m sdclr_jax.evaluate --workdir={path}")
    return Run(path, config, json.loads(reports[max(reports)].read_text()))


def make_rows(runs: Iterable[Run]) -> list[Row]:
    """Gathers the runs of the same experiment, SimCLR before SDCLR. Raises UserError for a split and seed twice."""
    experiments: dict[str, list[Run]] = {}
    for run in runs:
        experiments.setdefault(json.dumps(_settings(run), sort_keys=True), []).append(run)
    rows = []
    for members in experiments.values():
        members = sorted(members, key=_repeat)
        for one, other in itertools.pairwise(members):
            if _repeat(one) == _repeat(other):
                raise UserError(f"{one.path} and {other.path} are the same experiment with the same split and seed")
        config = members[0].config
        rows.append(Row(config.dataset, "D_b" if config.balanced else "D_i", method_name(config), members))
    rows.sort(key=lambda row: (row.dataset, row.subset, is_pruned(row.runs[0].config), row.method))
    return [row._replace(method=row.method + _note(row, rows)) for row in rows]


def _repeat(run: Run) -> tuple[int, ...]:
    return tuple(run.config[key] for key in REPEATED)


def _settings(run: Run) -> dict:
    """What makes an experiment, as JSON values."""
    config = {key: value for key, value in run.config.to_dict().items() if key not in (*REPEATED, *IRRELEVANT)}
    lists = "given" if config.pop("lists", "") else "drawn"
    return {**config, "lists": lists, "step": run.report["step"], "limit": run.report["limit"]}


def method_name(config: ConfigDict) -> str:
    """Such as "SDCLR, head 3"."""
    return f"{'SDCLR' if is_pruned(config) else 'SimCLR'}, head {config.head_layers}"


def _note(row: Row, rows: list[Row]) -> str:
    """The settings in which a row differs from others of its name: " (epochs=40)"."""
    own = _settings(row.runs[0])
    differing = {
        key
        for other in rows
        if other is not row and other[:3] == row[:3]
        for key, value in _settings(other.runs[0]).items()
        if own.get(key) != value
    }
    return f" ({', '.join(f'{key}={own.get(key)}' for key in sorted(differing))})" if differing else ""


def markdown(rows: list[Row]) -> str:
    """One table for each protocol by which at least one row was evaluated."""
    parts = []
    for protocol in PROTOCOLS:
        shown = [(row, row.values(protocol)) for row in rows]
        shown = [(row, values) for row, values in shown if values is not None]
        if not shown:
            continue
        arrows = [f"{column.capitalize()} {'↓' if column == 'std' else '↑'}" for column in COLUMNS]
        lines = [
            f"**{TITLES[protocol]}** (%)",
            "",
            "| " + " | ".join(["Data", "List", "Method", "Runs", *arrows]) + " |",
        ]
        lines.append("|---|---|---|---|" + "---|" * len(COLUMNS))
        for row, values in shown:
            cells = [_cell(values[:, k]) for k in range(len(COLUMNS))]
            lines.append("| " + " | ".join([row.dataset, row.subset, row.method, str(len(row.runs)), *cells]) + " |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _cell(values: np.ndarray) -> str:
    spread = f" ± {values.std():.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{spread}"


def as_json(rows: list[Row]) -> list[dict]:
    """The rows with mean, deviation and the value of every run, in per cent."""
    result = []
    for row in rows:
        entry = {"dataset": row.dataset, "subset": row.subset, "method": row.method}
        entry["runs"] = [str(run.path) for run in row.runs]
        for protocol in PROTOCOLS:
            values = row.values(protocol)
            if values is not None:
                entry[protocol] = {
                    column: {"mean": part.mean(), "deviation": part.std(), "values": part.tolist()}
                    for column, part in zip(COLUMNS, values.T)
                }
        result.append(entry)
    return result


def draw(path: pathlib.Path, rows: list[Row]) -> None:
    """Bars of Many, Medium, Few and All for each row, a panel for each protocol; whiskers are deviations."""
    shown = [k for k, column in enumerate(COLUMNS) if column != "std"]
    panels = [protocol for protocol in PROTOCOLS if any(row.values(protocol) is not None for row in rows)]
    title = (
        f"Accuracy by class size, mean {'and deviation ' if any(len(row.runs) > 1 for row in rows) else ''}of the runs"
    )
    figure = new_figure(1.2 + 3.6 * max(len(panels), 2), 4 + 0.2 * len(rows), title)
    width = 0.84 / len(rows)
    for axes, protocol in zip(figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels):
        tidy(axes, TITLES[protocol], y="accuracy (%)" if protocol == panels[0] else "")
        for place, row in enumerate(rows):
            values = row.values(protocol)
            if values is None:
                continue
            x = np.arange(len(shown)) + (place - (len(rows) - 1) / 2) * width
            label = f"{row.dataset} {row.subset}, {row.method}, {len(row.runs)} run{'s' if len(row.runs) > 1 else ''}"
            deviation = values.std(0)[shown] if len(values) > 1 else None
            look = {"color": COLORS[place % len(COLORS)], "hatch": HATCHES[place // len(COLORS) % len(HATCHES)]}
            look |= {"edgecolor": "white", "linewidth": 0, "error_kw": {"elinewidth": 1, "ecolor": INK}, "capsize": 2}
            mean = values.mean(0)[shown]
            axes.bar(x, mean, 0.92 * width, yerr=deviation, label=label, **look)
        axes.set_xticks(range(len(shown)), [COLUMNS[k].capitalize() for k in shown])
        axes.set_ylim(0, 100)
    handles = {label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside lower left", fontsize=9, frameon=False)
    figure.savefig(path)


def write_table(runs: Iterable[str | pathlib.Path], output: str | pathlib.Path) -> list[Row]:
    """Reads the runs and writes table.md, table.json and table.png into the folder `output`."""
    rows = make_rows(read_run(path) for path in runs)
    output = pathlib.Path(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "table.md").write_text(markdown(rows))
    (output / "table.json").write_text(json.dumps(as_json(rows), indent=1) + "\n")
    draw(output / "table.png", rows)
    return rows


def main(arguments: argparse.Namespace) -> None:
    """Prints the tables and where the files lie."""
    rows = write_table(arguments.runs, arguments.output)
    print(markdown(rows))
    print(f"Table and picture: {arguments.output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.table", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="workdir of an evaluated run")
    parser.add_argument("--output", default="table", help="folder for table.md, table.json and table.png")
    return parser


if __name__ == "__main__":
    run_command(main, _parser(), on_devices=False)

"""The table of a study in Markdown, JSON and as a picture: mean and sample deviation over the seeds of a variant."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from trainlib.analysis.plots import save_figure
from trainlib.core.files import write_atomic, write_json

SPREAD = "After ±: the sample deviation (n - 1) over the seeds."
_PANELS_ACROSS = 4


class Result(NamedTuple):
    """One run: figures by column in % (None if not a number), and its seconds on the clock and of processor time."""

    variant: str
    seed: int
    figures: Mapping[str, float | None]
    wall_s: float
    cpu_s: float


class VariantRow(NamedTuple):
    """The results of a variant, by seed; may be empty."""

    variant: str
    results: list[Result]

    def values(self, column: str) -> np.ndarray:
        """float [runs], NaN for what is not a number."""
        return np.array([result.figures[column] for result in self.results], np.float64)

    def seconds(self, field: str) -> float:
        """Mean of "wall_s" or "cpu_s"."""
        return float(np.mean([getattr(result, field) for result in self.results]))


def make_rows(study: ConfigDict, results: Sequence[Result]) -> list[VariantRow]:
    """A row for each variant of the study, in its order."""
    return [VariantRow(name, [r for r in results if r.variant == name]) for name, *_ in study.variants]


def _columns(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(column for result in results for column in result.figures))


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
    published = [paper.title] if paper else []
    head = ["Variant", "Seeds", *columns, *published, "Wall s", "CPU s"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in make_rows(study, results):
        cells = ["–"] * (len(columns) + 2)
        if row.results:
            cells = [_cell(row.values(column)) for column in columns]
            cells += [f"{row.seconds(field):.0f}" for field in ("wall_s", "cpu_s")]
        if paper:
            cells.insert(len(columns), _published(paper, row.variant))
        lines.append("| " + " | ".join([row.variant, str(len(row.results)), *cells]) + " |")
    return "\n".join(lines) + "\n"


def _cell(values: np.ndarray) -> str:
    centre, spread = mean(values), deviation(values)
    return "–" if centre is None else f"{centre:.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def _published(paper: ConfigDict, variant: str) -> str:
    value = dict(paper.figures).get(variant)
    return "–" if value is None else f"{value:.1f}"


def as_json(study: ConfigDict, results: Sequence[Result]) -> list[dict]:
    """The rows with mean, sample deviation and the value of every run; None for what is not a number."""
    rows = []
    for row in make_rows(study, results):
        entry = {"variant": row.variant, "seeds": [result.seed for result in row.results]}
        for column in _columns(row.results):
            values = row.values(column)
            numbers = {"mean": mean(values), "deviation": deviation(values)}
            entry[column] = numbers | {"values": [_finite(value) for value in values]}
        for field in ("wall_s", "cpu_s"):
            entry[field] = [getattr(result, field) for result in row.results]
        rows.append(entry)
    return rows


def draw(path: pathlib.Path, study: ConfigDict, results: Sequence[Result]) -> None:
    """Bars with their values, a panel for each column, four in a row; whiskers are sample deviations."""
    rows = [row for row in make_rows(study, results) if row.results]
    columns = _columns(results)
    across, down = min(len(columns), _PANELS_ACROSS), -(-len(columns) // _PANELS_ACROSS)
    figure = Figure(figsize=(1.5 + 2.6 * across, 0.5 + (0.9 + 0.32 * len(rows)) * down), layout="constrained")
    FigureCanvasAgg(figure)
    places = np.arange(len(rows))
    panels = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for axes in panels[len(columns) :]:
        axes.set_axis_off()
    for axes, column in zip(panels, columns):
        values = [row.values(column) for row in rows]
        means = np.array([mean(v) or 0 for v in values])
        spreads = np.array([deviation(v) or 0 for v in values])
        bars = axes.barh(places, means, xerr=spreads, capsize=2, color="C0", alpha=0.7)
        axes.bar_label(bars, [_cell(v) for v in values], padding=3, fontsize=7)
        axes.set(title=column, xlabel="%", xlim=(0, 1.45 * max((means + spreads).max(), 1)))
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 100])
        axes.set_yticks(places, [row.variant for row in rows])
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

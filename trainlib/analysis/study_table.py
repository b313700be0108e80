"""The table of a study: mean and sample deviation by variant, as Markdown, JSON and a picture."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from trainlib.analysis.plots import save_figure
from trainlib.analysis.study_plan import Result
from trainlib.core.files import write_atomic, write_json

SPREAD = "After ±: the sample deviation (n - 1) over the seeds."
NOTHING = "–"
_PANELS_ACROSS = 4


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

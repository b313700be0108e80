"""The balancedness table of rows of runs: Markdown, JSON and a picture, and the paper's Tables 1 to 5."""

import os
import pathlib

import numpy as np

from sdclr_jax.probe.protocols import PROTOCOLS
from sdclr_jax.report.evaluation import COLUMNS
from sdclr_jax.report.published_tables import format_tables, published_tables
from sdclr_jax.report.table_rows import DEVIATIONS, HEADINGS, TableRow, cell, markdown_table
from trainlib.analysis.plots import COLORS, HATCHES, INK, new_figure, save_figure, style_axes
from trainlib.core.files import write_atomic, write_json
from trainlib.core.outputs import require_folder
from trainlib.core.text import pluralize

TITLES = {"full": "Linear separability", "few": "Few-shot", "knn": "Nearest neighbours"}


def markdown(rows: list[TableRow]) -> str:
    """One table for each protocol by which at least one row was evaluated."""
    parts = []
    for protocol in PROTOCOLS:
        lines = []
        for row in rows:
            figures = row.figures(protocol)
            if figures is not None:
                lines.append([row.dataset, row.subset, row.method, str(len(row.runs)), *map(cell, figures.values())])
        if lines:
            header = ["Data", "List", "Method", "Runs", *HEADINGS.values()]
            parts.append(f"**{TITLES[protocol]}** (%; {DEVIATIONS})\n\n{markdown_table(header, lines)}")
    weak = [f"- {line}\n" for row in rows for line in row.weak()]
    if parts and weak:
        parts.append("Figures that rest on few test images:\n\n" + "".join(weak))
    return "\n".join(parts)


def as_json(rows: list[TableRow]) -> list[dict]:
    """The rows with mean, deviation and the value of every run, in %; of each class by its name as well."""
    result = []
    for row in rows:
        figures = {protocol: row.figures(protocol) for protocol in PROTOCOLS}
        found = {protocol: columns for protocol, columns in figures.items() if columns is not None}
        result.append(row.about() | {"few_test_images": row.weak()} | _classes(row) | found)
    return result


def _classes(row: TableRow) -> dict:
    """`classes`: by protocol and name of the class its accuracy in each run; nothing where the classes differ."""
    reports = [run.report for run in row.runs]
    names = reports[0].get("class_names")
    if not names or any(report.get("class_names") != names for report in reports):
        return {}
    by_protocol = {}
    for protocol in PROTOCOLS:
        if all(protocol in report for report in reports):
            shares = zip(*(report[protocol]["classes"] for report in reports))
            values = ([None if share is None else 100 * share for share in of_class] for of_class in shares)
            by_protocol[protocol] = dict(zip(names, values))
    return {"classes": by_protocol}


def draw(path: pathlib.Path, rows: list[TableRow]) -> None:
    """Bars of Many, Medium, Few and All for each row, a panel for each protocol; whiskers are deviations."""
    shown = [column for column in COLUMNS if column != "std"]
    panels = [protocol for protocol in PROTOCOLS if any(row.figures(protocol) is not None for row in rows)]
    spread = "and population deviation " if any(len(row.runs) > 1 for row in rows) else ""
    title = f"Accuracy by class size, mean {spread}of the runs"
    figure = new_figure(1.2 + 3.6 * max(len(panels), 2), 4 + 0.2 * len(rows), title)
    width = 0.84 / len(rows)
    for axes, protocol in zip(figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels):
        style_axes(axes, TITLES[protocol], y="accuracy (%)" if protocol == panels[0] else "")
        for place, row in enumerate(rows):
            figures = row.figures(protocol)
            if figures is None:
                continue
            x = np.arange(len(shown)) + (place - (len(rows) - 1) / 2) * width
            label = f"{row.dataset} {row.subset}, {row.method}, {pluralize(len(row.runs), 'run')}"
            pairs = [(figures[name]["mean"], figures[name]["deviation"]) for name in shown]
            mean, deviation = np.array(pairs, np.float64).T
            look = {"color": COLORS[place % len(COLORS)], "hatch": HATCHES[place // len(COLORS) % len(HATCHES)]}
            look |= {"edgecolor": "white", "linewidth": 0, "error_kw": {"elinewidth": 1, "ecolor": INK}, "capsize": 2}
            axes.bar(x, mean, 0.92 * width, yerr=deviation if len(row.runs) > 1 else None, label=label, **look)
        axes.set_xticks(range(len(shown)), [name.capitalize() for name in shown])
        axes.set_ylim(0, 100)
    handles = {label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside lower left", fontsize=9, frameon=False)
    save_figure(figure, path)


def write_table(rows: list[TableRow], output: str | os.PathLike) -> None:
    """Writes table.md, table.json and table.png, and the published tables, into the folder `output`."""
    output = require_folder(output)
    write_atomic(output / "table.md", markdown(rows))
    write_json(output / "table.json", as_json(rows))
    draw(output / "table.png", rows)
    tables = published_tables(rows)
    write_atomic(output / "tables_1_to_5.md", format_tables(tables))
    write_json(output / "tables_1_to_5.json", tables)

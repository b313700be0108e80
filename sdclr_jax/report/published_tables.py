"""Tables 1 to 5 of the SDCLR paper from rows of finished runs: which rows and columns belong where."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from sdclr_jax.default_config import is_pruned
from sdclr_jax.report.table_rows import DEVIATIONS, HEADINGS, TableRow, cell, markdown_table

PLAIN = ("many", "medium", "few", "all")
WITH_SPREAD = ("many", "medium", "few", "std", "all", "class_std")
METRICS = {"full": "linear separability", "few": "few-shot"}


class Table(NamedTuple):
    """One table: its title, the protocols (a row that lacks one is omitted), their columns, and which rows it has."""

    title: str
    metrics: tuple[str, ...]
    columns: tuple[str, ...]
    belongs: Callable[[TableRow], bool]


def _is_large(row: TableRow) -> bool:
    """ImageNet's tables are those whose groups are by size: above 100, 20 to 100, below 20 images."""
    return row.runs[0].config.groups == "size"


def _is_simclr(row: TableRow, *, large: bool) -> bool:
    return not is_pruned(row.runs[0].config) and _is_large(row) == large


def _is_long_tailed(row: TableRow) -> bool:
    return row.subset == "D_i"


_CIFAR, _IMAGENET = partial(_is_simclr, large=False), partial(_is_simclr, large=True)
_LARGE = "SimCLR on ImageNet's lists; classes of more than 100, 20 to 100 and less than 20 images"
TABLES = (
    Table("SimCLR on balanced and long-tailed lists, linear separability", ("full",), PLAIN, _CIFAR),
    Table("SimCLR on balanced and long-tailed lists, few-shot", ("few",), PLAIN, _CIFAR),
    Table(_LARGE, ("full", "few"), PLAIN, _IMAGENET),
    Table("SimCLR and SDCLR on long-tailed lists, linear separability", ("full",), WITH_SPREAD, _is_long_tailed),
    Table("SimCLR and SDCLR on long-tailed lists, few-shot", ("few",), WITH_SPREAD, _is_long_tailed),
)
"""Tables 1 to 5."""


def long_tail(row: TableRow) -> str:
    """Type of an ImageNet list, "Pareto" or "Exp"; "" of other data."""
    if not _is_large(row):
        return ""
    return "Exp" if "_exp" in row.runs[0].config.get("list_imbalanced", "").lower() else "Pareto"


def published_tables(rows: Sequence[TableRow]) -> list[dict]:
    """Each of the five tables as JSON values: `number`, `title`, `metrics`, `columns`, `rows`.

    A row has `dataset`, `long_tail`, `subset`, `method`, `runs`, `splits` and, by metric and column, mean, deviation
    and values in %.
    """
    tables = []
    for number, table in enumerate(TABLES, 1):
        found = []
        for row in filter(table.belongs, rows):
            figures = {metric: row.figures(metric) for metric in table.metrics}
            if None in figures.values():
                continue
            entry = {"dataset": row.dataset, "long_tail": long_tail(row), **row.about()}
            entry["splits"] = sorted({run.config.split for run in row.runs})
            values = {metric: {name: figures[metric][name] for name in table.columns} for metric in table.metrics}
            found.append(entry | values)
        heading = {"title": table.title, "metrics": table.metrics, "columns": table.columns}
        tables.append({"number": number, **heading, "rows": found})
    return tables


def format_tables(tables: Sequence[dict]) -> str:
    """The tables as Markdown; a table without a row as its title and the missing runs."""
    return "\n".join(map(_format, tables))


def _format(table: dict) -> str:
    title = f"**Table {table['number']}.** {table['title']} (%; {DEVIATIONS})\n\n"
    if not table["rows"]:
        metrics = " and ".join(METRICS[metric] for metric in table["metrics"])
        return f"{title}No evaluated run of this kind, with {metrics}, was given.\n"
    shown = [(metric, name) for metric in table["metrics"] for name in table["columns"]]
    several = len(table["metrics"]) > 1
    headings = [f"{HEADINGS[name]}{', ' + METRICS[metric] if several else ''}" for metric, name in shown]
    lines = []
    for row in table["rows"]:
        data = f"{row['dataset']} {row['long_tail']}".strip()
        figures = [cell(row[metric][name]) for metric, name in shown]
        lines.append([data, row["subset"], row["method"], str(len(row["splits"])), *figures])
    return title + markdown_table(["Data", "List", "Method", "Splits", *headings], lines)

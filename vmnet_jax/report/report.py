"""The results of an evaluation as text, JSON, CSV and a picture."""

import csv
import io
import pathlib

import numpy as np

from trainlib.analysis.plots import SOFT, new_figure, save_figure, style_axes
from trainlib.core.files import write_atomic, write_json
from vmnet_jax.learn.metrics import accuracy, iou_from_confusion

MOST_NUMBERED = 25  # classes; the numbers of more would not fit their cells


def summary(table: np.ndarray, names: list[str]) -> dict:
    """Mean IoU, accuracy, and IoU, recall and vertex count by class, of a confusion int64 [K predicted, K true].

    A class that is neither predicted nor present has IoU None and stays out of the mean. Without a labelled vertex
    both means are None.
    """
    iou, mean_iou = iou_from_confusion(table)
    true, right = table.sum(0), np.diag(table)
    return {
        "mean_iou": mean_iou if table.any() else None,
        "accuracy": accuracy(table) if table.any() else None,
        "classes": [
            {
                "name": name,
                "iou": None if np.isnan(iou[k]) else float(iou[k]),
                "recall": float(right[k] / true[k]) if true[k] else None,
                "vertices": int(true[k]),
            }
            for k, name in enumerate(names)
        ],
    }


def scene_figures(table: np.ndarray) -> dict[str, float | int | None]:
    """Mean IoU, accuracy and labelled vertices of a scene's confusion [K, K]; None without labels."""
    if not table.any():
        return {"mean_iou": None, "accuracy": None, "vertices": 0}
    return {"mean_iou": iou_from_confusion(table)[1], "accuracy": accuracy(table), "vertices": int(table.sum())}


def format_summary(result: dict) -> str:
    """The summary as a table for the terminal."""
    width = max(5, *(len(c["name"]) for c in result["classes"]))
    lines = [f"{'class':{width}}     IoU  recall   vertices"]
    for c in result["classes"]:
        iou, recall = ("    --" if x is None else f"{100 * x:6.1f}" for x in (c["iou"], c["recall"]))
        lines.append(f"{c['name']:{width}}  {iou}  {recall}  {c['vertices']:9d}")
    if result["mean_iou"] is None:
        lines.append("no vertex has a label: no mean IoU, no accuracy")
    else:
        lines.append(f"mean IoU {100 * result['mean_iou']:.1f} %, accuracy {100 * result['accuracy']:.1f} %")
    return "\n".join(lines)


def write_report(folder: pathlib.Path, result: dict, table: np.ndarray, names: list[str]) -> None:
    """Writes report.json, confusion.csv (rows predicted, columns true) and confusion.png into `folder`.

    `table` is the confusion int64 [K, K]. It has a picture if any vertex is labelled.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "report.json", result)
    rows = io.StringIO(newline="")
    writer = csv.writer(rows)
    writer.writerow(["predicted \\ true", *names])
    writer.writerows([name, *row] for name, row in zip(names, table.tolist()))
    write_atomic(folder / "confusion.csv", rows.getvalue())
    if table.any():
        _draw_confusion(folder / "confusion.png", table, names)
    else:
        (folder / "confusion.png").unlink(missing_ok=True)


def _draw_confusion(path: pathlib.Path, table: np.ndarray, names: list[str]) -> None:
    """Picture of the confusion [K, K], each true class scaled to 100 %; absent classes are omitted."""
    shown = np.flatnonzero(table.sum(0) + table.sum(1))
    share = 100 * table[np.ix_(shown, shown)] / np.maximum(table.sum(0)[shown], 1)
    labels = [names[k] for k in shown]
    numbered = len(shown) <= MOST_NUMBERED
    side = max(3.6, (0.4 if numbered else 0.2) * len(shown)) + 0.085 * max(map(len, labels), default=0)
    title = "Confusion: where the vertices of each true class end up (%)"
    figure = new_figure(side + 1.6, side + 1.2, title)
    axes = figure.subplots()
    image = axes.imshow(share.T, vmin=0, vmax=100, cmap="Blues")
    style_axes(axes, x="predicted class", y="true class")
    axes.grid(False)
    axes.set_xticks(range(len(shown)), labels, rotation=90, fontsize=9 if numbered else 7)
    axes.set_yticks(range(len(shown)), labels, fontsize=9 if numbered else 7)
    if numbered:
        for (row, column), value in np.ndenumerate(share.T):
            if value >= 0.5:
                look = {"color": "white" if value > 55 else "black", "fontsize": 7.5}
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", **look)
    bar = figure.colorbar(image, shrink=0.6, aspect=30)
    bar.set_label("% of the true class", color=SOFT)
    bar.outline.set_visible(False)
    save_figure(figure, path)

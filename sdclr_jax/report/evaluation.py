"""The report of an evaluation: its files, its columns, and its tables for the terminal."""

import numpy as np

from sdclr_jax.probe.protocols import PROTOCOLS

COLUMNS = ("many", "medium", "few", "std", "all")
REPORT = "report.json"
FEATURES = "test_features.npz"
MOST_CLASSES = 30  # classes whose accuracy is printed


def format_report(report: dict) -> str:
    """The report as tables for the terminal, in %: by group and, of up to 30 classes, by class."""
    shown = [protocol for protocol in PROTOCOLS if protocol in report]
    lines = ["protocol   Many  Medium   Few   Std   All"]
    for protocol in shown:
        many, medium, *rest = (_percent(report[protocol][column]) for column in COLUMNS)
        lines.append(f"{protocol:8}  {many:>5}  {medium:>6} {' '.join(f'{text:>5}' for text in rest)}")
    if len(report["class_names"]) > MOST_CLASSES:
        return "\n".join(lines)
    width = max(5, *map(len, report["class_names"]))
    lines += ["", f"{'class':{width}}  {'D_i':>6}  {'test':>6}  " + "  ".join(f"{protocol:>5}" for protocol in shown)]
    for k in np.argsort(-np.array(report["class_counts"]), kind="stable"):
        sizes = f"{report['class_counts'][k]:6}  {report['test_counts'][k]:6}"
        cells = "  ".join(f"{_percent(report[protocol]['classes'][k]):>5}" for protocol in shown)
        lines.append(f"{report['class_names'][k]:{width}}  {sizes}  {cells}")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "--" if share is None else f"{100 * share:.1f}"

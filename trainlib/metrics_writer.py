"""Figures of a run: one JSON line per `write` in metrics.jsonl, and TensorBoard event files."""

import json
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import SupportsFloat

from tensorboardX import SummaryWriter

from trainlib.errors import UserError
from trainlib.files import write_atomic

FILE_NAME = "metrics.jsonl"


class MetricWriter:
    """Appends to `metrics.jsonl` in `workdir`; what another run wrote after `start_step` is dropped first.

    So the file of a resumed run equals the file of an uninterrupted one, `time` (Unix seconds) apart.

    Args:
        workdir: folder, exists.
        start_step: step that the run starts from: 0, or the restored step.
    """

    def __init__(self, workdir: str | os.PathLike, start_step: int = 0):
        folder = pathlib.Path(workdir)
        path = folder / FILE_NAME
        _drop_after(path, start_step)
        self._lines = open(path, "a", encoding="utf-8")  # noqa: SIM115  open as long as the writer
        self._board = SummaryWriter(str(folder), purge_step=start_step + 1 if start_step else None)

    def write(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        """Writes scalars of `step`; integers stay integers, and what JSON has no number for (NaN, Inf) becomes null."""
        plain = {name: _plain(name, value) for name, value in metrics.items()}
        reserved = {"step", "time"} & plain.keys()
        if reserved:
            raise ValueError(f"metric names taken by the writer: {sorted(reserved)}")
        line = {"step": int(step), "time": round(time.time(), 3)}
        line |= {name: value if math.isfinite(value) else None for name, value in plain.items()}
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()
        for name, value in plain.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes and closes the files."""
        self._lines.close()
        self._board.close()

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_metrics(workdir: str | os.PathLike) -> list[dict[str, float]]:
    """The complete lines of `metrics.jsonl` in `workdir`, in order; empty if there is no such file."""
    path = pathlib.Path(workdir) / FILE_NAME
    return [record for record, _ in _records(path)] if path.exists() else []


def _records(path: pathlib.Path) -> list[tuple[dict[str, float], bytes]]:
    """(parsed, raw) of each line; a last line without its end, left by a kill, is no record."""
    *lines, _ = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            int(record["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number} is no record of a step: repair or remove the file") from error
        records.append((record, line))
    return records


def _drop_after(path: pathlib.Path, step: int) -> None:
    if path.exists():
        kept = [line for record, line in _records(path) if record["step"] <= step]
        write_atomic(path, b"".join(line + b"\n" for line in kept))


def _plain(name: str, value: SupportsFloat) -> float | int:
    item = getattr(value, "item", None)
    plain = item() if item is not None else value
    if not isinstance(plain, (int, float)):
        raise TypeError(f"metric {name!r} is not a scalar: {type(value).__name__}")
    return plain

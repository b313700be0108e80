"""Figures of a run: one JSON line per `write` in metrics.jsonl, and TensorBoard event files."""

import contextlib
import json
import math
import os
import pathlib
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import SupportsFloat

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from trainlib.core.errors import UserError
from trainlib.core.files import GrowingFile, write_atomic

FILE_NAME = "metrics.jsonl"


class MetricWriter(contextlib.AbstractContextManager):
    """Appends to `metrics.jsonl` in `workdir`; what another run wrote after `start_step` is dropped first.

    So the file of a resumed run equals the file of an uninterrupted one, `time` (Unix seconds) apart. What is written
    is in the files at once; if the disk is full it waits, and the run continues.

    Args:
        workdir: folder, exists.
        start_step: step that the run starts from: 0, or the restored step.
    """

    def __init__(self, workdir: str | os.PathLike, start_step: int = 0):
        self._path = pathlib.Path(workdir, FILE_NAME)
        if self._path.exists():
            kept = [line + b"\n" for record, line in _records(self._path) if record["step"] <= start_step]
            write_atomic(self._path, b"".join(kept))
        self._lines = GrowingFile(self._path)
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._events = GrowingFile(self._path.with_name(name))
        self._write_event(file_version="brain.Event:2")
        if start_step:
            self._write_event(step=start_step + 1, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        """Writes scalars of `step`; integers stay integers, and what JSON has no number for (NaN, Inf) becomes null."""
        plain = {name: value.item() if hasattr(value, "item") else value for name, value in metrics.items()}
        for name, value in plain.items():
            if not isinstance(value, (int, float)):
                raise TypeError(f"metric {name!r} is not a scalar: {type(value).__name__}")
        reserved = {"step", "time"} & plain.keys()
        if reserved:
            raise ValueError(f"metric names taken by the writer: {sorted(reserved)}")
        line = {"step": int(step), "time": round(time.time(), 3)}
        line |= {name: value if math.isfinite(value) else None for name, value in plain.items()}
        self._lines.append((json.dumps(line) + "\n").encode())
        values = [Summary.Value(tag=name, simple_value=value) for name, value in plain.items()]
        self._write_event(step=int(step), summary=Summary(value=values))

    def has(self, step: int, name: str) -> bool:
        """Whether the figure `name` of `step` has been written, by this run or one that it resumes."""
        return any(record["step"] == step and name in record for record, _ in _records(self._path))

    def __exit__(self, *exception: object) -> None:
        self._lines.close()
        self._events.close()

    def _write_event(self, **content: object) -> None:
        """One TensorBoard event as a TFRecord: length, its checksum, the bytes, their checksum.

        tensorboardX's own writer does not serve: its thread ends at a full disk, and the run then waits for it forever.
        """
        data = Event(wall_time=time.time(), **content).SerializeToString()
        parts = (struct.pack("<Q", len(data)), data)
        self._events.append(b"".join(part + struct.pack("<I", masked_crc32c(part)) for part in parts))


def read_metrics(workdir: str | os.PathLike) -> list[dict[str, float]]:
    """The complete lines of `metrics.jsonl` in `workdir`, in order; empty without a file."""
    path = pathlib.Path(workdir) / FILE_NAME
    return [record for record, _ in _records(path)] if path.exists() else []


def read_runs(runs: Sequence[str | os.PathLike]) -> dict[str, list[dict]]:
    """By the folder as given, the records of each run. UserError where a run has logged no loss."""
    records = {str(run): read_metrics(run) for run in runs}
    for run, lines in records.items():
        if not any("loss" in line for line in lines):
            raise UserError(f"{run} has no record of a loss in metrics.jsonl: it is not a run, or has just begun")
    return records


def _records(path: pathlib.Path) -> list[tuple[dict[str, float], bytes]]:
    """(parsed, raw) of each line; a last line without its end, left by a kill, is not a record."""
    *lines, _ = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            int(record["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number} is not a record of a step: repair or remove the file") from error
        records.append((record, line))
    return records

"""A run's folder: `config.json`, `data.json`, `lock`, `checkpoints/`, `metrics.jsonl`, event files, `eval/`."""

import contextlib
import fcntl
import json
import logging
import os
import pathlib
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ml_collections

from trainlib.core.errors import UserError
from trainlib.core.files import write_atomic
from trainlib.run import processes

CONFIG_NAME = "config.json"
DATA_NAME = "data.json"
LOCK_NAME = "lock"

_SHOWN = 8

_log = logging.getLogger(__name__)


class Workdir(contextlib.AbstractContextManager):
    """An opened and locked run folder; path-like. The lock ends with `close`, with the `with` block or the process.

    Of several processes, process 0 alone locks it, compares and writes.

    Attributes:
        path: the folder.
        checkpoints: folder for a CheckpointStore.
    """

    def __init__(self, path: pathlib.Path, allow_change: Iterable[str]):
        self.path, self.checkpoints = path, path / "checkpoints"
        self._allow_change = tuple(allow_change)
        self._lock: int | None = None
        self._new: dict[str, dict[str, Any]] = {}

    def check_data(self, data: dict[str, Any]) -> None:
        """Compares what identifies the training data with data.json; `keep_config` then writes it.

        Args:
            data: nested dicts of JSON values, such as {"train": {"name of a scene": "checksum"}}.

        Raises:
            UserError: with what differs, unless `data` is among the keys that may change; or if another process has
                other data.
        """
        if processes.is_first():
            self._compare(DATA_NAME, data, "other data", "add data to --allow_change", most=_SHOWN)
        processes.require_same("the training data", data)

    def _compare(self, name: str, now: dict[str, Any], other: str, remedy: str, *, most: int | None = None) -> None:
        """Refuses what differs from the file `name` and may not change; `keep_config` writes what is new.

        Data may change as a whole, a config key by key. At most `most` differences are listed.
        """
        file = self.path / name
        changes = list(_differences(_read_json(file) if file.exists() else now, now))
        parts = ["data." if name == DATA_NAME else f"{key}." for key, _ in changes]
        is_allowed = [any(part.startswith(f"{allowed}.") for allowed in self._allow_change) for part in parts]
        refused = [text for (_, text), allowed in zip(changes, is_allowed) if not allowed]
        listed = refused or [text for _, text in changes]
        more = [f"and {len(listed) - most} more"] if most and len(listed) > most else []
        table = "\n  ".join(listed[:most] + more)
        if refused:
            raise UserError(
                f"workdir {self.path} belongs to a run with {other} (before -> now):\n  {table}\n"
                f"Go on with the {file.stem} of before, choose another --workdir, or {remedy}"
            )
        if changes:
            _log.warning("%s changed on resume (before -> now):\n  %s", file.stem, table)
        if changes or not file.exists():
            self._new[name] = now

    def keep_config(self) -> None:
        """Writes config.json and data.json. To be called when data and checkpoint fit the config, not before."""
        for name, content in self._new.items():
            file = self.path / name
            try:
                write_atomic(file, json.dumps(content, indent=2) + "\n")
            except OSError as error:
                raise UserError(f"cannot write {file}: {error.strerror}") from error
        self._new = {}

    def __fspath__(self) -> str:
        return str(self.path)

    def close(self) -> None:
        """Gives the lock back. May be called again."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_workdir(
    path: str | os.PathLike, config: ml_collections.ConfigDict, allow_change: Iterable[str] = ()
) -> Workdir:
    """Makes or re-opens the folder of a run, locks it and compares the config; `keep_config` then writes it.

    Args:
        path: folder; its parents are made too.
        config: values must be representable in JSON (tuples come back as tuples).
        allow_change: keys ("a" or "a.b") that may differ from the config that the run began with; "data": the data.

    Raises:
        UserError: if the folder cannot be written, another run has it, or the config differs in another key or in
            another process.
    """
    workdir = Workdir(pathlib.Path(path), allow_change)
    try:
        if processes.is_first():
            workdir._lock = _take_lock(workdir.path)
        try:
            content = json.loads(json.dumps(config.to_dict()))
        except TypeError as error:
            raise UserError(f"the config has a value that JSON cannot hold: {error}") from error
        if processes.is_first():
            remedy = "name the keys that may change with --allow_change=key,key"
            workdir._compare(CONFIG_NAME, content, "another config", remedy)
        processes.require_same("the config", content)
    except BaseException:
        workdir.close()
        raise
    return workdir


def load_config(path: str | os.PathLike) -> ml_collections.ConfigDict:
    """The config that the run in folder `path` was started with. Raises UserError if there is none."""
    file = pathlib.Path(path) / CONFIG_NAME
    if not file.exists():
        raise UserError(f"{path} is not the workdir of a run: it has no {CONFIG_NAME}")
    return ml_collections.ConfigDict(_with_tuples(_read_json(file)))


def require_settings(config: ml_collections.ConfigDict, keys: Iterable[str], where: str, system: str) -> None:
    """Raises UserError if a config lacks the settings that mark a system ("vmnet_jax")."""
    missing = [key for key in keys if key not in config]
    if missing:
        raise UserError(f"{where} is not of {system}: it has no {', '.join(missing)}")


def _take_lock(path: pathlib.Path) -> int:
    """Makes the folder and locks its file `lock`; the system frees it with the process, so a kill leaves nothing."""
    with contextlib.ExitStack() as undo:
        try:
            path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
            undo.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "a process"
            raise UserError(
                f"workdir {path} is in use by {holder} (file {LOCK_NAME}); wait for that run, stop it, or choose "
                "another --workdir"
            ) from None
        except OSError as error:
            raise UserError(
                f"cannot write in workdir {path}: {error.strerror}; choose another with --workdir"
            ) from error
        undo.pop_all()
        return descriptor


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, "key: before -> now") for every value that differs."""
    for name in sorted(before.keys() | now.keys()):
        key = prefix + name
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, key + ".")
        elif name not in before or name not in now or old != new:
            old_text = json.dumps(old) if name in before else "(absent)"
            new_text = json.dumps(new) if name in now else "(absent)"
            yield key, f"{key}: {old_text} -> {new_text}"


def _read_json(file: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); restore it or choose another --workdir") from error


def _with_tuples(value: Any) -> Any:
    """ConfigDict overrides need tuples, JSON knows lists only."""
    if isinstance(value, dict):
        return {name: _with_tuples(item) for name, item in value.items()}
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list) else value

"""A run's folder: `config.json`, `data.json`, `lock`, `checkpoints/`, `metrics.jsonl`, event files, `eval/`."""

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


class Workdir:
    """An opened and locked run folder; path-like. The lock ends with `close`, with the `with` block or the process.

    Of several processes, process 0 alone locks it, compares and writes.
    """

    def __init__(self, path: pathlib.Path, lock: int | None, allow_change: frozenset[str]):
        self.path = path
        self._lock = lock
        self._allow_change = allow_change
        self._new: dict[str, dict[str, Any]] = {}

    @property
    def checkpoints(self) -> pathlib.Path:
        """Folder for a CheckpointStore."""
        return self.path / "checkpoints"

    def check_data(self, data: dict[str, Any]) -> None:
        """Compares what identifies the training data with data.json; `keep_config` then writes it.

        Args:
            data: nested dicts of JSON values, such as {"train": {"name of a scene": "checksum"}}.

        Raises:
            UserError: with what differs, unless `data` is among the keys that may change; or if another process has
                other data.
        """
        if processes.is_first():
            self._compare_data(data)
        processes.require_same("the training data", data)

    def _compare_data(self, data: dict[str, Any]) -> None:
        file = self.path / DATA_NAME
        before = _read_json(file) if file.exists() else data
        changes = [text for _, text in _differences(before, data)]
        more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
        table = "\n  ".join(changes[:_SHOWN] + more)
        if changes and "data" not in self._allow_change:
            raise UserError(
                f"workdir {self.path} belongs to a run with other data (before -> now):\n  {table}\n"
                "Go on with the data of before, choose another --workdir, or add data to --allow_change"
            )
        if changes:
            _log.warning("data changed on resume (before -> now):\n  %s", table)
        if changes or not file.exists():
            self._new[DATA_NAME] = data

    def keep_config(self) -> None:
        """Writes config.json and data.json. To be called when data and checkpoint fit the config, not before."""
        for name, content in self._new.items():
            file = self.path / name
            try:
                write_atomic(file, (json.dumps(content, indent=2) + "\n").encode())
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

    def __enter__(self) -> "Workdir":
        return self

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
    path = pathlib.Path(path)
    allowed = frozenset(allow_change)
    workdir = _lock_and_compare(path, config, allowed) if processes.is_first() else Workdir(path, None, allowed)
    try:
        processes.require_same("the config", _to_json(config))
    except BaseException:
        workdir.close()
        raise
    return workdir


def _lock_and_compare(path: pathlib.Path, config: ml_collections.ConfigDict, allow_change: frozenset[str]) -> Workdir:
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(path)
    except OSError as error:
        raise UserError(f"cannot write in workdir {path}: {error.strerror}; choose another with --workdir") from error
    workdir = Workdir(path, lock, allow_change)
    try:
        changed = _changed_config(path, _to_json(config), allow_change)
        if changed is not None:
            workdir._new[CONFIG_NAME] = changed
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
    """Opens and locks `lock`; the system frees it with the process, so a killed run leaves nothing to clean up."""
    descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "a process"
        os.close(descriptor)
        raise UserError(
            f"workdir {path} is in use by {holder} (file {LOCK_NAME}); wait for that run, stop it, or choose another "
            "--workdir"
        ) from None
    except OSError:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return descriptor


def _changed_config(path: pathlib.Path, config: dict[str, Any], allow_change: frozenset[str]) -> dict[str, Any] | None:
    """The config to write: None if config.json holds it. Refuses differences in keys outside `allow_change`."""
    file = path / CONFIG_NAME
    if not file.exists():
        return config
    changes = dict(_differences(_read_json(file), config))
    if not changes:
        return None
    refused = [text for key, text in changes.items() if not _is_allowed(key, allow_change)]
    if refused:
        raise UserError(
            f"workdir {path} belongs to a run with another config (before -> now):\n  "
            + "\n  ".join(refused)
            + "\nGo on with the config of before, choose another --workdir, or name the keys that may change with "
            "--allow_change=key,key"
        )
    _log.warning("config changed on resume (before -> now):\n  %s", "\n  ".join(changes.values()))
    return config


def _is_allowed(key: str, allowed: frozenset[str]) -> bool:
    return any(key == name or key.startswith(name + ".") for name in allowed)


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


def _to_json(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The config as plain JSON values (tuples become lists)."""
    try:
        return json.loads(json.dumps(config.to_dict()))
    except TypeError as error:
        raise UserError(f"the config has a value that JSON cannot hold: {error}") from error


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

"""Checkpoints: one folder a step, holding an Orbax checkpoint (`state/`) and a manifest of checksums.

`save` writes under a name that no reader looks at, forces it to the disk and renames it, so a kill at any moment leaves
whole checkpoints only. Arrays are kept as the host sees them, without their devices: any number of devices can resume.
"""

import contextlib
import logging
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util

from trainlib.files import sync
from trainlib.manifest import CheckpointError, DamagedCheckpoint, read_manifest, verify, write_manifest

_STATE = "state"
_NEW, _OLD = ".new-", ".old-"
_SPACE_MARGIN = 16 * 2**20
_LONGEST_TABLE = 30

_Path = tuple[str, ...]
_log = logging.getLogger(__name__)


class CheckpointStore:
    """The checkpoints of one run: the newest `keep`, and the one with the highest validation figure.

    Several may read a folder while one writes to it. All that is written is on the disk when `save` returns.

    Args:
        directory: made at the first save.
        keep: number of newest steps to keep.
    """

    def __init__(self, directory: str | os.PathLike, keep: int = 3):
        if keep < 1:
            raise ValueError(f"at least one checkpoint must be kept, got keep={keep}")
        self.directory = pathlib.Path(directory).absolute()
        self._keep = keep
        self._orbax = ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_compression=False))

    def steps(self) -> list[int]:
        """Steps that have a folder, ascending; whether it is whole shows when it is read."""
        if not self.directory.is_dir():
            return []
        names = [path.name for path in self.directory.iterdir() if path.is_dir()]
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def latest_step(self) -> int | None:
        """The newest step, None if there is none."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """The step with the highest figure, the earliest of equals; None if no step has one."""
        return next(iter(self._by_metric()), None)

    def check_space(self, state: Any) -> None:
        """Removes what a killed run has left and raises CheckpointError if a save of `state` would not fit."""
        with self._failures("the first save"):
            self._clean()
            self._require_space(_named_arrays(state))

    def save(self, step: int, state: Any, metric: float | None = None, *, retry_later: bool = False) -> bool:
        """Keeps `state` as step `step`, and drops steps that are no longer wanted.

        Steps above `step` belong to a future that is being computed anew; they are dropped too.

        Args:
            step: 0 or more. A checkpoint of the same step is replaced.
            state: a tree of arrays and Python numbers, each with a name of its own, unreplicated. JAX random keys as
                `jax.random.key_data`.
            metric: validation figure at this step, higher is better (give a loss with its sign turned).
            retry_later: log a failure (a full disk) and return False instead of raising; the next save tries again.

        Raises CheckpointError with path and numbers if the state cannot be written or holds NaN or Inf. The older
        checkpoints are untouched then.
        """
        if metric is not None and not math.isfinite(metric):
            raise CheckpointError(f"step {step} not saved: its validation figure is {metric}")
        arrays = _named_arrays(state)
        _require_finite(step, arrays)
        try:
            with self._failures(f"the save of step {step}"):
                self._clean()
                self._require_space(arrays)
                self._write(step, arrays, None if metric is None else float(metric))
                self._drop_unwanted(step)
        except CheckpointError as error:
            if not retry_later:
                raise
            _log.error("%s\nGoing on; the next save tries again.", error)
            return False
        return True

    def restore(self, target: Any, step: int | str = "last", *, strict: bool = False) -> tuple[Any, int]:
        """The state of a step, in the structure of `target`.

        Args:
            target: tree whose leaves have the expected shape and dtype (arrays, `jax.ShapeDtypeStruct`, numbers).
            step: "last", "best" or a number. A damaged checkpoint is passed over with a warning ("last": for the next
                older one, "best": for the next best one); a step named by its number must be whole.
            strict: raise instead of passing over.

        Returns the tree, its leaves NumPy arrays (Python numbers stay such), and the step it is from.
        Raises CheckpointError if there is no whole checkpoint, or with a table of all names, shapes and dtypes that
        differ: nothing is cast, nothing left out.
        """
        tree, found = self.read(step, strict=strict)
        stored = traverse_util.flatten_dict(tree)
        expected = jax.tree_util.tree_flatten_with_path(target)
        _require_fit(self.directory / str(found), stored, expected[0])
        leaves = [_like(leaf, stored[_names(path)]) for path, leaf in expected[0]]
        return jax.tree.unflatten(expected[1], leaves), found

    def read(self, step: int | str = "last", *, strict: bool = False) -> tuple[dict[str, Any], int]:
        """All that a checkpoint holds, as nested dicts of NumPy arrays, and its step; `restore` without a target."""
        skipped: list[str] = []
        for candidate in self._candidates(step):
            folder = self.directory / str(candidate)
            try:
                verify(folder)
                tree = self._orbax.restore(folder / _STATE)
            except DamagedCheckpoint as error:
                if strict or not isinstance(step, str):
                    raise DamagedCheckpoint(f"checkpoint of step {candidate} is damaged: {error}") from error
                skipped.append(f"checkpoint of step {candidate} is damaged and passed over: {error}")
                continue
            for line in skipped:
                _log.warning("%s", line)
            if skipped:
                _log.warning("using step %d instead", candidate)
            return jax.tree.map(np.asarray, tree), candidate
        raise CheckpointError(
            "\n".join(
                [*skipped, f"no whole checkpoint for step {step!r} in {self.directory}; it has {self._listing()}"]
            )
        )

    def close(self) -> None:
        """Ends Orbax's helpers."""
        self._orbax.close()

    def __enter__(self) -> "CheckpointStore":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _candidates(self, step: int | str) -> list[int]:
        """Steps to try, in order."""
        if step == "last":
            return sorted(self.steps(), reverse=True)
        if step == "best":
            return self._by_metric()
        if isinstance(step, str):
            raise ValueError(f"a step is 'last', 'best' or a number, not {step!r}")
        return [step] if step in self.steps() else []

    def _by_metric(self) -> list[int]:
        """Steps that have a figure, the best first."""
        found = []
        for step in self.steps():
            try:
                metric = read_manifest(self.directory / str(step)).metric
            except DamagedCheckpoint as error:
                _log.warning("checkpoint of step %d is damaged, its validation figure unknown: %s", step, error)
                continue
            if metric is not None:
                found.append((-metric, step))
        return [step for _, step in sorted(found)]

    def _listing(self) -> str:
        return "the steps " + ", ".join(map(str, self.steps())) if self.steps() else "no checkpoint"

    @contextlib.contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        """Turns what the file system and Orbax's storage layer raise into CheckpointError, and clears the remains."""
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            self._clean()
            free = shutil.disk_usage(_existing(self.directory)).free / 2**20
            raise CheckpointError(f"{what} in {self.directory} failed ({free:.0f} MiB are free): {error}") from error

    def _require_space(self, arrays: dict[_Path, np.ndarray]) -> None:
        """Reserves the bytes of a save for a moment, which meets quotas and limits too, not the free space alone."""
        needed = sum(array.nbytes for array in arrays.values()) + _SPACE_MARGIN
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryFile(dir=self.directory) as file:
                os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            raise OSError(error.errno, f"{needed / 2**20:.0f} MiB are needed: {error.strerror}") from error

    def _write(self, step: int, arrays: dict[_Path, np.ndarray], metric: float | None) -> None:
        new, final, old = (self.directory / f"{prefix}{step}" for prefix in (_NEW, "", _OLD))
        new.mkdir(parents=True)
        self._orbax.save(new / _STATE, traverse_util.unflatten_dict(arrays))
        write_manifest(new, step, metric)
        if final.exists():
            final.rename(old)
        new.rename(final)
        sync(self.directory)
        shutil.rmtree(old, ignore_errors=True)

    def _drop_unwanted(self, step: int) -> None:
        """Keeps the newest steps up to `step` and the best of them."""
        past = [other for other in self.steps() if other <= step]
        wanted = set(past[-self._keep :])
        best = next((other for other in self._by_metric() if other <= step), None)
        for other in self.steps():
            if other in wanted or other == best:
                continue
            if other > step:
                _log.warning("checkpoint of step %d dropped: the run went back to before it", other)
            doomed = self.directory / f"{_NEW}{other}"
            (self.directory / str(other)).rename(doomed)
            shutil.rmtree(doomed)

    def _clean(self) -> None:
        """Ends what a kill has interrupted: half-written and half-removed folders go, a set-aside one comes back."""
        if not self.directory.is_dir():
            return
        for path in list(self.directory.iterdir()):
            if path.name.startswith(_OLD):
                final = self.directory / path.name.removeprefix(_OLD)
                if not final.exists():
                    path.rename(final)
                    continue
            if path.name.startswith((_NEW, _OLD)):
                shutil.rmtree(path)


def _existing(path: pathlib.Path) -> pathlib.Path:
    """The closest folder above that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _names(path: tuple[Any, ...]) -> _Path:
    """A leaf's place in a tree: ("params", "conv", "kernel")."""
    return tuple(jax.tree_util.keystr((entry,), simple=True) for entry in path)


def _named_arrays(state: Any) -> dict[_Path, np.ndarray]:
    """Leaves of a tree by place, on the host."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    arrays = {_names(path): np.asarray(leaf) for path, leaf in leaves}
    if len(arrays) != len(leaves) or () in arrays:
        raise ValueError("every leaf of a checkpointed state needs a name of its own")
    return arrays


def _require_finite(step: int, arrays: dict[_Path, np.ndarray]) -> None:
    for names, array in arrays.items():
        if jax.numpy.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
            count = int((~np.isfinite(array)).sum())
            raise CheckpointError(f"step {step} not saved: {'/'.join(names)} has {count} values that are NaN or Inf")


def _signature(leaf: Any) -> str:
    """dtype and shape, as in "float32[3, 4]"."""
    array = leaf if hasattr(leaf, "dtype") and hasattr(leaf, "shape") else np.asarray(leaf)
    return f"{np.dtype(array.dtype)}[{', '.join(map(str, array.shape))}]"


def _require_fit(folder: pathlib.Path, stored: dict[_Path, np.ndarray], expected: list[tuple[Any, Any]]) -> None:
    """Raises CheckpointError with a table of the differences between a checkpoint and the state of the program."""
    wanted = {_names(path): _signature(leaf) for path, leaf in expected}
    rows = []
    for names in sorted(stored.keys() | wanted.keys()):
        found = _signature(stored[names]) if names in stored else "(absent)"
        want = wanted.get(names, "(absent)")
        if found != want:
            rows.append(f"  {'/'.join(names)}: {found}, expected {want}")
    if rows:
        more = [f"  and {len(rows) - _LONGEST_TABLE} more"] if len(rows) > _LONGEST_TABLE else []
        table = "\n".join(rows[:_LONGEST_TABLE] + more)
        raise CheckpointError(f"the checkpoint in {folder} does not fit this config's state:\n{table}")


def _like(leaf: Any, array: np.ndarray) -> Any:
    return array if hasattr(leaf, "shape") else type(leaf)(array.item())

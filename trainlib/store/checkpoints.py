"""Checkpoints: one folder per step, with an Orbax checkpoint (`state/`) and a manifest of checksums.

`save` writes under a name that no reader looks at, forces it to the disk and renames it, so a kill at any moment leaves
whole checkpoints only. Arrays are kept as the host sees them, without their devices: any number of devices can resume.
"""

import contextlib
import errno
import functools
import json
import logging
import math
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from typing import Any

import tensorstore as ts

from trainlib.core.errors import CheckpointError
from trainlib.core.files import is_full, sync
from trainlib.run import processes
from trainlib.store.manifest import DamagedCheckpoint, read_manifest, verify, write_manifest, write_metric
from trainlib.store.named_arrays import NamedArrays, fill, named_arrays, nested, require_finite

_STATE = "state"
_STEP = re.compile("0|[1-9][0-9]*")
_HIDDEN = ".part-"
_REPLACED = f"{_HIDDEN}replaced-"
_SPACE_MARGIN = 16 * 2**20

_log = logging.getLogger(__name__)


class CheckpointStore(contextlib.AbstractContextManager):
    """The checkpoints of one run: the newest `keep`, and the one with the highest validation figure.

    Several may read a folder while one writes to it, of several processes of a run the first. All that is written is on
    the disk when `save` returns.

    Args:
        directory: made at the first save.
        keep: number of newest steps to keep.
    """

    def __init__(self, directory: str | os.PathLike, keep: int = 3):
        if keep < 1:
            raise ValueError(f"at least one checkpoint must be kept, got keep={keep}")
        self.directory = pathlib.Path(directory).absolute()
        self._keep = keep

    def steps(self) -> list[int]:
        """Steps that have a folder, ascending; whether it is whole shows when it is read."""
        if not self.directory.is_dir():
            return []
        return sorted(int(path.name) for path in self.directory.iterdir() if _STEP.fullmatch(path.name))

    def latest_step(self) -> int | None:
        """The newest step, None if there is none."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """The step with the highest figure, ties go to the earliest; None if no step has one."""
        return next(iter(self._by_metric()), None)

    def check_space(self, state: Any) -> None:
        """Removes what a killed run has left and raises CheckpointError if a save of `state` would not fit."""
        arrays = named_arrays(state)
        with self._failures("a save"):
            self._clean()
            self._require_space(arrays)

    def save(
        self,
        step: int,
        state: Any,
        metric: float | None = None,
        *,
        notes: dict[str, Any] | None = None,
        retry_later: bool = False,
    ) -> bool:
        """Keeps `state` as step `step`, and drops steps that are no longer needed.

        Steps above `step` are dropped too: the run computes them again.

        Args:
            step: 0 or more. A checkpoint of the same step is replaced once the new one is whole.
            state: a tree of arrays and Python numbers, each with its own name, unreplicated. JAX random keys as
                `jax.random.key_data`.
            metric: validation figure at this step, higher is better (give a loss with its sign turned).
            notes: finite JSON values that `notes` returns.
            retry_later: where the disk is full, log it and return False instead of raising; the next save tries again.

        Raises:
            CheckpointError: with path and numbers if the state cannot be written or holds NaN or Inf. The older
                checkpoints are untouched then.
        """
        _require_figure(step, metric)
        arrays = named_arrays(state)
        require_finite(f"step {step} not saved", arrays)
        with self._failures(f"the save of step {step}", "the next save tries again" if retry_later else None):
            self._clean()
            self._require_space(arrays)
            self._write(step, arrays, None if metric is None else float(metric), notes or {})
            self._drop_unwanted(step)
            return True
        return False

    def score(self, step: int, metric: float, *, retry_later: bool = False) -> None:
        """Adds the validation figure to a step saved without it; arguments and errors as in `save`."""
        _require_figure(step, metric)
        instead = f"step {step} stays without a figure" if retry_later else None
        with self._failures(f"the validation figure of step {step}", instead):
            write_metric(self.directory / str(step), float(metric))

    def notes(self, step: int) -> dict[str, Any]:
        """What was given to `save` as notes."""
        return read_manifest(self.directory / str(step)).notes

    def restore(self, target: Any, step: int | str = "last", *, strict: bool = False) -> tuple[Any, int]:
        """The state of a step, in the structure of `target`.

        Args:
            target: tree whose leaves have the expected shape and dtype (arrays, `jax.ShapeDtypeStruct`, numbers).
            step: "last", "best" or a number (digits will do). A damaged checkpoint is passed over with a warning
                ("last": for the next older one, "best": for the next best one); one named by its number is not.
            strict: raise instead of passing over.

        Returns:
            the tree, its leaves NumPy arrays (Python numbers stay such), and the step it is from.

        Raises:
            CheckpointError: if there is no whole checkpoint, or with a table of all names, shapes and dtypes that
                differ: nothing is cast, nothing skipped.
        """
        tree, found = self.read(step, strict=strict)
        return fill(target, named_arrays(tree), f"the checkpoint {self.directory / str(found)}"), found

    def read(
        self, step: int | str = "last", *, strict: bool = False, only: Collection[str] = ()
    ) -> tuple[dict[str, Any], int]:
        """What a checkpoint holds, as nested dicts of NumPy arrays, and its step; `restore` without a target.

        `only` names parts of the state, ("params",); () is all of it.
        """
        skipped: list[str] = []
        for candidate in self._candidates(step):
            folder = self.directory / str(candidate)
            try:
                verify(folder)
                arrays = _read_arrays(folder / _STATE, only)
            except DamagedCheckpoint as error:
                if strict or step not in ("last", "best"):
                    raise DamagedCheckpoint(f"checkpoint of step {candidate} is damaged: {error}") from error
                skipped.append(f"checkpoint of step {candidate} is damaged and passed over: {error}")
                continue
            for line in [*skipped, f"using step {candidate} instead"] if skipped else ():
                _log.warning("%s", line)
            return nested(arrays), candidate
        none = f"no whole checkpoint for step {step!r} in {self.directory}; it has {self._listing()}"
        raise CheckpointError("\n".join([*skipped, none]))

    def __exit__(self, *exception: object) -> None:
        if "_writer" in vars(self):
            self._writer.close()

    @functools.cached_property
    def _writer(self) -> Any:
        """An `orbax.checkpoint.Checkpointer`; its import takes a second, which those who only read do not wait for."""
        import orbax.checkpoint as ocp

        alone = ocp.options.MultiprocessingOptions(primary_host=processes.index(), active_processes={processes.index()})
        handler = ocp.PyTreeCheckpointHandler(use_compression=False, multiprocessing_options=alone)
        return ocp.Checkpointer(handler, multiprocessing_options=alone)

    def _candidates(self, step: int | str) -> list[int]:
        """Steps to try, in order."""
        if step == "last":
            return sorted(self.steps(), reverse=True)
        if step == "best":
            found = self._by_metric()
            if not found and self.steps():
                raise CheckpointError(
                    f"no checkpoint in {self.directory} has a validation figure to be best by; "
                    f"name a step, or take the last: it has {self._listing()}"
                )
            return found
        if not str(step).isdigit():
            raise CheckpointError(f"a step is last, best or a number, not {step!r}")
        return [int(step)] if int(step) in self.steps() else []

    def _by_metric(self) -> list[int]:
        """Steps that have a figure, the best first."""
        figures = {}
        for step in self.steps():
            try:
                figures[step] = read_manifest(self.directory / str(step)).metric
            except DamagedCheckpoint as error:
                _log.warning("checkpoint of step %d is damaged, its validation figure unknown: %s", step, error)
        found = [step for step, figure in figures.items() if figure is not None]
        return sorted(found, key=lambda step: -figures[step])

    def _listing(self) -> str:
        return "the steps " + ", ".join(map(str, self.steps())) if self.steps() else "no checkpoint"

    @contextlib.contextmanager
    def _failures(self, what: str, instead: str | None = None) -> Iterator[None]:
        """Turns what the file system and Orbax's storage layer raise into CheckpointError, and clears the remains.

        With `instead`, what the run does next, a full disk is only logged.
        """
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            self._clean()
            there = next(folder for folder in (self.directory, *self.directory.parents) if folder.exists())
            free = shutil.disk_usage(there).free / 2**20
            message = f"{what} in {self.directory} failed ({free:.0f} MiB are free): {error}"
            if not is_full(error):
                raise CheckpointError(message) from error
            if instead is None:
                raise CheckpointError(f"{message}. Make room there") from error
            _log.error("%s. Make room there\nGoing on; %s.", message, instead)

    def _require_space(self, arrays: NamedArrays) -> None:
        """Raises OSError; besides the free space, quotas and limits count, so the bytes are reserved for a moment."""
        self.directory.mkdir(parents=True, exist_ok=True)
        needed = sum(array.nbytes for array in arrays.values()) + _SPACE_MARGIN
        text = f"{needed / 2**20:.0f} MiB are needed"
        if shutil.disk_usage(self.directory).free < needed:
            raise OSError(errno.ENOSPC, f"{text}: {os.strerror(errno.ENOSPC)}")
        if not hasattr(os, "posix_fallocate"):  # macOS
            return
        try:
            with tempfile.TemporaryFile(dir=self.directory) as file:
                os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            raise OSError(error.errno, f"{text}: {error.strerror}") from error

    def _write(self, step: int, arrays: NamedArrays, metric: float | None, notes: dict[str, Any]) -> None:
        new = self.directory / f"{_HIDDEN}{step}"
        new.mkdir(parents=True)
        self._writer.save(new / _STATE, nested(arrays))
        write_manifest(new, step, metric, notes)
        place, old = self.directory / str(step), self.directory / f"{_REPLACED}{step}"
        replaces = step in self.steps()
        if replaces:
            place.rename(old)
        new.rename(place)
        sync(self.directory)
        if replaces:
            shutil.rmtree(old)

    def _drop_unwanted(self, step: int) -> None:
        """Keeps the newest steps up to `step` and the best of them."""
        wanted = [other for other in self.steps() if other <= step][-self._keep :]
        wanted += [other for other in self._by_metric() if other <= step][:1]
        for other in self.steps():
            if other in wanted:
                continue
            if other > step:
                _log.warning("checkpoint of step %d dropped: the run went back to before it", other)
            # Hidden first, so that a kill leaves no half of it under its name.
            doomed = (self.directory / str(other)).rename(self.directory / f"{_HIDDEN}removed-{other}")
            shutil.rmtree(doomed)

    def _clean(self) -> None:
        """Removes half-written and half-removed folders; only the run that writes here may do so.

        A checkpoint that was to be replaced, when a kill came before the new one had its name, gets its name back.
        """
        for path in self.directory.glob(f"{_REPLACED}*"):
            place = self.directory / path.name.removeprefix(_REPLACED)
            if not place.exists():
                with contextlib.suppress(OSError):
                    path.rename(place)
        for path in self.directory.glob(f"{_HIDDEN}*"):
            shutil.rmtree(path, ignore_errors=True)


def _read_arrays(folder: pathlib.Path, only: Collection[str]) -> NamedArrays:
    """The arrays of an Orbax checkpoint: Zarr arrays in one OCDBT store, listed in `_METADATA`."""
    listed = json.loads((folder / "_METADATA").read_bytes())["tree_metadata"].values()
    places = [tuple(part["key"] for part in entry["key_metadata"]) for entry in listed]
    places = [place for place in places if not only or place[0] in only]
    context = ts.Context()

    def begin(place: tuple[str, ...]) -> ts.Future:
        store = {"driver": "ocdbt", "base": folder.as_uri(), "path": ".".join(place) + "/"}
        return ts.open({"driver": "zarr", "kvstore": store}, context=context, open=True, read=True)

    opened = [begin(place) for place in places]
    reads = [store.result().read() for store in opened]
    return {place: read.result() for place, read in zip(places, reads)}


def _require_figure(step: int, metric: float | None) -> None:
    if metric is not None and not math.isfinite(metric):
        raise CheckpointError(f"step {step} not saved: its validation figure is {metric}")

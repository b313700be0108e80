"""Traced programs that outlive the process: a step whose network was traced once is not traced again.

A program is kept as JAX's own export of it (StableHLO, no pickle) in the folder `programs` of the compilation cache,
where XLA keeps its machine code. Its name is the digest of all that it depends on: the network, the arguments' shapes,
the versions of Python's packages, the platform and devices, and every source file of this project. A file that is
damaged or was made for something else is not used.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import logging
import pathlib
import threading
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax import export

from trainlib.core.files import write_atomic
from trainlib.store.named_arrays import leaf_name, nested

PACKAGES = ("kernels", "trainlib", "vmnet_jax", "sdclr_jax")
MOST_FILES = 256
"""The newest are kept."""

_log = logging.getLogger(__name__)


class StoredStep:
    """A step that is traced and compiled once for each kind of arguments, and loaded by later processes.

    Threads may share it. It has `lower(...).compile()` as steps of `jax.jit` do.
    """

    def __init__(
        self,
        make: Callable[[], Callable[..., Any]],
        about: Any,
        *,
        describe: Callable[..., str],
        custom_calls: Callable[[], Mapping[str, Callable[[], object]]] = dict,
    ):
        """Keeps how to make the step; nothing is traced before the first call.

        Args:
            make: the step, of `trainlib.run.parallel.pmap_step` without donated arguments; called to trace it.
            about: JSON values that together with the arguments' shapes determine the step.
            describe: arguments -> size of a call, for the log.
            custom_calls: the custom calls that the step may make, and what registers each.
        """
        self._make, self._about, self._describe, self._custom_calls = make, about, describe, custom_calls
        self._compiled: dict[Any, jax.stages.Compiled] = {}
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:
        return self._program(arguments)(*jax.tree.leaves(arguments))

    def lower(self, *arguments: Any) -> types.SimpleNamespace:
        """An object with `compile()`: the program for arguments of these shapes, `jax.stages.Compiled`."""
        return types.SimpleNamespace(compile=functools.partial(self._program, arguments))

    def _program(self, arguments: tuple[Any, ...]) -> jax.stages.Compiled:
        leaves, structure = jax.tree.flatten(arguments)
        kind = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if kind not in self._compiled:  # outside of the lock, so that a call does not wait for another kind's compile
            with self._lock:
                if kind not in self._compiled:
                    self._compiled[kind] = self._load_or_trace(arguments, leaves, structure)
        return self._compiled[kind]

    def _load_or_trace(self, arguments: tuple[Any, ...], leaves: list[Any], structure: Any) -> jax.stages.Compiled:
        calls = self._custom_calls()
        shapes = [f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves]
        key = make_key(self._about, str(structure), shapes, sorted(calls))
        if (data := read("step", key)) is None:
            text = "Compiling %s; this may take a minute, and is kept for the next time"
            _log.info(text, self._describe(*arguments))
            step = self._make()
            allowed = [export.DisabledSafetyCheck.custom_call(name) for name in calls]
            traced = export.export(
                jax.jit(lambda *flat: step(*jax.tree.unflatten(structure, flat))), disabled_checks=allowed
            )(*leaves)
            data = traced.serialize()
            write("step", key, data)
        for name, register in calls.items():
            if name.encode() in data:
                register()
        # Always from the stored form, so that XLA's cache finds the machine code again.
        return jax.jit(export.deserialize(bytearray(data)).call).lower(*leaves).compile()


def stored_shapes(about: Any, make: Callable[[], Any]) -> dict[str, Any]:
    """Nested dicts of `jax.ShapeDtypeStruct`, the leaves of `make()`, called only if no earlier process has.

    `about` are JSON values that determine them.
    """
    key = make_key(about)
    if (data := read("shapes", key)) is None:
        leaves = jax.tree_util.tree_flatten_with_path(make())[0]
        data = json.dumps([[leaf_name(path), str(leaf.dtype), leaf.shape] for path, leaf in leaves]).encode()
        write("shapes", key, data)
    return nested({tuple(name): jax.ShapeDtypeStruct(shape, dtype) for name, dtype, shape in json.loads(data)})


def make_key(*about: Any) -> str:
    """JSON text of all that a traced program depends on: `about`, JSON values, and what holds for the whole process."""
    names = "jax_enable_x64", "jax_default_matmul_precision", "jax_threefry_partitionable"
    devices = [str(device.device_kind) for device in jax.local_devices()]
    settings = {name: str(getattr(jax.config, name)) for name in names}
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")}
    return json.dumps([about, versions, jax.default_backend(), devices, settings, _sources()])


def read(kind: str, key: str) -> bytes | None:
    """What `write` has stored under a key; None if there is nothing, or nothing whole."""
    path = _path(kind, key)
    if path is None:
        return None
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        head, _, rest = data.partition(b"\n")
        if head == _digest(key.encode() + rest).encode():
            return rest
    return None


def write(kind: str, key: str, data: bytes) -> None:
    """Stores bytes under a key, for this user's later processes, where there is a folder with room; drops old files."""
    path = _path(kind, key)
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, _digest(key.encode() + data).encode() + b"\n" + data)
        for old in sorted(path.parent.glob("*.bin"), key=lambda file: -file.stat().st_mtime)[MOST_FILES:]:
            old.unlink(missing_ok=True)


def _path(kind: str, key: str) -> pathlib.Path | None:
    folder = jax.config.jax_compilation_cache_dir
    return pathlib.Path(folder, "programs", f"{kind}-{_digest(key.encode())}.bin") if folder else None


@functools.cache
def _sources() -> str:
    """Digest of the project's source files."""
    root = pathlib.Path(__file__).parents[2]
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        found.update(f"{path.relative_to(root)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return found.hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()

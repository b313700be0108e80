"""The mains as processes with small networks: `run_main` does what `python -m MODULE ARGUMENTS` does otherwise."""

import functools
import hashlib
import importlib
import itertools
import os
import pathlib
import resource
import runpy
import sys
import time
from collections.abc import Callable, Collection

import flax.linen as nn
import jax
import jax.numpy as jnp

import sdclr_jax.learn.build
import sdclr_jax.views.views
import vmnet_jax.learn.build
from sdclr_jax.model.contrastive import ContrastiveNet, ProjectionHead
from sdclr_jax.model.norm import BranchNorm
from sdclr_jax.model.resnet import standardize
from sdclr_jax.views.views import ViewConfig, ViewParams
from trainlib.store import programs
from vmnet_jax.model.layers import MaskedBatchNorm
from vmnet_jax.model.vmnet import Logits, VMNet

PAUSE_S = 300  # longer than any test waits for such a process


class SmallVMNet(VMNet):
    """Two layers a voxel, read out at the vertices."""

    @nn.compact
    def __call__(self, batch, train: bool) -> Logits:
        x = nn.Dense(self.widths[0], dtype=self.dtype)(batch.features)
        x = nn.relu(MaskedBatchNorm(axis_name=self.axis_name, dtype=self.dtype)(x, batch.voxel_count[0], train))
        places = batch.corners[0]
        at_vertices = (x[places.corners] * places.weights[..., None]).sum(1)
        head = nn.Dense(self.num_classes, dtype=self.dtype)
        return Logits(head(x), head(at_vertices))


class SmallBackbone(nn.Module):
    """One convolution."""

    norm: Callable
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, images, run):
        x = nn.Conv(16, (3, 3), use_bias=False, dtype=self.dtype, name="conv1")(standardize(images))
        return nn.relu(self.norm(name="bn1")(x, run)).mean((1, 2))


class SmallContrastiveNet(ContrastiveNet):
    """That convolution and the projection head."""

    def setup(self):
        norm = functools.partial(BranchNorm, self.num_bn_sets, self.prune_bn_updates, axis_name=self.axis_name)
        self.backbone = SmallBackbone(norm, self.dtype)
        self.head = ProjectionHead(self.head_layers, self.projection_size, norm, self.dtype)


def small_view(image: jax.Array, view: ViewParams, config: ViewConfig) -> jax.Array:
    """Cut to size, mirrored and brightened; quick to compile."""
    image = image[: config.size, : config.size]
    image = jnp.where(view.flip, image[:, ::-1], image)
    return jnp.clip(image * view.factors[0], 0, 255).astype(jnp.uint8)


def use_small_networks() -> None:
    """From here on, in this process; views of images are as simple."""
    vmnet_jax.learn.build.NETWORKS["vmnet"] = SmallVMNet
    programs.PACKAGES = (*programs.PACKAGES, "tests")  # other networks than those of the same settings
    sdclr_jax.learn.build.ContrastiveNet = SmallContrastiveNet
    sdclr_jax.views.views.apply_view = small_view


def before_calls(place: str, action: Callable[[str, int], None]) -> None:
    """action("Class.function", number of the call, from 1) goes ahead of each call of "module:Class.function"."""
    module, path = place.split(":")
    holder = functools.reduce(getattr, path.split(".")[:-1], importlib.import_module(module))
    name = path.split(".")[-1]
    work, number = getattr(holder, name), itertools.count(1)

    @functools.wraps(work)
    def later(*args, **kwargs):
        action(path, next(number))
        return work(*args, **kwargs)

    setattr(holder, name, later)


def pause(path: str, call: int, calls: Collection[int], folder: pathlib.Path) -> None:
    """At these calls: says "pausing in PATH, call N" and waits until the test makes `release-N` in `folder`."""
    if call not in calls:
        return
    print(f"pausing in {path}, call {call}", file=sys.stderr, flush=True)
    end = time.monotonic() + PAUSE_S
    while not (folder / f"release-{call}").exists():
        if time.monotonic() > end:
            raise TimeoutError(f"not released for {PAUSE_S} s")
        time.sleep(0.01)


def long_call_into_c(path: str, call: int) -> None:
    """Says "in C ahead of PATH" and is in one call into C for minutes, as in a compile: no Python handler runs."""
    print(f"in C ahead of {path}", file=sys.stderr, flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)


def run_main(
    module: str,
    arguments: list[str],
    environment: dict[str, str],
    out: str,
    err: str,
    networks: str = "small",
    pause_in: str = "",
    calls: Collection[int] = (1,),
    long_call_in: str = "",
    room: int = 0,
    log_compiles: bool = False,
) -> None:
    """In a new process: standard output and error go to the files `out` and `err`.

    Args:
        networks: "small" or "real".
        pause_in: "module:Class.function", see `pause`; calls: at which of its calls, from 1.
        long_call_in: "module:Class.function", see `long_call_into_c`.
        room: bytes that the largest file may have, 0 for any number.
        log_compiles: JAX logs what it compiles.
    """
    os.environ.update(environment)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    jax.config.update("jax_disable_most_optimizations", os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1")
    jax.config.update("jax_log_compiles", log_compiles)
    if networks == "small":
        use_small_networks()
    if pause_in:
        before_calls(pause_in, functools.partial(pause, calls=calls, folder=pathlib.Path(err).parent))
    if long_call_in:
        before_calls(long_call_in, long_call_into_c)
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)  # loaded ahead; now it runs as a program
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run_main(**REQUEST)  # noqa: F821  given by whoever starts the process

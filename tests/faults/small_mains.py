"""The mains as processes with small networks: `run_main` does what `python -m MODULE ARGUMENTS` does otherwise."""

import functools
import importlib
import os
import resource
import runpy
import sys
import time
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

import sdclr_jax.learn.build
import vmnet_jax.learn.build
from sdclr_jax.model.contrastive import ContrastiveNet, ProjectionHead
from sdclr_jax.model.norm import BranchNorm
from sdclr_jax.model.resnet import standardize
from trainlib.run import programs
from vmnet_jax.model.layers import MaskedBatchNorm
from vmnet_jax.model.vmnet import Logits, VMNet


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


def use_small_networks() -> None:
    """From here on, in this process."""
    vmnet_jax.learn.build.NETWORKS["vmnet"] = SmallVMNet
    programs.PACKAGES = (*programs.PACKAGES, "tests")  # other networks than those of the same settings
    sdclr_jax.learn.build.ContrastiveNet = SmallContrastiveNet


def pause_in(place: str) -> None:
    """For "module:Class.function:seconds": says "pausing in ..." and waits whenever that function is called."""
    module, path, seconds = place.split(":")
    holder = functools.reduce(getattr, path.split(".")[:-1], importlib.import_module(module))
    name = path.split(".")[-1]
    work = getattr(holder, name)

    @functools.wraps(work)
    def paused(*args, **kwargs):
        print(f"pausing in {path}", file=sys.stderr, flush=True)
        time.sleep(float(seconds))
        return work(*args, **kwargs)

    setattr(holder, name, paused)


def run_main(
    module: str,
    arguments: list[str],
    environment: dict[str, str],
    out: str,
    err: str,
    networks: str = "small",
    pause: str = "",
    room: int = 0,
    log_compiles: bool = False,
) -> None:
    """In a new process: standard output and error go to the files `out` and `err`.

    networks: "small" or "real". pause: see `pause_in`. room: bytes that the largest file may have, 0 for any number.
    log_compiles: JAX says what it compiles.
    """
    os.environ.update(environment)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_log_compiles", log_compiles)
    if networks == "small":
        use_small_networks()
    if pause:
        pause_in(pause)
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)  # loaded ahead; now it runs as a program
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run_main(**REQUEST)  # noqa: F821  given by whoever starts the process

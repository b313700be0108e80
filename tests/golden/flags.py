"""The flags of every program as plain text: names, value, default and help, without starting one.

A program is run in this process up to the point where it would read its command line. The text depends neither on the
terminal nor on the module that defines a flag.
"""

import argparse
import contextlib
import importlib
import io
import runpy
import sys
import warnings
from collections.abc import Iterator
from unittest import mock

from absl import flags

from trainlib.run.flags import run_main

PROGRAMS = (
    "benchmarks",
    "benchmarks.growth",
    "preprocess.check",
    "preprocess.rooms",
    "preprocess.scenes",
    "sdclr_jax.convert",
    "sdclr_jax.curve",
    "sdclr_jax.evaluate",
    "sdclr_jax.exemplars",
    "sdclr_jax.grad_cam",
    "sdclr_jax.study",
    "sdclr_jax.table",
    "sdclr_jax.tfds_prepare",
    "vmnet_jax.baseline",
    "vmnet_jax.convert",
    "vmnet_jax.curve",
    "vmnet_jax.evaluate",
    "vmnet_jax.exemplars",
    "vmnet_jax.predict",
    "vmnet_jax.study",
    "vmnet_jax.submit",
    "vmnet_jax.tfds_prepare",
)
TRAINING = ("sdclr_jax.train", "vmnet_jax.train")


class _ParserReady(BaseException):
    """Carries the parser out of a program that is about to parse."""

    def __init__(self, parser: argparse.ArgumentParser):
        self.parser = parser


def parser_of(program: str) -> argparse.ArgumentParser:
    """The parser with which `python -m program` reads its command line. Raises ValueError if it reads none."""

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        raise _ParserReady(parser)

    try:
        with (
            mock.patch.object(argparse.ArgumentParser, "parse_args", stop),
            mock.patch.object(sys, "argv", [program]),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)
            runpy.run_module(program, run_name="__main__")
    except _ParserReady as ready:
        return ready.parser
    raise ValueError(f"{program} ended without reading a command line")


def lines(program: str) -> list[str]:
    """A line for each argument of a program of PROGRAMS or TRAINING."""
    return list(_training_lines(program) if program in TRAINING else _parser_lines(parser_of(program)))


def collect() -> str:
    """The text of all programs: a name, then its lines, indented."""
    return "\n".join(
        f"{program}\n" + "".join(f"  {line}\n" for line in lines(program)) for program in (*PROGRAMS, *TRAINING)
    )


def read(text: str) -> dict[str, list[str]]:
    """{program: lines} of what `collect` gives."""
    programs = [part.splitlines() for part in text.split("\n\n")]
    return {name: [line.removeprefix("  ") for line in lines] for name, *lines in programs}


def _parser_lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Of all arguments but --help, in their order."""
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        takes = "nothing" if action.nargs == 0 else f"{action.nargs or 1} {action.metavar or ''}".strip()
        if action.choices is not None:
            takes += f" of {', '.join(map(str, action.choices))}"
        default = "required" if action.required else f"default {_without_machine(action)!r}"
        names = ", ".join(action.option_strings) or action.dest
        yield _line(names, f"takes {takes}, {default}", (action.help or "") % {"default": action.default})


def _without_machine(action: argparse.Action) -> object:
    """The default of an argument, but the number of workers where that is the machine's number of processors."""
    return "processors" if action.dest == "workers" and action.default else action.default


def _training_lines(program: str) -> Iterator[str]:
    """Of the common absl flags and of those that the program's own package defines, by name."""
    importlib.import_module(program)
    values = flags.FlagValues()
    for module, own in flags.FLAGS.flags_by_module_dict().items():
        if module.partition(".")[0] == program.partition(".")[0]:
            for flag in own:
                values[flag.name] = flag
    with (
        mock.patch.dict(run_main.__globals__, FLAGS=values),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.suppress(SystemExit),
    ):
        run_main(lambda config, workdir: None, [program, "--help"])
    for name in sorted(values):
        flag = values[name]
        if name != flag.short_name:
            names = f"--{name}, -{flag.short_name}" if flag.short_name else f"--{name}"
            yield _line(names, f"takes {flag.flag_type()}, default {flag.default!r}", flag.help)


def _line(names: str, facts: str, text: str) -> str:
    return f"{names} [{facts}] {' '.join(text.split())}".rstrip()

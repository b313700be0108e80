"""The command line of the mains: `python -m X --config=configs/x.py:words --config.key=value --workdir=DIR`."""

import logging
import pathlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from trainlib.core import cli
from trainlib.core.config import load_config_file, require_config_file
from trainlib.core.errors import UsageError
from trainlib.core.text import did_you_mean
from trainlib.run import processes
from trainlib.run.signals import StopRequest

FLAGS = flags.FLAGS
Main = Callable[[ml_collections.ConfigDict, pathlib.Path], Any]


def run_main(main: Main, argv: Sequence[str] | None = None) -> None:
    """Parses the command line, calls `main(config, workdir)` and leaves the process with one of the exit codes.

    The processes of the run, if there are several, have joined by then. `main` checks files and folders first, then
    imports what takes seconds, and starts the devices (`trainlib.run.devices.start_devices`).

    Exit codes and errors are handled by `trainlib.core.cli.exit_code`.

    Args:
        main: its result is ignored. Its own flags are defined with absl at the top of its module.
        argv: program name and arguments, sys.argv if not given.
    """
    argv = list(sys.argv if argv is None else argv)

    def run_and_end() -> int:
        code = cli.ERROR
        try:
            code = cli.exit_code(lambda: _run(main, argv), "--debug" in argv)
        finally:
            processes.shutdown(code)
        return code

    cli.run(run_and_end)


def allowed_changes() -> tuple[str, ...]:
    """Keys of `--allow_change`, for open_workdir; none outside `run_main`."""
    return tuple(FLAGS.allow_change) if "allow_change" in FLAGS and FLAGS.is_parsed() else ()


def strict() -> bool:
    """`--strict`, for CheckpointStore.restore; False outside `run_main`."""
    return bool(FLAGS.strict) if "strict" in FLAGS and FLAGS.is_parsed() else False


def _run(main: Main, argv: list[str]) -> None:
    if not _parse(argv):
        return
    cli.set_up_logging()
    _join()
    main(FLAGS.config, pathlib.Path(FLAGS.workdir))


def _join() -> None:
    """Joins the other processes of the run, if the command line names any. All but one are quiet."""
    place = (FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
    if place == (None, None, None) and not FLAGS.distributed:
        return
    if FLAGS.distributed and place != (None, None, None):
        raise UsageError("--distributed is for clusters that JAX knows; omit --coordinator and its companions")
    if None in place and not FLAGS.distributed:
        raise UsageError("several processes need all of --coordinator=HOST:PORT --num_processes=N --process_id=I")
    if not FLAGS.distributed and not re.fullmatch(r".+:\d+", FLAGS.coordinator):
        raise UsageError(f"--coordinator={FLAGS.coordinator} is not HOST:PORT")
    if not FLAGS.distributed and not 0 <= FLAGS.process_id < FLAGS.num_processes:
        raise UsageError(f"--process_id={FLAGS.process_id} is not one of 0 .. {FLAGS.num_processes - 1}")
    with StopRequest() as stop, stop.busy("waiting for the other processes"):
        processes.initialize(*place)
    if not processes.is_first():
        logging.getLogger().setLevel(logging.WARNING)


def _parse(argv: list[str]) -> bool:
    """Defines the common flags and parses all; False if only help was asked for. Raises UsageError."""
    about = "configs/NAME.py:words; override keys with --config.key=value"
    config_flags.DEFINE_config_file("config", None, about, flag_values=FLAGS, sys_argv=argv)
    flags.DEFINE_string("workdir", None, "folder of the run", flag_values=FLAGS)
    flags.DEFINE_list("allow_change", [], "config keys that may differ from the run's config.json", flag_values=FLAGS)
    flags.DEFINE_bool("strict", False, "stop at a damaged checkpoint, do not fall back to an older", flag_values=FLAGS)
    address = "HOST:PORT of process 0, where a run has several processes"
    flags.DEFINE_string("coordinator", None, address, flag_values=FLAGS)
    flags.DEFINE_integer("num_processes", None, "processes of the run", flag_values=FLAGS)
    flags.DEFINE_integer("process_id", None, "number of this process, from 0", flag_values=FLAGS)
    flags.DEFINE_bool("distributed", False, "several processes, on a cluster that JAX knows", flag_values=FLAGS)
    flags.DEFINE_bool("debug", False, "show tracebacks of errors", flag_values=FLAGS)
    flags.DEFINE_bool("help", False, "show this help", short_name="h", flag_values=FLAGS)
    if {"--help", "-h", "-help"} & set(argv):
        print(sys.modules["__main__"].__doc__ or "", FLAGS.main_module_help(), FLAGS.module_help(__name__), sep="\n")
        return False
    pairs = zip(argv, [*argv[1:], ""])  # --config=PATH or --config PATH
    named = [
        text.partition("=")[2] if "=" in text else path for text, path in pairs if re.match("--?config(=|$)", text)
    ]
    for path in named:
        require_config_file(pathlib.Path(path.split(":", 1)[0]))
    try:
        rest = FLAGS(argv)[1:]
    except (AttributeError, KeyError) as error:
        key = str(error.args[0]).replace("\\n", "\n").splitlines()[0].strip("'\"\\")
        hint = did_you_mean(key, load_config_file(named[-1])) if named else ""
        raise UsageError(f"the config has no key {key}{hint}") from error
    except (flags.Error, TypeError, ValueError) as error:
        raise UsageError(f"{error}") from error
    if rest:
        raise UsageError(f"arguments not understood: {' '.join(rest)}")
    if not FLAGS.workdir:
        raise UsageError("--workdir=DIR is needed")
    if FLAGS.config is None:
        raise UsageError("--config=configs/NAME.py is needed")
    return True

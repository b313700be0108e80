"""The command line of the mains: `python -m X --config=configs/x.py:words --config.key=value --workdir=DIR`."""

import ast
import importlib.util
import logging
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from trainlib.core import cli
from trainlib.core.text import did_you_mean
from trainlib.run import processes
from trainlib.run.command import exit_code, set_up_logging
from trainlib.run.devices import check_platform, device_line, enable_compilation_cache
from trainlib.run.errors import UsageError
from trainlib.run.signals import StopRequest

FLAGS = flags.FLAGS

Main = Callable[[ml_collections.ConfigDict, pathlib.Path], Any]

_log = logging.getLogger(__name__)


def run_main(main: Main, argv: Sequence[str] | None = None) -> None:
    """Parses the command line, calls `main(config, workdir)` and leaves the process with one of the exit codes.

    The exit codes and the treatment of errors are those of `command.exit_code`.

    Args:
        main: its result is ignored. Flags of its own are defined with absl at the top of its module.
        argv: program name and arguments, sys.argv if not given.
    """
    argv = list(sys.argv if argv is None else argv)

    def run_and_end() -> int:
        code = cli.ERROR
        try:
            code = exit_code(lambda: _run(main, argv), "--debug" in argv)
        finally:
            processes.shutdown(code)
        return code

    cli.run(run_and_end)


def parse_words(argument: str | None, known: Mapping[str, Any]) -> dict[str, Any]:
    """Reads a config argument such as "simclr,split=2,smoke".

    Args:
        argument: words parted by commas; None or "" is none.
        known: name -> default. A word whose default is False is a switch ("smoke" gives True); any other takes a value
            of the default's type ("split=2"); a tuple is a choice whose first is the default, each a word by itself.

    Returns name -> value for every known name. Raises UsageError for what is not known, with the list of what is.
    """
    values = {name: default[0] if isinstance(default, tuple) else default for name, default in known.items()}
    choices = {word: name for name, default in known.items() if isinstance(default, tuple) for word in default}
    seen: set[str] = set()
    for item in filter(None, (argument or "").split(",")):
        word, equals, text = item.strip().partition("=")
        name = choices.get(word, word)
        takes_value = word in known and known[word] is not False and not isinstance(known[word], tuple)
        if name not in known or (word in known and isinstance(known[word], tuple)) or bool(equals) != takes_value:
            words = [*choices, *(word for word, default in known.items() if not isinstance(default, tuple))]
            hint = did_you_mean(word, words) if word not in words else ""
            raise UsageError(f"config argument {item!r} is not known; known: {_known_words(known)}{hint}")
        if name in seen:
            raise UsageError(f"config argument {item!r} sets {name!r} a second time")
        seen.add(name)
        values[name] = _word_value(name, word, text, known[name])
    return values


def load_config_file(path: str, settings: Sequence[str] = ()) -> ml_collections.ConfigDict:
    """The config of `configs/NAME.py:words`, for programs without `run_main`.

    Args:
        settings: values of keys, "KEY=VALUE"; a value is read as Python where it is not text (`True`, `0.3`, `(1, 2)`).

    Raises UsageError if there is no such file, key or value.
    """
    file, _, words = path.partition(":")
    require_config_file(pathlib.Path(file))
    spec = importlib.util.spec_from_file_location(pathlib.Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(words)
    for setting in settings:
        key, _, text = setting.partition("=")
        if key not in config:
            raise UsageError(f"{setting!r}: {file} has no key {key!r}{did_you_mean(key, config)}")
        try:
            value = text if isinstance(config[key], str) else ast.literal_eval(text)
            config.update_from_flattened_dict({key: value})
        except (KeyError, TypeError, ValueError, SyntaxError) as error:
            raise UsageError(f"{setting!r} sets no key of {file} to a value of its type") from error
    return config


def require_config_file(path: pathlib.Path) -> None:
    """Raises UsageError, with the files that there are, if a config file is missing."""
    if path.is_file():
        return
    folders = (path.parent, pathlib.Path("configs"), pathlib.Path(__file__).parents[2] / "configs")
    found = next((files for files in map(_python_files, folders) if files), [])
    by_name = {file.name: str(file) for file in found}
    hint = did_you_mean(path.name, by_name)
    listed = f"; there are {', '.join(by_name.values())}" if found else ""
    raise UsageError(f"there is no config file {path}{hint}{listed}")


def allowed_changes() -> tuple[str, ...]:
    """Keys of `--allow_change`, for open_workdir; none outside `run_main`."""
    return tuple(FLAGS.allow_change) if "allow_change" in FLAGS and FLAGS.is_parsed() else ()


def strict() -> bool:
    """`--strict`, for CheckpointStore.restore; False outside `run_main`."""
    return bool(FLAGS.strict) if "strict" in FLAGS and FLAGS.is_parsed() else False


def _run(main: Main, argv: list[str]) -> None:
    if not _parse(argv):
        return
    set_up_logging()
    config = FLAGS.config
    _join()
    enable_compilation_cache()
    check_platform(config.get("platform", "any"))
    several = f" in each of {processes.count()} processes" if processes.count() > 1 else ""
    _log.info("%s%s", device_line(), several)
    main(config, pathlib.Path(FLAGS.workdir))


def _join() -> None:
    """Joins the other processes of the run, if the command line says that there are any; all but one are quiet."""
    place = (FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
    if place == (None, None, None) and not FLAGS.distributed:
        return
    if FLAGS.distributed and place != (None, None, None):
        raise UsageError("--distributed is for clusters that JAX knows; leave out --coordinator and what belongs to it")
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
    _require_config_file(argv)
    try:
        rest = FLAGS(argv)[1:]
    except (AttributeError, KeyError) as error:
        key = str(error.args[0]).replace("\\n", "\n").splitlines()[0].strip("'\"\\")
        raise UsageError(f"the config has no key {key}{_nearest_key(key, argv)}") from error
    except (flags.Error, TypeError, ValueError) as error:
        raise UsageError(f"{error}") from error
    if rest:
        raise UsageError(f"arguments not understood: {' '.join(rest)}")
    if not FLAGS.workdir:
        raise UsageError("--workdir=DIR is needed")
    if FLAGS.config is None:
        raise UsageError("--config=configs/NAME.py is needed")
    return True


def _require_config_file(argv: list[str]) -> None:
    """Raises UsageError if `--config` names no file."""
    for flag, value in _flag_values(argv):
        if flag == "config":
            require_config_file(pathlib.Path(value.split(":", 1)[0]))


def _python_files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(file for file in folder.glob("*.py") if file.name != "__init__.py")


def _nearest_key(key: str, argv: Sequence[str]) -> str:
    """`; did you mean 'seed'?` of the keys of the config that the command line names."""
    named = [path for flag, path in _flag_values(argv) if flag == "config"]
    return did_you_mean(key, load_config_file(named[-1])) if named else ""


def _flag_values(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(flag, value) of `--flag=value` and `--flag value`."""
    for index, argument in enumerate(argv):
        flag, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-"):
            yield flag, value if equals else "".join(argv[index + 1 : index + 2])


def _known_words(known: Mapping[str, Any]) -> str:
    words = []
    for name, default in known.items():
        if isinstance(default, tuple):
            words.append("|".join(default))
        else:
            words.append(name if default is False else f"{name}=<{type(default).__name__}>")
    return ", ".join(words)


def _word_value(name: str, word: str, text: str, default: Any) -> Any:
    if isinstance(default, tuple):
        return word
    if default is False:
        return True
    try:
        return type(default)(text)
    except ValueError:
        raise UsageError(f"config argument {name}={text!r} needs a value of type {type(default).__name__}") from None

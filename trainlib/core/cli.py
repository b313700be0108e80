"""What all programs share at the terminal: exit codes, streams of any kind, flags that were nearly right."""

import argparse
import functools
import gc
import io
import logging
import os
import re
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from trainlib.core.errors import Stopped, UserError
from trainlib.core.text import did_you_mean

DONE, ERROR, STOPPED = 0, 1, 75
UNREAD = 141
"""Exit code of a program whose output nobody reads any more, as a shell reports one that SIGPIPE has ended."""

_log = logging.getLogger(__name__)


def run(main: Callable[[], int | None]) -> NoReturn:
    r"""Calls a program's `main` and leaves the process with the exit code that it returns (None is 0).

    Standard streams that are closed become /dev/null, and characters that a stream cannot show are escaped
    (`\u30d9`). If the reader of a pipe leaves (`| head`), the program ends without a message and with UNREAD, or, if
    it was done already, with its own exit code. A UserError that `main` raises is printed as its message.
    """
    gc.disable()
    prepare_streams()
    try:
        code = _status(main)
    except BrokenPipeError as error:
        code = UNREAD if _drop_unread() else _report(error)
    except (OSError, UserError) as error:
        code = _report(error)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_unread()
    except OSError as error:
        code = _report(OSError(f"cannot write to the standard output: {error.strerror}"))
        _discard(1)
    sys.exit(code)


def imported() -> None:
    """Collects garbage from here on; a program calls it once it has imported what it needs.

    `run` puts the collecting off. What exists by now is never looked at, not even at the end. Libraries make half a
    million objects that stay; looking through them takes a third of the time of importing JAX and Numba. Further calls,
    and calls outside of `run`, do nothing.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """`parser.parse_args` of `arguments` (None: of the process); an abbreviated or unknown flag is refused."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser.allow_abbrev = False
    known = [name for action in parser._actions for name in action.option_strings]
    given = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for argument in given:
        name = argument.partition("=")[0]
        if re.match(r"--?[A-Za-z]\w", name) and name not in known:
            parser.error(f"unknown flag {name}{did_you_mean(name, known)} (--help lists all)")
    return parser.parse_args(arguments)


def natural(text: str, least: int = 0) -> int:
    """Type of a command line argument: a whole number, `least` or more."""
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return value


positive = functools.partial(natural, least=1)
"""Type of a command line argument: a whole number above 0."""


def exit_code(call: Callable[[], object], debug: bool) -> int:
    """Runs `call` and returns the process's exit code: 0 done, 1 error, 2 usage, 75 stopped by a signal.

    Errors that a user can act on (UserError, ValueError, OSError) are printed as their message; `debug` adds the
    traceback. A closed pipe is raised on, for `run`.
    """
    try:
        call()
    except Stopped as stopped:
        _log.warning("%s; run the same command again to continue", stopped)
        return STOPPED
    except KeyboardInterrupt:
        _log.warning("interrupted; run the same command again to continue")
        return STOPPED
    except BrokenPipeError:
        raise
    except (UserError, ValueError, OSError) as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, UserError):
            return error.exit_code
        if not debug:
            print("(--debug shows where)", file=sys.stderr)
        return ERROR
    return DONE


def set_up_logging() -> None:
    """Plain lines on standard error; libraries only speak up for warnings."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for name in ("absl", "jax", "orbax"):
        logging.getLogger(name).setLevel(logging.WARNING)


def prepare_streams() -> None:
    """Opens closed standard streams on /dev/null and makes both outputs escape what their encoding lacks."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _discard(number)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_unicode = stream.encoding.lower().replace("-", "").startswith("utf")
            if stream.errors == "strict" or (stream.errors == "surrogateescape" and not is_unicode):
                stream.reconfigure(errors="backslashreplace")


def _status(main: Callable[[], int | None]) -> int:
    """The exit code of `main`, also if it leaves by sys.exit as argparse does."""
    try:
        return main() or DONE
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
            return ERROR
        return leaving.code or DONE


def _report(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code if isinstance(error, UserError) else ERROR


def _drop_unread() -> bool:
    """Points the outputs that nobody reads any more to /dev/null; whether there was one."""
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    unread = [number for number, event in poll.poll(0) if event & (select.POLLERR | select.POLLHUP)]
    for number in unread:
        _discard(number)
    return bool(unread)


def _discard(number: int) -> None:
    """Opens /dev/null, for reading and writing, under a number below 3."""
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    os.set_inheritable(number, True)

"""Command lines without a config: `python -m X --workdir=DIR --votes=8`."""

import argparse
import logging
import sys
import traceback
from collections.abc import Callable

from trainlib.core import cli
from trainlib.run.devices import device_line, enable_compilation_cache
from trainlib.run.errors import UserError
from trainlib.run.signals import EXIT_STOPPED, Stopped, StopRequest

_log = logging.getLogger(__name__)


def natural(text: str, least: int = 0) -> int:
    """Type of a command line argument: a whole number, `least` or more."""
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return value


def positive(text: str) -> int:
    """Type of a command line argument: a whole number above 0."""
    return natural(text, least=1)


def exit_code(call: Callable[[], object], debug: bool) -> int:
    """Runs `call` and returns the process's exit code: 0 done, 1 error, 2 usage, 75 stopped by a signal.

    Errors that a user can act on (UserError, ValueError, OSError) are printed as their message; `debug` adds the
    traceback. A closed pipe is raised on, for `cli.run`.
    """
    try:
        call()
    except Stopped as stopped:
        _log.warning("%s; run the same command again to continue", stopped)
        return EXIT_STOPPED
    except KeyboardInterrupt:
        _log.warning("interrupted; run the same command again to continue")
        return EXIT_STOPPED
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
        return 1
    return 0


def set_up_logging() -> None:
    """Plain lines on standard error; libraries only speak up for warnings."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for name in ("absl", "jax", "orbax"):
        logging.getLogger(name).setLevel(logging.WARNING)


def run_command(
    main: Callable[[argparse.Namespace], object], parser: argparse.ArgumentParser, on_devices: bool = True
) -> None:
    """Parses the command line with `--debug`, calls `main(arguments)` and leaves the process with its exit code.

    SIGTERM and SIGINT end it at once with exit code 75: such commands have nothing to save.

    `on_devices` is False for commands that only read results: they start no device and name none.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    cli.run(lambda: _run(main, parser, on_devices))


def _run(main: Callable[[argparse.Namespace], object], parser: argparse.ArgumentParser, on_devices: bool) -> int:
    arguments = cli.parse(parser)
    set_up_logging()

    def interruptible() -> None:
        if on_devices:
            enable_compilation_cache()
            _log.info("%s", device_line())
        with StopRequest() as stop, stop.busy(parser.prog):
            main(arguments)

    return exit_code(interruptible, arguments.debug)

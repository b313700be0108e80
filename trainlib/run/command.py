"""Command lines without a config: `python -m X --workdir=DIR --votes=8`."""

import argparse
import logging
from collections.abc import Callable

from trainlib.core import cli
from trainlib.run.devices import device_line, enable_compilation_cache
from trainlib.run.signals import StopRequest

_log = logging.getLogger(__name__)


def run_command(
    main: Callable[[argparse.Namespace], object], parser: argparse.ArgumentParser, on_devices: bool = True
) -> None:
    """Parses the command line with `--debug`, calls `main(arguments)` and leaves the process with its exit code.

    SIGTERM and SIGINT end it at once with exit code 75: such commands have nothing to save. `main` gets the parser's
    own arguments, without `debug`. `on_devices` is False for commands that only read results: they start no device.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")

    def run() -> int:
        arguments = cli.parse(parser)
        cli.set_up_logging()
        debug = vars(arguments).pop("debug")

        def interruptible() -> None:
            if on_devices:
                enable_compilation_cache()
                _log.info("%s", device_line())
            with StopRequest() as stop, stop.busy(parser.prog):
                main(arguments)

        return cli.exit_code(interruptible, debug)

    cli.run(run)

"""Command lines without a config: `python -m X --workdir=DIR --votes=8`."""

import argparse
from collections.abc import Callable

from trainlib.core import cli
from trainlib.run.signals import StopRequest


def run_command(main: Callable[[argparse.Namespace], object], parser: argparse.ArgumentParser) -> None:
    """Parses the command line with `--debug`, calls `main(arguments)` and leaves the process with its exit code.

    SIGTERM and SIGINT end it at once with exit code 75: such commands have nothing to save. `main` gets the parser's
    own arguments, without `debug`. It checks them first, then imports what takes seconds, and starts the devices
    (`trainlib.run.devices.start_devices`) if it needs them.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")

    def run() -> int:
        arguments = cli.parse(parser)
        cli.set_up_logging()
        debug = vars(arguments).pop("debug")

        def interruptible() -> None:
            with StopRequest() as stop, stop.busy(parser.prog):
                main(arguments)

        return cli.exit_code(interruptible, debug)

    cli.run(run)

"""Types of command-line arguments."""

import argparse
import re
import sys
from collections.abc import Sequence

from preprocess.labels.label_map import UNLABELLED
from preprocess.mesh.up_axis import UP_CHOICES


def id_or_none(text: str) -> int | None:
    """A raw label id, or None for the word `none`."""
    if text.lower() == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number nor none") from None


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --label_property and --unlabelled."""
    parser.add_argument(
        "--label_property", metavar="NAME", help="property of the PLY files that holds the labels (default: label)"
    )
    parser.add_argument(
        "--unlabelled", type=id_or_none, default=UNLABELLED, metavar="ID|none", help="id that is no class (default 0)"
    )


def up_axis(text: str) -> str:
    """An axis of `UP_CHOICES`; `+y` and `Y` are y."""
    axis = text.lower().replace("\N{MINUS SIGN}", "-").removeprefix("+")
    if axis not in UP_CHOICES:
        raise argparse.ArgumentTypeError(f"{text!r} is not an axis; known: {', '.join(UP_CHOICES)}")
    return axis


class UpParser(argparse.ArgumentParser):
    """A parser of command lines with --up, in which the axis after it may begin with a minus: `--up -y`."""

    def add_up(self, default: str | None, text: str) -> None:
        """Adds the flag --up. Its help is `text` and the known axes."""
        self.add_argument(
            "--up", type=up_axis, default=default, metavar="AXIS", help=f"{text}: {', '.join(UP_CHOICES)}"
        )

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None):
        """As argparse's own, after `--up -y` became `--up=-y`."""
        joined: list[str] = []
        for word in sys.argv[1:] if args is None else args:
            if joined and joined[-1] == "--up" and re.fullmatch("-[xyz]", word, re.IGNORECASE):
                joined[-1] = f"--up={word}"
            else:
                joined.append(word)
        return super().parse_known_args(joined, namespace)

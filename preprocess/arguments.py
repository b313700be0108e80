"""Types of command-line arguments."""

import argparse

from preprocess.labels import UNLABELLED


def count(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= 0")
    return int(text)


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

"""The command line of preprocess.scenes, and the arguments that it shares with preprocess.check."""

import argparse
import os
import re
import sys
from collections.abc import Sequence

from preprocess.labels.label_map import UNLABELLED
from preprocess.mesh.units import METRES
from preprocess.mesh.up_estimate import UP_CHOICES
from preprocess.scene.params import HIERARCHIES, LEVEL0_LABELS, LEVELS, PLACEMENTS, HierarchyParams, plan_levels
from trainlib.core.cli import natural


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
    add = parser.add_argument
    add("--label_property", metavar="NAME", help="property of the PLY files that holds the labels (default: label)")
    add("--unlabelled", type=id_or_none, default=UNLABELLED, metavar="ID|none", help="id that is no class (default 0)")


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
        text = f"{text}: {', '.join(UP_CHOICES)}"
        self.add_argument("--up", type=up_axis, default=default, metavar="AXIS", help=text)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None):
        """As argparse's own, after `--up -y` became `--up=-y`."""
        joined: list[str] = []
        for word in sys.argv[1:] if args is None else args:
            if joined and joined[-1] == "--up" and re.fullmatch("-[xyz]", word, re.IGNORECASE):
                joined[-1] = f"--up={word}"
            else:
                joined.append(word)
        return super().parse_known_args(joined, namespace)


def scenes_parser(description: str) -> argparse.ArgumentParser:
    """The parser of preprocess.scenes."""
    parser = UpParser(prog="python -m preprocess.scenes", description=description)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    add = parser.add_argument
    add("--input", required=True, metavar="DIR", help="folder of meshes, searched recursively")
    add("--output", required=True, metavar="DIR", help="folder for the scene files")
    add("--split", metavar="LIST", help="text file of scene names, one per line; default: all meshes of the folder")
    add("--allow_missing", action="store_true", help="names of the list without a mesh are no failures")
    add("--shard", default="0/1", metavar="I/N", help="every N-th scene from the I-th on, counted from 0")
    add("--workers", type=natural, default=cpus, metavar="N", help="processes (default: one a CPU; 0: this process)")
    add("--overwrite", action="store_true", help="rebuild scenes that are up to date as well")
    keep = "unit of the files; angstrom and none keep the numbers as they are"
    add("--units", choices=METRES, default="m", help=keep)
    parser.add_up("z", "up axis of the files (default z); auto takes for each mesh the one that its surface shows")
    add("--repair", action="store_true", help="keep meshes with NaN or Inf, without the faces that touch them")
    add("--require_colors", action="store_true", help="refuse meshes without colours instead of using grey")
    add("--require_labels", action="store_true", help="refuse meshes without labels")
    add("--label_map", default="scannet20", metavar="MAP", help="scannet20, auto, or a CSV id,name,red,green,blue")
    add_label_arguments(parser)
    add("--level0_labels", choices=LEVEL0_LABELS, default="nearest", help="how level 0 gets its labels")
    text = (
        "clustering cells, finest first, in metres (or the unit of --units none); each is one level, 1 to 6 of them, "
        f"and quadric levels fill up to {LEVELS} (default 0.02,0.04: two and five)"
    )
    add("--cells", default="0.02,0.04", metavar="A,B,...", help=text)
    text = (
        "cells, then quadric collapse (the default); or clustering at all levels, with growing cells after the first; "
        "or quadric collapse at all levels"
    )
    add("--hierarchy", choices=HIERARCHIES, default=HIERARCHIES[0], help=text)
    add("--quadric_levels", type=natural, metavar="N", help=f"levels after the cells; together they must be {LEVELS}")
    add("--ratio", type=float, default=0.3, help="faces that each quadric level keeps (default 0.3)")
    add("--placement", choices=PLACEMENTS, default="half_edge", help="where collapsed vertices go")
    add("--voxel_size", type=float, metavar="A", help="edge of a voxel (default: the first cell)")
    add("--ring_width", type=natural, default=16, metavar="K", help="slots of the one-ring tables (default 16)")
    add("--verbose", action="store_true", help="print the notes of all scenes")
    return parser


def hierarchy_params(parser: argparse.ArgumentParser, flags: argparse.Namespace) -> HierarchyParams:
    """The hierarchy's parameters; wrong ones are usage errors."""
    try:
        cells = tuple(float(cell) for cell in flags.cells.split(",") if cell.strip())
    except ValueError:
        parser.error(f"--cells {flags.cells}: write comma-separated lengths, such as 0.02,0.04")
    try:
        if flags.voxel_size is None and not cells:
            raise ValueError("without cells give --voxel_size")
        if flags.hierarchy == "vc" and not cells:
            raise ValueError("--hierarchy vc grows from the first of --cells")
        if not 0 < flags.ratio < 1:
            raise ValueError(f"ratio must be between 0 and 1, it is {flags.ratio}")
        all_cells, quadric_levels = plan_levels(flags.hierarchy, cells, flags.ratio)
        return HierarchyParams(
            cells=all_cells,
            quadric_levels=quadric_levels if flags.quadric_levels is None else flags.quadric_levels,
            voxel_size=cells[0] if flags.voxel_size is None else flags.voxel_size,
            **{name: getattr(flags, name) for name in ("ratio", "placement", "ring_width", "level0_labels")},
        )
    except ValueError as error:
        parser.error(str(error))


def shard_of(parser: argparse.ArgumentParser, text: str) -> tuple[int, int]:
    """I and N of --shard=I/N; anything else is a usage error."""
    first, slash, second = text.partition("/")
    if not (slash and first.isdecimal() and second.isdecimal() and int(first) < int(second)):
        parser.error(f"--shard {text}: write I/N with 0 <= I < N, such as 0/4")
    return int(first), int(second)

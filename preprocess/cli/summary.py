"""The report at the end of a preprocessing run."""

import argparse
import pathlib

import numpy as np

from preprocess.cli.scene_task import Outcome
from preprocess.cli.sources import scene_names
from preprocess.mesh.validate import NO_COLORS
from preprocess.scene.build import FOREIGN, NO_LABELS, OUTSIDE_MAP
from trainlib.core.text import pluralize

SHOWN = 10


def print_difference(
    flags: argparse.Namespace, present: list[str], names: list[str] | None, missing: list[str]
) -> None:
    """Names what list, meshes and scene files do not have in common."""
    output, unlisted = pathlib.Path(flags.output), set() if names is None else set(present) - set(names)
    extra = set(scene_names(output)) - set(present)
    for begin, found in (
        (f"skipped, no mesh in {flags.input}", missing if flags.allow_missing else []),
        (f"skipped, not in {flags.split}", sorted(unlisted)),
        (f"warning: {output} has scene files without a mesh in {flags.input}", sorted(extra)),
    ):
        if found:
            print(f"{begin}: {pluralize(len(found), 'scene')} ({', '.join(found[:8])}{' ...' if found[8:] else ''})")


def print_report(outcomes: list[Outcome], seconds: float, verbose: bool) -> None:
    """Prints counts, sizes by level, missed targets, notes (of all scenes if `verbose`) and failures."""
    good = [outcome for outcome in outcomes if outcome.header is not None]
    failed = [outcome for outcome in outcomes if outcome.header is None]
    built = [outcome.seconds for outcome in good if outcome.built]
    print(f"{len(built)} built, {len(good) - len(built)} up to date, {len(failed)} failed in {seconds:.1f} s")
    if built:
        print(f"{np.median(built):.2f} s a scene and worker (median)")
    if good:
        _print_sizes([outcome.header.sizes for outcome in good])
    for outcome in good:
        missed = [str(level) for level, reached in enumerate(outcome.header.reached) if not reached]
        if missed:
            print(f"{outcome.name}: the quadric target was not reached at level {', '.join(missed)}")
    colorless = _where(good, [not outcome.header.has_colors for outcome in good])
    if colorless:
        print(f"warning: no colours {colorless}; grey is used, --require_colors refuses them")
    unlabelled = _where(good, [_has_note(outcome, NO_LABELS) for outcome in good])
    if unlabelled:
        print(f"no labels {unlabelled}; they can be predicted, not trained on or scored")
    outside = _where(good, [_has_note(outcome, OUTSIDE_MAP) for outcome in good])
    if outside:
        share = f"more than {FOREIGN:.0%} of the labelled vertices have ids outside the label map and are ignored"
        print(f"warning: {outside} {share}; give the data's own --label_map, or --label_map auto")
    noted = [outcome for outcome in good if outcome.header.notes]
    noted.sort(key=lambda outcome: not _has_note(outcome, "warning:", but=NO_COLORS))
    for outcome in noted if verbose else noted[:SHOWN]:
        print(f"{outcome.name}: {'; '.join(outcome.header.notes)}")
    if len(noted) > SHOWN and not verbose:
        print(f"... notes on {pluralize(len(noted) - SHOWN, 'more scene')}, shown by --verbose")
    for outcome in failed:
        print(f"failed: {outcome.name}: {outcome.cause}")


def _where(good: list[Outcome], chosen: list[bool]) -> str:
    """`in 2 of 7 scenes (a, b)` for the chosen ones, without names if all are, "" if none is."""
    names = [outcome.name for outcome, is_chosen in zip(good, chosen) if is_chosen]
    listed = f" ({', '.join(names[:3])}{' ...' if names[3:] else ''})" if len(names) < len(good) else ""
    return f"in {len(names)} of {pluralize(len(good), 'scene')}{listed}" if names else ""


def _has_note(outcome: Outcome, beginning: str, but: str = "") -> bool:
    return any(note.startswith(beginning) and note != but for note in outcome.header.notes)


def _print_sizes(sizes: list[dict]) -> None:
    """Median sizes by level."""
    vertices = pluralize(int(np.median([size["vertices"] for size in sizes])), "vertex")
    print(f"median of {pluralize(len(sizes), 'scene')}: {vertices}")
    print("level  vertices     faces    voxels")
    kinds = ("level_vertices", "level_faces", "voxels")
    for level, medians in enumerate(zip(*(np.median([size[kind] for size in sizes], axis=0) for kind in kinds))):
        print(f"{level:5d}" + "".join(f"{int(value):10d}" for value in medians))

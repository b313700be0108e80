"""The report at the end of a preprocessing run."""

import numpy as np

from preprocess.cli.scene_task import Outcome
from preprocess.mesh.validate import NO_COLORS
from preprocess.scene.build import FOREIGN, NO_LABELS, OUTSIDE_MAP
from trainlib.core.text import pluralize

SHOWN = 10


def print_report(outcomes: list[Outcome], seconds: float, verbose: bool) -> None:
    """Prints counts, sizes by level, missed targets, notes (of all scenes if `verbose`) and failures."""
    good = [outcome for outcome in outcomes if outcome.header is not None]
    failed = [outcome for outcome in outcomes if outcome.header is None]
    built = [outcome for outcome in good if outcome.built]
    print(f"{len(built)} built, {len(good) - len(built)} up to date, {len(failed)} failed in {seconds:.1f} s")
    if built:
        print(f"{np.median([outcome.seconds for outcome in built]):.2f} s a scene and worker (median)")
    if good:
        _print_sizes(good)
    for outcome in good:
        missed = [str(level) for level, reached in enumerate(outcome.header.reached) if not reached]
        if missed:
            print(f"{outcome.name}: the quadric target was not reached at level {', '.join(missed)}")
    colorless = [outcome.name for outcome in good if not outcome.header.has_colors]
    if colorless:
        print(f"warning: no colours {_where(colorless, good)}; grey is used, --require_colors refuses them")
    unlabelled = [outcome.name for outcome in good if _has_note(outcome, NO_LABELS)]
    if unlabelled:
        print(f"no labels {_where(unlabelled, good)}; they can be predicted, not trained on or scored")
    outside = [outcome.name for outcome in good if _has_note(outcome, OUTSIDE_MAP)]
    if outside:
        share = f"more than {FOREIGN:.0%} of the labelled vertices have ids outside the label map and are ignored"
        print(f"warning: {_where(outside, good)} {share}; give the data's own --label_map, or --label_map auto")
    noted = [outcome for outcome in good if outcome.header.notes]
    noted.sort(key=lambda outcome: not _has_warning(outcome))
    for outcome in noted if verbose else noted[:SHOWN]:
        print(f"{outcome.name}: {'; '.join(outcome.header.notes)}")
    if len(noted) > SHOWN and not verbose:
        print(f"... notes on {pluralize(len(noted) - SHOWN, 'more scene')}, shown by --verbose")
    for outcome in failed:
        print(f"failed: {outcome.name}: {outcome.cause}")


def _where(names: list[str], good: list[Outcome]) -> str:
    """`in 2 of 7 scenes (a, b)`; no names where it is all of them."""
    listed = f" ({', '.join(names[:3])}{' ...' if names[3:] else ''})" if len(names) < len(good) else ""
    return f"in {len(names)} of {pluralize(len(good), 'scene')}{listed}"


def _has_note(outcome: Outcome, beginning: str) -> bool:
    return any(note.startswith(beginning) for note in outcome.header.notes)


def _has_warning(outcome: Outcome) -> bool:
    """True for a warning that the summary has no line for."""
    return any(note.startswith("warning:") and note != NO_COLORS for note in outcome.header.notes)


def _print_sizes(good: list[Outcome]) -> None:
    """Median sizes by level."""
    vertices = pluralize(_median([outcome.header.sizes["vertices"] for outcome in good]), "vertex")
    print(f"median of {pluralize(len(good), 'scene')}: {vertices}")
    print("level  vertices     faces    voxels")
    for level in range(len(good[0].header.reached)):
        columns = [
            _median([o.header.sizes[kind][level] for o in good]) for kind in ("level_vertices", "level_faces", "voxels")
        ]
        print(f"{level:5d}" + "".join(f"{value:10d}" for value in columns))


def _median(values: list[int]) -> int:
    return int(np.median(values))

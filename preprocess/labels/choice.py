"""The label map that `--label_map` names: ScanNet's, one of the labels that occur, or a file."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from preprocess.labels.label_map import (
    ABSENT,
    LARGEST_ID,
    UNLABELLED,
    LabelMap,
    auto_label_map,
    read_label_map,
    scannet20,
)
from preprocess.mesh.mesh import MeshError
from trainlib.core.progress import ItemProgress

SCANNET20, AUTO = "scannet20", "auto"
IGNORE_IDS = (255, 65535)  # -1 in 8 and in 16 bits: what many data sets write for "ignore"
SHOWN_IDS = 5
SIXTEEN_BITS = "Where the upper 16 bits number the instances, as in SemanticKITTI, keep the lower 16 (label & 0xFFFF)."


class LabelChoice(NamedTuple):
    """A label map, with its `unlabelled` id, and notes on how it was made."""

    label_map: LabelMap
    notes: list[str]


def check_label_map(choice: str) -> None:
    """Raises MeshError if a choice names a missing file."""
    if choice not in (SCANNET20, AUTO) and not pathlib.Path(choice).is_file():
        remedy = "Give scannet20, auto or a CSV file with the header id,name,red,green,blue."
        raise MeshError(f"--label_map {choice}", "there is no such file", remedy)


def choose_label_map(
    choice: str,
    meshes: Sequence[pathlib.Path],
    unlabelled: int | None = UNLABELLED,
    label_property: str | None = None,
    labels: str | None = None,
) -> LabelChoice:
    """The map of a choice; for `auto` the labels of all meshes are read.

    Args:
        unlabelled: the id that means unlabelled, None if there is none.
        label_property, labels: see `readers.read_mesh`.

    Raises:
        MeshError: the map is wrong, or has one class and nothing to learn.
    """
    if choice == AUTO:
        return _auto(meshes, unlabelled, label_property, labels)
    label_map = scannet20() if choice == SCANNET20 else read_label_map(choice)
    if len(label_map.ids) == 1:
        remedy = "A network needs at least two to choose from. Add the others to the map."
        raise MeshError(choice, f"the label map has one class, {label_map.ids[0]} ({label_map.names[0]})", remedy)
    if unlabelled in label_map.ids and unlabelled != label_map.unlabelled:
        name = label_map.names[label_map.ids.index(unlabelled)]
        cause = f"the label map has the id as a class, {name!r}"
        raise MeshError(f"--unlabelled={unlabelled}", cause, "Take the row out of the map, or name another id.")
    label_map = dataclasses.replace(label_map, unlabelled=unlabelled)
    both = f"id {unlabelled} is a class of the label map, so it does not mean unlabelled"
    return LabelChoice(label_map, [both] if unlabelled in label_map.ids else [])


def _auto(
    meshes: Sequence[pathlib.Path], unlabelled: int | None, label_property: str | None, labels: str | None
) -> LabelChoice:
    """A class for each id that occurs in the meshes, and what was not made a class."""
    flag = "--label_map auto"
    counts, first_mesh, unreadable = _count_ids(meshes, label_property, labels)
    ids = {id_: count for id_, count in counts.items() if id_ >= 0 and id_ != unlabelled}
    large = sorted(id_ for id_ in ids if id_ > LARGEST_ID)
    if large:
        cause = f"{sum(ids[id_] for id_ in large)} of {counts.total()} labels have ids above {LARGEST_ID}"
        remedy = f"{SIXTEEN_BITS} Otherwise give a CSV file of your classes as --label_map; all other ids are ignored."
        raise MeshError(flag, f"{cause}: {_listed(large)}, the first in {first_mesh[large[0]]}", remedy)
    notes = _notes(counts, ids, unlabelled)
    if not ids:
        raise MeshError(flag, _why_none(meshes, label_property, unreadable, notes), "It needs labels.")
    if len(ids) == 1:
        cause = f"the labels have one class, {next(iter(ids))}, and a network needs at least two to choose from"
        remedy = "; ".join(notes) or "label the meshes with at least two ids"
        raise MeshError(flag, cause, f"{remedy[0].upper()}{remedy[1:]}.")
    return LabelChoice(auto_label_map(np.array(sorted(ids)), unlabelled), notes)


def _count_ids(
    meshes: Sequence[pathlib.Path], label_property: str | None, labels: str | None
) -> tuple[Counter[int], dict[int, pathlib.Path], list[MeshError]]:
    """{id: labels} over all meshes, {id: first mesh}, and the errors of meshes whose labels cannot be read."""
    from preprocess.formats.readers import read_raw_labels  # all readers take a second to import

    counts: Counter[int] = Counter()
    first_mesh: dict[int, pathlib.Path] = {}
    errors = []
    with ItemProgress(len(meshes), "scene", label="reading labels", shown=len(meshes) > 1) as progress:
        for path in meshes:
            try:
                raw = read_raw_labels(path, label_property, labels)
            except MeshError as error:  # the mesh itself fails on it later, with the same message
                errors.append(error)
                raw = None
            if raw is not None:
                ids, numbers = np.unique(raw, return_counts=True)
                counts.update(dict(zip(ids.tolist(), numbers.tolist())))
                for id_ in ids.tolist():
                    first_mesh.setdefault(id_, path)
            progress.advance()
    del counts[ABSENT]
    return counts, first_mesh, errors


def _notes(counts: Counter[int], ids: dict[int, int], unlabelled: int | None) -> list[str]:
    """What was not made a class, and classes that may not be meant as such."""
    notes, total = [], counts.total()
    if unlabelled is not None and counts[unlabelled]:
        taken = f"{counts[unlabelled]} of {total} labels have id {unlabelled}, which is taken as unlabelled"
        notes.append(f"{taken}; give --unlabelled=ID or --unlabelled=none if id {unlabelled} is a class")
    negative = sorted(id_ for id_ in counts if id_ < 0 and id_ != unlabelled)
    if negative:
        number = sum(counts[id_] for id_ in negative)
        notes.append(f"{number} of {total} labels have negative ids and are not classes: {_listed(negative)}")
    largest = max(ids, default=0)
    if largest in IGNORE_IDS and largest - 1 not in ids and len(ids) > 1:
        meant = f"id {largest} ({ids[largest]} of {total} labels) is taken as a class"
        notes.append(f"{meant}; give --unlabelled={largest} if it means unlabelled")
    return notes


def _why_none(
    meshes: Sequence[pathlib.Path], label_property: str | None, unreadable: list[MeshError], notes: list[str]
) -> str:
    """Why `auto` has found no class."""
    from preprocess.labels.label_files import how_to_label

    none = "no labelled vertex in any mesh"
    if notes:
        return "; ".join([none, *notes])
    if unreadable:
        number = f"{len(unreadable)} of {len(meshes)} meshes"
        return f"{none}; the labels of {number} cannot be read, the first: {str(unreadable[0]).rstrip('.')}"
    try:
        return "; ".join([none, *(f"{mesh}: {how_to_label(mesh, label_property)}" for mesh in meshes[:1])])
    except MeshError as error:
        return f"{none}; {str(error).rstrip('.')}"


def _listed(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:SHOWN_IDS])) + (", ..." if len(ids) > SHOWN_IDS else "")

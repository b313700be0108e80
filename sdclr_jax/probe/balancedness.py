"""How evenly a classifier serves large and small classes: Many, Medium, Few, their deviation, and the mean of all."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainlib.core.text import pluralize

WEAK_POINTS = 1.0  # % that one image may move a figure by before it is called weak
_NAMES_SHOWN = 8


class Groups(NamedTuple):
    """Classes by the number of their training images: class indices int [...] that together hold every class.

    A group may be empty; all are, where there are too few classes for groups by rank.
    """

    many: np.ndarray
    medium: np.ndarray
    few: np.ndarray


# For plots: three colours that stay apart for any colour vision and in grey, and markers.
GROUP_COLORS = {"many": "#004488", "medium": "#DDAA33", "few": "#BB5566"}
MARKERS = ("o", "s", "^")


def groups_by_rank(counts: np.ndarray) -> Groups:
    """Thirds of the classes by size, as published for CIFAR: Few and Medium get C // 3 classes, Many the rest.

    `counts` int [C] are images per class in D_i (also where the model was trained on D_b). Fewer than three classes
    make no groups: all are empty.
    """
    third, order = len(counts) // 3, np.argsort(counts, kind="stable")
    if third < 1:
        return Groups(*(np.zeros(0, np.int64) for _ in Groups._fields))
    return Groups(order[2 * third :], order[third : 2 * third], order[:third])


def groups_by_size(counts: np.ndarray, many: int = 100, few: int = 20) -> Groups:
    """Groups of classes with `counts` [C] images, as for ImageNet: Many above `many`, Few below `few`, else Medium."""
    counts = np.asarray(counts)
    is_many, is_few = counts > many, counts < few
    return Groups(*(np.flatnonzero(part) for part in (is_many, ~is_many & ~is_few, is_few)))


GROUPINGS = {"rank": groups_by_rank, "size": groups_by_size}


def group_classes(grouping: str, counts: np.ndarray) -> Groups:
    """The groups by one of `GROUPINGS`: "rank" (CIFAR) or "size" (ImageNet); `counts` int [C] of D_i."""
    if grouping not in GROUPINGS:
        raise ValueError(f"config.groups is {grouping!r}; known: {', '.join(GROUPINGS)}")
    return GROUPINGS[grouping](counts)


def empty_groups(grouping: str, counts: np.ndarray) -> str:
    """Why some groups have no class, "" if all have one; `counts` [C] as in `group_classes`."""
    empty = [name for name, classes in group_classes(grouping, counts)._asdict().items() if not len(classes)]
    if not empty:
        return ""
    what = f"no class is in {', '.join(name.capitalize() for name in empty)}"
    if grouping == "rank":
        return f"{what}: {len(counts)} classes make no three groups"
    return (
        f"{what}: these are the classes of more than 100 (Many), 20 to 100 (Medium) and fewer than 20 (Few) images; "
        "config.groups='rank' makes thirds of any classes"
    )


def class_accuracies(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Share of the images [N] of each class that got their label, float64 [C], NaN for a class without an image."""
    right = np.bincount(labels[predicted == labels], minlength=num_classes)
    total = np.bincount(labels, minlength=num_classes)
    return np.divide(right, total, out=np.full(num_classes, np.nan), where=total > 0)


class Balancedness(NamedTuple):
    """Means of class accuracies (shares, not %); `std` is the population deviation of the groups.

    A group without an accuracy is None, and `std` is None for fewer than two groups that have one.
    """

    many: float | None
    medium: float | None
    few: float | None
    std: float | None
    all: float | None


def balancedness(accuracies: np.ndarray, groups: Groups) -> Balancedness:
    """The columns of the published tables from `accuracies` float [C]; every class weighs the same.

    Classes without a test image, of accuracy NaN, count nowhere. A group may be empty.
    """
    known = [part[~np.isnan(part)] for part in (*(accuracies[group] for group in groups), accuracies)]
    *means, mean_of_all = (float(np.mean(part)) if len(part) else None for part in known)
    spread = [mean for mean in means if mean is not None]
    return Balancedness(*means, std=float(np.std(spread)) if len(spread) > 1 else None, all=mean_of_all)


def without_nan(values: np.ndarray) -> list[float | None]:
    """Floats [N] for JSON, which has no NaN: None instead."""
    return [None if np.isnan(value) else float(value) for value in values]


def weak_figures(test_counts: np.ndarray, groups: Groups, names: Sequence[str]) -> list[str]:
    """What rests on few test images: where one image moves the accuracy of a group, or of all classes, by a point.

    Such as "Few rests on 10 test images (ant 4, bee 6): one of them is up to 12.5 points". `test_counts` int [C] are
    test images by class; classes of 0 count nowhere.
    """
    lines = []
    for name, classes in {**groups._asdict(), "all": np.arange(len(test_counts))}.items():
        tested = test_counts[classes][test_counts[classes] > 0]
        points = 100 / (len(tested) * int(tested.min())) if len(tested) else 0
        if points >= WEAK_POINTS:
            shown = ", ".join(f"{names[k]} {test_counts[k]}" for k in classes[:_NAMES_SHOWN] if test_counts[k])
            more = ", ..." if len(classes) > _NAMES_SHOWN else ""
            lines.append(
                f"{name.capitalize()} rests on {pluralize(tested.sum(), 'test image')} "
                f"({shown}{more}): one of them is up to {points:.1f} points"
            )
    return lines

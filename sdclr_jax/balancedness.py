"""How evenly a classifier serves large and small classes: Many, Medium, Few, their deviation, and the mean of all."""

from typing import NamedTuple

import numpy as np


class Groups(NamedTuple):
    """Classes by the number of their training images: int arrays of class indices that together hold every class."""

    many: np.ndarray
    medium: np.ndarray
    few: np.ndarray


# For plots: three colours that stay apart for any colour vision and in grey, and markers.
GROUP_COLORS = {"many": "#004488", "medium": "#DDAA33", "few": "#BB5566"}
MARKERS = ("o", "s", "^")


def groups_by_rank(counts: np.ndarray) -> Groups:
    """Thirds of the classes by size, as published for CIFAR: Few and Medium get C // 3 classes, Many the rest.

    Args:
      counts: int [C], images per class in D_i (also where the model was trained on D_b).
    """
    third = len(counts) // 3
    if third < 1:
        raise ValueError(f"{len(counts)} classes; three groups need at least three")
    order = np.argsort(counts, kind="stable")
    return Groups(order[2 * third :], order[third : 2 * third], order[:third])


def groups_by_size(counts: np.ndarray, many: int = 100, few: int = 20) -> Groups:
    """Groups by thresholds, as published for ImageNet: Many above `many` images, Few below `few`, Medium between."""
    counts = np.asarray(counts)
    is_many, is_few = counts > many, counts < few
    return Groups(*(np.flatnonzero(part) for part in (is_many, ~is_many & ~is_few, is_few)))


GROUPINGS = {"rank": groups_by_rank, "size": groups_by_size}


def group_classes(grouping: str, counts: np.ndarray) -> Groups:
    """The groups by one of `GROUPINGS`: "rank" (CIFAR) or "size" (ImageNet); `counts` int [C] of D_i."""
    if grouping not in GROUPINGS:
        raise ValueError(f"config.groups is {grouping!r}; known: {', '.join(GROUPINGS)}")
    return GROUPINGS[grouping](counts)


def class_accuracies(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Share of the images of each class that got their label, float64 [C], NaN for a class without an image.

    Args:
      predicted, labels: int [N].
      num_classes: C.
    """
    right = np.bincount(labels[predicted == labels], minlength=num_classes)
    total = np.bincount(labels, minlength=num_classes)
    return np.divide(right, total, out=np.full(num_classes, np.nan), where=total > 0)


class Balancedness(NamedTuple):
    """Means of class accuracies (shares, not per cent); `std` is the population deviation of the three groups."""

    many: float
    medium: float
    few: float
    std: float
    all: float


def balancedness(accuracies: np.ndarray, groups: Groups) -> Balancedness:
    """The columns of the published tables from accuracies [C]; every class weighs the same."""
    means = [float(np.mean(accuracies[group])) for group in groups]
    return Balancedness(*means, std=float(np.std(means)), all=float(np.mean(accuracies)))

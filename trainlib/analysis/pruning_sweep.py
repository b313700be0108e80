"""Pruning-identified exemplars (Hooker et al., 2019, arXiv 1911.05248): what many pruned networks see otherwise.

The pruned population are masks of one trained network, since training many is rarely possible: the mask by magnitude,
and masks of which a part is drawn at random.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trainlib.core.errors import UserError


class PruningSweep(NamedTuple):
    """The pruned networks of an analysis.

    Attributes:
        sparsities: shares of the prunable weights to prune, each in (0, 1).
        masks: networks of each sparsity, at least 1.
        random_share: part of the pruned weights that all masks but the first draw at random, in [0, 1].
    """

    sparsities: Sequence[float] = (0.3, 0.5, 0.7, 0.9)
    masks: int = 3
    random_share: float = 0.1

    def checked(self) -> "PruningSweep":
        """The same in ascending order; UserError with the numbers where they are out of range."""
        inside = all(0 < sparsity < 1 for sparsity in self.sparsities)
        if not self.sparsities or not inside or self.masks < 1 or not 0 <= self.random_share <= 1:
            raise UserError(
                f"sparsities {self.sparsities}, masks {self.masks}, random share {self.random_share}: need sparsities "
                "between 0 and 1, at least one mask and a random share of 0 .. 1"
            )
        return self._replace(sparsities=sorted(map(float, self.sparsities)))


def add_pruning_flags(parser: argparse.ArgumentParser) -> None:
    """--sparsities, --masks and --random_share, read by `exemplar_options`."""
    default = PruningSweep()
    shares = ",".join(map(str, default.sparsities))
    parser.add_argument("--sparsities", default=shares, help="pruned shares of the weights, comma-separated")
    parser.add_argument("--masks", type=int, default=default.masks, help="pruned networks of a sparsity and run")
    parser.add_argument(
        "--random_share", type=float, default=default.random_share, help="part of the pruned share drawn at random"
    )


def exemplar_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """A parsed command line as keywords: the flags of `add_pruning_flags` as `pruning`, the others as they are named.

    Raises UserError if the sparsities are not numbers.
    """
    options = dict(vars(arguments))
    text, masks, random_share = (options.pop(name) for name in ("sparsities", "masks", "random_share"))
    try:
        sparsities = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"--sparsities={text} is not a list of numbers such as 0.3,0.5") from error
    return options | {"pruning": PruningSweep(sparsities, masks, random_share)}


def modal_labels(predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """The label that most members of a population predict, int [N]; ties go to the earliest member.

    Args:
        predictions: int [M, N], of M networks, classes 0 .. num_classes - 1.
        num_classes: K.
    """
    rows = np.arange(predictions.shape[1])
    votes = np.zeros((len(rows), num_classes), np.int32)
    for labels in predictions:
        votes[rows, labels] += 1
    most, modal = votes.max(1), predictions[-1].astype(np.int64)
    for labels in predictions[::-1]:
        modal = np.where(votes[rows, labels] == most, labels, modal)
    return modal


def exemplars(dense: np.ndarray, pruned: np.ndarray, num_classes: int) -> np.ndarray:
    """Where the modal labels of two populations differ, bool [N]: the pruning-identified exemplars.

    Args:
        dense, pruned: int [M, N] and [L, N], predictions of the dense and of the pruned networks.
        num_classes: K.
    """
    return modal_labels(dense, num_classes) != modal_labels(pruned, num_classes)

"""Labels on which several networks agree: pruning-identified exemplars (Hooker et al., 2019, arXiv 1911.05248)."""

import numpy as np


def modal_labels(predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """The label that most members of a population predict, int [N]; of equals that of the earliest member.

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

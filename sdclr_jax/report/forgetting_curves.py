"""Whom pruning forgets: the shares that the training of SDCLR runs has recorded."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sdclr_jax.probe.balancedness import Groups
from trainlib.core.errors import UserError
from trainlib.run.metrics import read_metrics

MOST = {"tenth": "forgotten", "hundredth": "forgotten_hundredth"}
"""Which images count as forgotten, and the name of their shares in metrics.jsonl."""


class Curves(NamedTuple):
    """Shares over the epochs, as recorded by the training.

    Attributes:
        epochs: float [E].
        forgotten: by group, float [runs, E].
        present: by group, float [runs]: the share among all training images.
    """

    epochs: np.ndarray
    forgotten: dict[str, np.ndarray]
    present: dict[str, np.ndarray]


def read_curves(runs: Sequence[str | pathlib.Path], most: str = "tenth") -> Curves:
    """The shares in the `metrics.jsonl` of each run, of the images of `MOST`.

    Raises UserError if there are none or the epochs differ.
    """
    records, key = {}, MOST[most]
    for run in runs:
        records[run] = [line for line in read_metrics(run) if f"{key}/{Groups._fields[0]}" in line]
        if not records[run]:
            raise UserError(
                f"{run} has no record of forgetting ({most}): an SDCLR run on at least three classes with "
                "forgetting_every_epochs > 0 has"
            )
    epochs = [[line["epoch"] for line in lines] for lines in records.values()]
    for run, found in zip(runs, epochs):
        if found != epochs[0]:
            raise UserError(f"{run} has records of the epochs {found}, {runs[0]} of {epochs[0]}")
    lines = list(records.values())
    return Curves(
        np.array(epochs[0]),
        {name: np.array([[line[f"{key}/{name}"] for line in run] for run in lines]) for name in Groups._fields},
        {name: np.array([run[0][f"present/{name}"] for run in lines]) for name in Groups._fields},
    )


def sample_deviation(shares: np.ndarray) -> np.ndarray:
    """Sample deviation (n - 1) of `shares` [runs, ...] over the runs, [...]; of one run 0."""
    return shares.std(0, ddof=1) if len(shares) > 1 else np.zeros(shares.shape[1:])

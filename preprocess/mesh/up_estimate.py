"""What is known about the axis of a file that points up: a score for each of the six axes."""

from typing import NamedTuple

import numpy as np

from preprocess.mesh.units import UP_ROTATIONS

AUTO = "auto"
UP_AXES = tuple(UP_ROTATIONS)  # z, -z, y, -y, x, -x: every axis is followed by its opposite
UP_CHOICES = (*UP_AXES, AUTO)

TOLD, LEAD = 0.4, 0.05  # probability that an axis needs to be chosen, and its lead: opposite axes are often equal
CONFIDENCE_WEIGHT = 8.0  # weight of a network's mean probability of the most likely class, next to the cues' weights


class UpEstimate(NamedTuple):
    """Scores of the six axes.

    Attributes:
        scores: float64 [6], log-likelihoods in the order of `UP_AXES`.
        shares: float64 [6, 3], of the surface, for each axis as up: upright, level and facing up, level and facing
            down.
        directed: whether the surface has level and upright parts at all.
        confidence: float64 [6] of a network, see `with_confidence`; None without one.
    """

    scores: np.ndarray
    shares: np.ndarray
    directed: bool
    confidence: np.ndarray | None = None

    @property
    def probabilities(self) -> np.ndarray:
        """float64 [6], sums to one."""
        likelihood = np.exp(self.scores - self.scores.max())
        return likelihood / likelihood.sum()

    @property
    def best(self) -> str:
        """The most likely axis."""
        return UP_AXES[int(np.argmax(self.scores))]

    @property
    def sure(self) -> float:
        """Probability of the most likely axis; 0 for a surface without level and upright parts."""
        return float(self.probabilities.max()) if self.directed else 0.0

    @property
    def told(self) -> bool:
        """Whether the most likely axis is likely enough to be chosen."""
        second, first = np.sort(self.probabilities)[-2:]
        return self.sure >= TOLD and bool(first - second >= LEAD)

    def with_confidence(self, confidence: np.ndarray) -> "UpEstimate":
        """The estimate that a network takes part in.

        Args:
            confidence: float [6], mean probability of the network's most likely class, for each of `UP_AXES` as up.
        """
        confidence = np.asarray(confidence, np.float64)
        return self._replace(scores=self.scores + CONFIDENCE_WEIGHT * confidence, confidence=confidence)

    def describe(self, axis: str) -> str:
        """What is seen with `axis` up: "55 % of the surface upright, 12 % level facing up, 1 % facing down"."""
        upright, up, down = 100 * self.shares[UP_AXES.index(axis)]
        return f"{upright:.0f} % of the surface upright, {up:.0f} % level facing up, {down:.0f} % facing down"

"""The protocols that score frozen features: linear probes on two training lists, and nearest neighbours."""

import logging
from collections.abc import Sequence

from sdclr_jax.data.dataset import Dataset
from trainlib.core.errors import UserError

_log = logging.getLogger(__name__)

NEEDS = {"full": ("full", "val", "test"), "few": ("few", "val", "test"), "knn": ("full", "test")}
PROTOCOLS = tuple(NEEDS)


def check_protocols(protocols: Sequence[str]) -> None:
    """UserError for a name that is not one of `PROTOCOLS`."""
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown:
        raise UserError(f"protocols {', '.join(unknown)} are not known; known: {', '.join(PROTOCOLS)}")


def possible_protocols(protocols: Sequence[str], dataset: Dataset) -> list[str]:
    """The protocols whose lists are there. UserError if there is none."""
    reasons = {name: [dataset.absent[need] for need in NEEDS[name] if need in dataset.absent] for name in protocols}
    skipped = {name: "; ".join(dict.fromkeys(why)) for name, why in reasons.items() if why}
    if len(skipped) == len(reasons) and len(set(skipped.values())) == 1:
        are = "are" if len(skipped) > 1 else "is"
        raise UserError(f"nothing to evaluate: {', '.join(skipped)} {are} skipped: {next(iter(skipped.values()))}")
    if len(skipped) == len(reasons):
        raise UserError("nothing to evaluate: " + ". ".join(f"{k} is skipped: {why}" for k, why in skipped.items()))
    for name, why in skipped.items():
        _log.warning("%s is skipped: %s", name, why)
    return [name for name in reasons if name not in skipped]

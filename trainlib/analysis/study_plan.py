"""The runs of a study, each a variant with a seed, and what is known of a finished one."""

import json
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ml_collections import ConfigDict

from trainlib.core.config import load_config_file
from trainlib.core.errors import UsageError, UserError

RESULT = "result.json"


class Result(NamedTuple):
    """One run: figures by column in % (None if not a number), and its seconds on the clock and of processor time."""

    variant: str
    seed: int
    figures: Mapping[str, float | None]
    wall_s: float
    cpu_s: float


class StudyTarget(NamedTuple):
    """What the studies of a package run.

    Attributes:
        train: module of the training main.
        evaluate: module of the evaluation main; None where the training evaluates.
        read: workdir of a run -> its figures by column, in %.
        check: raises UserError for a config that the training would refuse.
    """

    train: str
    evaluate: str | None
    read: Callable[[pathlib.Path], Mapping[str, float]]
    check: Callable[[ConfigDict], None] = lambda config: None


class StudyRun(NamedTuple):
    """A variant with a seed: its folder, its config file with words, and the keys that it sets, "KEY=VALUE"."""

    variant: str
    seed: int
    workdir: pathlib.Path
    config: str
    settings: tuple[str, ...]

    @property
    def name(self) -> str:
        """The run as "VARIANT, seed S"."""
        return f"{self.variant}, seed {self.seed}"

    def commands(self, system: StudyTarget) -> list[list[str]]:
        """Training and evaluation."""
        keys = [f"--config.{setting}" for setting in self.settings]
        parts = [[system.train, f"--config={self.config}", *keys]]
        parts += [[system.evaluate]] if system.evaluate else []
        return [[sys.executable, "-m", *part, f"--workdir={self.workdir}"] for part in parts]

    def result(self) -> Result | None:
        """The result of a finished run; None for others. Raises UserError if its settings were different."""
        file = self.workdir / RESULT
        if not file.is_file():
            return None
        content = read_json(file)
        if content.pop("run") != [self.config, *self.settings]:
            raise UserError(
                f"{self.workdir} was run with other settings than the study has now; delete that folder, or choose "
                "another --workdir"
            )
        return Result(self.variant, self.seed, **content)


def plan_runs(
    study: ConfigDict, workdir: pathlib.Path, check: Callable[[ConfigDict], None] = lambda config: None
) -> list[StudyRun]:
    """All variants with the first seed, then all with the next.

    Args:
        study: `title`, `seeds`, and `variants`: (name, config file with words, settings "KEY=VALUE"), each with
            "{seed}" where the seed goes.
        check: see `StudyTarget`; called once all files, words and keys have been found.

    Raises:
        UsageError: it is not a study, or files, words or keys do not exist.
        UserError: with the variant's name, if settings are out of their range.
    """
    _check(study)
    runs, loaded = [], []
    for seed in study.seeds:
        for variant, template, templates in study.variants:
            config, *settings = (text.replace("{seed}", str(seed)) for text in (template, *templates))
            loaded.append((variant, load_config_file(config, settings)))
            if len(study.seeds) > 1 and "{seed}" not in "".join((template, *templates)):
                raise UsageError(
                    f'variant {variant!r} is the same for every seed: write "{{seed}}" where the seed goes'
                )
            runs.append(StudyRun(variant, seed, workdir / variant / f"seed_{seed}", config, tuple(settings)))
    if len({run.workdir for run in runs}) < len(runs):
        raise UsageError("the study has a variant or a seed twice")
    for variant, one in loaded:
        try:
            check(one)
        except UserError as error:
            raise UserError(f"variant {variant!r}: {error}") from None
    return runs


def _check(study: ConfigDict) -> None:
    """Raises UsageError if title, seeds or variants are missing or malformed."""
    missing = [key for key in ("title", "seeds", "variants") if key not in study]
    if missing:
        raise UsageError(f"this config is not a study: it has no {', '.join(missing)}")
    seeds = study.seeds
    if not isinstance(seeds, tuple | list) or not seeds or not all(isinstance(seed, int) for seed in seeds):
        raise UsageError(f"seeds is {seeds!r}; it must be whole numbers such as (0, 1, 2)")
    if not isinstance(study.variants, tuple | list) or not study.variants:
        raise UsageError("the study has no variants")
    for variant in study.variants:
        is_form = isinstance(variant, tuple | list) and len(variant) == 3 and isinstance(variant[2], tuple | list)
        if not is_form or not all(isinstance(text, str) for text in (*variant[:2], *variant[2])):
            form = '("name", "configs/NAME.py:words", ("KEY=VALUE", ...))'
            raise UsageError(f"variant {variant!r} is not of the form {form}")
        if variant[0] in ("", ".", "..") or pathlib.Path(variant[0]).name != variant[0]:
            raise UsageError(f"variant {variant[0]!r} cannot be the name of a folder")


def read_json(file: pathlib.Path) -> dict:
    """The content of a run's file. Raises UserError if it is damaged."""
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); delete its folder, and the run is done again") from error

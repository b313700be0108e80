"""Studies with processes that only count: what is skipped, what resumes, what the table says."""

import json
import pathlib

import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.pixels import where
from trainlib.analysis.study import StudyTarget, plan_runs, run_study
from trainlib.core.errors import Stopped, UsageError, UserError

CONFIG = """
from ml_collections import ConfigDict
def get_config(words=""):
    return ConfigDict({"seed": 0, "steps": 1, "value": 0.0, "pause": 0.0})
"""
TOY = "tests.trainlib.analysis.study_toy"
SYSTEM = StudyTarget(TOY, TOY, lambda path: {"Value": json.loads((path / "report.json").read_text())})


@pytest.fixture
def study(tmp_path):
    file = tmp_path / "toy.py"
    file.write_text(CONFIG)
    study = ConfigDict({"title": "Toys", "seeds": (0, 1, 3)})
    study.variants = (
        ("low", str(file), ("seed={seed}", "value=10.")),
        ("high", f"{file}:word{{seed}}", ("seed={seed}", "value=20.", "steps=2")),
    )
    study.paper = ConfigDict({"title": "Paper", "figures": {"low": 33.3}})
    return study


def starts(workdir: pathlib.Path) -> dict[str, list[int]]:
    """Steps from which each run's training began."""
    return {
        str(file.parent.relative_to(workdir)): [int(line) for line in file.read_text().split()]
        for file in workdir.rglob("starts")
    }


def test_table_has_mean_and_sample_deviation(study, tmp_path):
    results = run_study(study, tmp_path / "out", SYSTEM)
    assert [(r.variant, r.seed) for r in results] == [(v, s) for s in (0, 1, 3) for v in ("low", "high")]
    rows = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [row["variant"] for row in rows] == ["low", "high"]
    assert rows[0]["Value"]["values"] == [10, 11, 19]
    assert rows[0]["Value"]["mean"] == pytest.approx(40 / 3)
    assert rows[0]["Value"]["deviation"] == pytest.approx(np.sqrt(((np.array([10, 11, 19]) - 40 / 3) ** 2).sum() / 2))
    lines = (tmp_path / "out" / "table.md").read_text().splitlines()
    assert lines[0] == "| Variant | Seeds | Value | Paper | Wall s | CPU s |"
    assert lines[2].startswith("| low | 3 | 13.3 ± 4.9 | 33.3 | ")
    assert lines[3].startswith("| high | 3 | 23.3 ± 4.9 | – | ")
    bars = where(tmp_path / "out" / "table.png", "#1f77b4", alpha=0.7).sum(1)
    upper, lower = (half.max() for half in np.array_split(np.trim_zeros(bars), 2))
    assert lower / upper == pytest.approx(23.3 / 13.3, rel=0.05)
    assert all(r.wall_s > 0 and r.cpu_s > 0 for r in results)


def test_finished_runs_are_skipped_and_missing_ones_done(study, tmp_path):
    workdir = tmp_path / "out"
    study.seeds = (0,)
    first = run_study(study, workdir, SYSTEM)
    assert "± " not in (workdir / "table.md").read_text()
    study.seeds = (0, 1)
    second = run_study(study, workdir, SYSTEM)
    assert second[:2] == first
    assert starts(workdir) == {f"{name}/seed_{seed}": [0] for name in ("low", "high") for seed in (0, 1)}


def test_an_interrupted_run_resumes_and_its_time_adds_up(study, tmp_path):
    workdir = tmp_path / "out"
    study.seeds = (0,)
    study.variants = (study.variants[0], (*study.variants[1][:2], ("seed=0", "value=1.", "steps=30", "pause=0.1")))
    with pytest.raises(Stopped, match="1 of 2 runs are left: high, seed 0"):
        run_study(study, workdir, SYSTEM, max_seconds=2.0)
    assert "| high | 0 | – | – | – | – |" in (workdir / "table.md").read_text()
    spent = json.loads((workdir / "high" / "seed_0" / "spent.json").read_text())
    stopped_at = int((workdir / "high" / "seed_0" / "state").read_text())
    assert 0 < stopped_at < 30
    result = run_study(study, workdir, SYSTEM)[1]
    assert starts(workdir) == {"low/seed_0": [0], "high/seed_0": [0, stopped_at]}
    assert result.figures == {"Value": 1}
    assert result.wall_s > spent["wall_s"] + 0.1 * (30 - stopped_at)


def test_no_run_is_begun_when_there_is_no_time(study, tmp_path):
    with pytest.raises(Stopped, match="6 of 6 runs are left"):
        run_study(study, tmp_path / "out", SYSTEM, max_seconds=1e-9)
    assert not starts(tmp_path / "out")


def test_a_run_that_fails_is_named_and_done_again(study, tmp_path):
    workdir, good = tmp_path / "out", study.variants
    study.variants = (("low", good[0][1], ("seed={seed}", "value=-1.")), good[1])
    with pytest.raises(UserError, match=r"low, seed 0 ended with status 1; .*log\.txt ends:\nit cannot be done"):
        run_study(study, workdir, SYSTEM)
    study.variants = good
    assert len(run_study(study, workdir, SYSTEM)) == 6


def test_finished_runs_with_other_settings_are_refused(study, tmp_path):
    workdir = tmp_path / "out"
    run_study(study, workdir, SYSTEM)
    study.variants = (study.variants[0], (*study.variants[1][:2], ("seed={seed}", "value=21.")))
    with pytest.raises(UserError, match=r"high.seed_0 was run with other settings"):
        run_study(study, workdir, SYSTEM)


def test_what_is_wrong_with_a_study_is_said_at_once(study, tmp_path):
    good = study.variants
    for variants, message in (
        ((*good, ("new", good[0][1], ("stepps=3",))), "stepps=3"),
        ((*good, ("new", str(tmp_path / "nowhere.py"), ())), "no config file"),
        ((*good, good[0]), "a variant or a seed twice"),
        ((*good, ("new", good[0][1], ("steps=3",))), "'new' is the same for every seed"),
        ((*good, ("new", good[0][1])), "is not of the form"),
        ((*good, ("new", good[0][1], "seed={seed}")), "is not of the form"),
        ((*good, ("../new", *good[0][1:])), "'../new' cannot be the name of a folder"),
        ((), "the study has no variants"),
    ):
        study.variants = variants
        with pytest.raises(UsageError, match=message):
            plan_runs(study, tmp_path)
    study.variants = good
    for seeds in ((), 3, ("a",)):
        with pytest.raises(UsageError, match=r"seeds is .*it must be whole numbers"):
            plan_runs(ConfigDict({"title": "Toys", "seeds": seeds, "variants": good}), tmp_path)
    with pytest.raises(UsageError, match="is not a study: it has no title, seeds, variants"):
        plan_runs(ConfigDict({"batch_size": 3}), tmp_path)


def test_a_damaged_result_is_named(study, tmp_path):
    file = tmp_path / "low" / "seed_0" / "result.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"run": [')
    with pytest.raises(UserError, match=r"result\.json is damaged .*delete its folder"):
        run_study(study, tmp_path, SYSTEM)


def test_a_program_that_ends_by_the_signal_before_it_listens_is_stopped(study, tmp_path):
    slow = StudyTarget("tests.trainlib.analysis.study_deaf", None, SYSTEM.read)
    with pytest.raises(Stopped, match="6 of 6 runs are left"):
        run_study(study, tmp_path, slow, max_seconds=1)

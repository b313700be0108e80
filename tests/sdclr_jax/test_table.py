"""The table and the forgetting curve, from workdirs written by hand."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from sdclr_jax.curve import _parser as curve_parser
from sdclr_jax.curve import draw_curves, read_curves
from sdclr_jax.curve import main as curve_main
from sdclr_jax.probe.balancedness import GROUP_COLORS
from sdclr_jax.report.published_tables import format_tables, published_tables
from sdclr_jax.report.table_rows import make_rows, read_run
from sdclr_jax.table import markdown, write_table
from tests.pixels import where
from trainlib.analysis.plots import COLORS
from trainlib.core.errors import UserError
from trainlib.run.workdir import open_workdir


def write_run(folder, figures, *, step=10, **changes):
    """A workdir with a config and a report; figures: protocol -> (many, medium, few, std, all).

    The four classes lie 0.1 above and below `all`, and 0.3 above and below it: a deviation of sqrt(0.05).
    """
    config = {"dataset": "digits", "split": 1, "seed": 0, "balanced": False, "prune_fraction": 0.9, "head_layers": 3}
    config |= {"groups": "rank"}
    with open_workdir(folder, ConfigDict(config | {"epochs": 4, "log_every": 1} | changes)) as workdir:
        workdir.keep_config()
    names = ("many", "medium", "few", "std", "all")
    report = {"step": step, "limit": 0} | {protocol: dict(zip(names, row)) for protocol, row in figures.items()}
    for protocol in figures:
        report[protocol]["classes"] = [report[protocol]["all"] + away for away in (-0.3, -0.1, 0.1, 0.3)]
    (folder / "eval" / f"step_{step}").mkdir(parents=True)
    (folder / "eval" / f"step_{step}" / "report.json").write_text(json.dumps(report))
    return folder


@pytest.fixture
def runs(tmp_path):
    """SDCLR on two splits, SimCLR on one; the second lacks the few-shot figures."""
    first = {"full": (0.8, 0.7, 0.6, 0.08, 0.7), "few": (0.5, 0.4, 0.3, 0.08, 0.4)}
    second = {"full": (0.9, 0.7, 0.5, 0.16, 0.7)}
    return [
        write_run(tmp_path / "sdclr_1", first, log_every=5),
        write_run(tmp_path / "sdclr_2", second, split=2, seed=7),
        write_run(tmp_path / "simclr_1", first, prune_fraction=0.0, head_layers=2),
    ]


def test_mean_and_population_deviation_over_the_splits(runs, tmp_path):
    rows = write_table(runs, tmp_path / "out")
    assert [(row.method, len(row.runs)) for row in rows] == [("SimCLR, head 2", 1), ("SDCLR, head 3", 2)]
    text = (tmp_path / "out" / "table.md").read_text()
    wanted = "| D_i | SDCLR, head 3 | 2 | 85.00 ± 5.00 | 70.00 ± 0.00 | 55.00 ± 5.00 | 12.00 ± 4.00 | 70.00 ± 0.00 |"
    assert wanted in text
    assert "**Linear separability** (%; Std and the number after ± are population deviations (n), as published)" in text
    assert "| digits | D_i | SimCLR, head 2 | 1 | 50.00 | 40.00 | 30.00 | 8.00 | 40.00 | 22.36 |" in text
    assert text.count("SDCLR, head 3") == 1, "few-shot is left out where a run lacks it"
    assert "Nearest" not in text
    entries = json.loads((tmp_path / "out" / "table.json").read_text())
    assert entries[1]["full"]["many"] == {"mean": 85, "deviation": pytest.approx(5), "values": [80, 90]}
    assert "few" not in entries[1]
    simclr, sdclr = (where(tmp_path / "out" / "table.png", color).sum(0) for color in COLORS[:2])
    assert simclr.max() / sdclr.max() == pytest.approx(80 / 85, abs=0.04), "the bars of Many are the highest"


def test_tables_1_to_5_by_hand(tmp_path):
    """Which run goes into which table, and mean and population deviation over its splits."""
    for split, many in ((1, 0.9), (2, 0.7)):
        figures = {"full": (many, 0.6, 0.5, 0.2, 0.6), "few": (0.4, 0.3, 0.2, 0.1, many / 2)}
        for name, words in {
            "simclr": {"prune_fraction": 0.0},
            "simclr_b": {"prune_fraction": 0.0, "balanced": True},
            "sdclr": {},
            "sdclr_b": {"balanced": True},
        }.items():
            write_run(tmp_path / f"{name}_{split}", figures, split=split, **words)
    large = {"dataset": "imagenet", "groups": "size", "prune_fraction": 0.0}
    both = {"full": (0.58, 0.55, 0.56, 0.01, 0.57), "few": (0.31, 0.26, 0.27, 0.02, 0.28)}
    write_run(tmp_path / "pareto", both, **large, list_imbalanced="ImageNet_LT_train.txt")
    write_run(tmp_path / "exp", both, **large, list_imbalanced="imageNet_LT_exp_train.txt")
    write_run(tmp_path / "few_only", {"few": both["few"]}, **large, balanced=True, list_imbalanced="")
    write_table(sorted(tmp_path.glob("*")), tmp_path / "out")

    tables = {table["number"]: table for table in json.loads((tmp_path / "out" / "tables_1_to_5.json").read_text())}
    members = {
        number: [(row["dataset"], row["subset"], row["method"].split(",")[0]) for row in table["rows"]]
        for number, table in tables.items()
    }
    small = [("digits", "D_b", "SimCLR"), ("digits", "D_i", "SimCLR")]
    assert members[1] == members[2] == small
    assert members[3] == [("imagenet", "D_i", "SimCLR")] * 2, "a row without both metrics is left out"
    assert sorted(row["long_tail"] for row in tables[3]["rows"]) == ["Exp", "Pareto"]
    long_tailed = [("digits", "D_i", "SimCLR"), ("digits", "D_i", "SDCLR"), *[("imagenet", "D_i", "SimCLR")] * 2]
    assert members[4] == members[5] == long_tailed
    sdclr = tables[4]["rows"][1]
    assert sdclr["splits"] == [1, 2]
    assert sdclr["full"]["many"] == {"mean": pytest.approx(80), "deviation": pytest.approx(10), "values": [90, 70]}
    assert sdclr["full"]["class_std"]["mean"] == pytest.approx(100 * 0.05**0.5)
    assert tables[5]["rows"][1]["few"]["all"]["deviation"] == pytest.approx(5)
    text = (tmp_path / "out" / "tables_1_to_5.md").read_text()
    assert text.count("(%; Std and the number after ± are population deviations (n), as published)") == 5
    assert "| digits | D_b | SimCLR, head 3 | 2 | 80.00 ± 10.00 | 60.00 ± 0.00 | 50.00 ± 0.00 | 60.00 ± 0.00 |" in text
    assert "| 1 | 58.00 | 55.00 | 56.00 | 57.00 | 31.00 | 26.00 | 27.00 | 28.00 |" in text
    assert "20.00 ± 0.00 | 60.00 ± 0.00 | 22.36 ± 0.00 |" in text


def test_figures_that_a_run_has_not_are_null_and_few_test_images_are_named(tmp_path):
    first = write_run(tmp_path / "a", {"full": (0.8, 0.6, None, 0.1, 0.7)}, groups="size")
    other = write_run(tmp_path / "b", {"full": (0.6, 0.4, None, 0.1, 0.5)}, groups="size", split=2)
    about = {"class_names": ["ant", "bee", "cat", "dog"], "class_counts": [200, 150, 50, 30]}
    for folder, counts in ((first, [50, 50, 5, 5]), (other, [50, 50, 500, 0])):
        file = folder / "eval" / "step_10" / "report.json"
        report = json.loads(file.read_text()) | about | {"test_counts": counts}
        report["full"]["classes"] = [0.9, 0.7, 0.6, None if 0 in counts else 0.2]
        file.write_text(json.dumps(report))
    write_table([first, other], tmp_path / "out")
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| 70.00 ± 10.00 | 50.00 ± 10.00 | -- | 10.00 ± 0.00 | 60.00 ± 10.00 |" in text
    assert f"- {first}: Medium rests on 10 test images (cat 5, dog 5): one of them is up to 10.0 points" in text
    assert f"- {other}: Medium" not in text
    [entry] = json.loads((tmp_path / "out" / "table.json").read_text(), parse_constant=pytest.fail)
    assert entry["full"]["few"] == {"mean": None, "deviation": None, "values": [None, None]}
    assert entry["classes"]["full"]["dog"] == [pytest.approx(20), None]
    assert entry["few_test_images"][0].startswith(f"{first}: ")
    tables = json.loads((tmp_path / "out" / "tables_1_to_5.json").read_text(), parse_constant=pytest.fail)
    assert tables[3]["rows"][0]["full"]["few"]["mean"] is None


def test_a_table_without_a_run_says_so():
    text = format_tables(published_tables([]))
    assert text.count("No evaluated run of this kind") == 5
    assert "with linear separability and few-shot, was given" in text


def test_rows_of_one_name_are_told_apart_and_doubles_refused(runs, tmp_path):
    figures = {"full": (0.8, 0.7, 0.6, 0.08, 0.7)}
    longer = write_run(tmp_path / "longer", figures, epochs=9, step=20)
    methods = [row.method for row in make_rows(map(read_run, [*runs, longer]))]
    assert sorted(methods) == [
        "SDCLR, head 3 (epochs=4, step=10)",
        "SDCLR, head 3 (epochs=9, step=20)",
        "SimCLR, head 2",
    ]
    double = write_run(tmp_path / "double", figures)
    with pytest.raises(UserError, match=r"sdclr_1 and .*double are the same experiment"):
        make_rows(map(read_run, [*runs, double]))


def test_the_newest_report_counts_and_a_run_without_one_is_named(runs, tmp_path):
    write = runs[0] / "eval" / "step_9" / "report.json"
    write.parent.mkdir()
    write.write_text(json.dumps({"step": 9, "limit": 0}))
    assert read_run(runs[0]).report["step"] == 10
    (runs[0] / "eval" / "step_10" / "report.json").unlink()
    write.unlink()
    with pytest.raises(UserError, match=r"has no report; run python -m sdclr_jax\.evaluate"):
        read_run(runs[0])
    assert markdown([]) == ""


def write_shares(folder, many):
    folder.mkdir()
    present = {"present/many": 0.7, "present/medium": 0.2, "present/few": 0.1}
    lines = [{"step": 1, "time": 0.0, "loss": 1.0}]
    for epoch, share in enumerate(many, 1):
        shares = {"forgotten/many": share, "forgotten/medium": (1 - share) / 2, "forgotten/few": (1 - share) / 2}
        hundredth = {f"forgotten_hundredth/{name}": 1 / 3 for name in ("many", "medium", "few")}
        lines.append({"step": 2 * epoch, "time": 0.0, "epoch": epoch, **shares, **present, **hundredth})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_curves_are_read_and_drawn(tmp_path):
    runs = [write_shares(tmp_path / "a", [0.5, 0.4]), write_shares(tmp_path / "b", [0.7, 0.2])]
    curves = read_curves(runs)
    np.testing.assert_array_equal(curves.epochs, [1, 2])
    np.testing.assert_allclose(curves.forgotten["many"], [[0.5, 0.4], [0.7, 0.2]])
    np.testing.assert_allclose(curves.present["few"], [0.1, 0.1])
    np.testing.assert_allclose(read_curves(runs, "hundredth").forgotten["few"], np.full((2, 2), 1 / 3))
    draw_curves(tmp_path / "curve.png", curves)
    seen = {name: where(tmp_path / "curve.png", color) for name, color in GROUP_COLORS.items()}
    assert all(pixels[-60:].sum() > 20 for pixels in seen.values()), "the legend"
    (rows, columns), (few_rows, few_columns) = (np.nonzero(seen[name][:-60]) for name in ("many", "few"))
    assert rows[columns.argmin()] < few_rows[few_columns.argmin()], "60 % above 20 % in the first epoch"
    assert rows[columns.argmax()] > few_rows[few_columns.argmax()], "30 % below 35 % in the last"
    longer = write_shares(tmp_path / "c", [0.5, 0.4, 0.3])
    with pytest.raises(UserError, match=r"c has records of the epochs \[1, 2, 3\]"):
        read_curves([*runs, longer])
    empty = write_shares(tmp_path / "d", [])
    with pytest.raises(UserError, match="no record of forgetting"):
        read_curves([empty])


@pytest.mark.parametrize(("names", "many"), [("ab", "30.0 ± 14.1 %"), ("a", "40.0 ±  0.0 %")])
def test_forgotten_shares_have_the_sample_deviation_over_the_runs(tmp_path, capsys, names, many):
    """40 % and 20 % at the last epoch: the deviation is sqrt(200); one run has none."""
    shares = {"a": [0.5, 0.4], "b": [0.7, 0.2]}
    runs = [str(write_shares(tmp_path / name, shares[name])) for name in names]
    curve_main(curve_parser().parse_args([*runs, f"--output={tmp_path / 'curve.png'}"]))
    assert f"many     {many} of the forgotten" in capsys.readouterr().out

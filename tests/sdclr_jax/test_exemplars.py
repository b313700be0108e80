"""Exemplars: the report against loops, calibration and corruptions against NumPy, the command on a tiny network."""

import importlib.util
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from sdclr_jax.data.datasets import load_dataset
from sdclr_jax.exemplars import run_exemplars
from sdclr_jax.learn import build
from sdclr_jax.learn.build import build_model, build_state
from sdclr_jax.learn.restore import TrainedRun
from sdclr_jax.model.norm import DENSE, PRUNED
from sdclr_jax.probe.balancedness import GROUP_COLORS, Groups
from sdclr_jax.probe.corruptions import BLUR, CONTRAST, CORRUPTIONS, NOISE, corrupted
from sdclr_jax.probe.exemplar_predictor import labelled_rows, require_lists
from sdclr_jax.probe.features import make_calibration
from sdclr_jax.probe.probe import fit_logistic, logits
from sdclr_jax.report.exemplar_report import (
    Example,
    Predictions,
    as_lines,
    draw_curves,
    draw_sheet,
    examples,
    make_report,
)
from sdclr_jax.views.views import to_float
from tests.parity_tools import assert_close_in_norm
from tests.pixels import where
from trainlib.analysis.pruning_sweep import PruningSweep
from trainlib.core.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


def test_report_is_that_of_a_loop_over_images():
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 4, 200), Groups(np.array([2]), np.array([0, 3]), np.array([1]))
    group_of = {2: "many", 0: "medium", 3: "medium", 1: "few"}
    drawn = {
        name: np.stack([np.where(rng.random(200) < right, labels, rng.integers(0, 4, 200)) for _ in range(3)])
        for name, right in (("dense", 0.8), ("pruned", 0.5))
    }
    dense, pruned = (
        Predictions(s, {"clean": drawn[n], "noise": drawn[n][:1]}) for s, n in ((0, "dense"), (0.9, "pruned"))
    )
    report = make_report(dense, [pruned], labels, groups)

    def modal(votes):
        return next(v for v in votes if votes.count(v) == max(map(votes.count, votes)))

    found = [i for i in range(200) if modal(drawn["dense"][:, i].tolist()) != modal(drawn["pruned"][:, i].tolist())]
    level = report["levels"][0]
    lost = level["forgotten"]
    assert (lost["count"], lost["share"]) == (len(found), len(found) / 200)
    for name in ("many", "medium", "few"):
        members = [i for i in range(200) if group_of[labels[i]] == name]
        both = len(set(members) & set(found))
        expected = {"exemplars": both / len(found), "images": len(members) / 200, "rate": both / len(members)}
        assert lost["by_group"][name] == pytest.approx(expected)
    assert lost["rates"] == pytest.approx(
        [np.mean([i in found for i in np.flatnonzero(labels == k)]) for k in range(4)]
    )
    right = (drawn["dense"] == labels).mean(0)
    assert lost["dense_on_exemplars"] == pytest.approx(np.mean([right[i] for i in found]))
    by_class = [np.mean(drawn["pruned"][:, labels == k] == k) for k in range(4)]
    assert level["clean"]["classes"] == pytest.approx(by_class)
    assert level["clean"]["medium"] == pytest.approx((by_class[0] + by_class[3]) / 2)
    assert report["dense"]["networks"] == 3
    assert len(as_lines(report)) == 3
    shown = examples(dense, pruned, labels, 5)
    assert len({one.row for one in shown}) == 5
    assert {one.row for one in shown} <= set(found)
    assert all(one.dense == one.true == labels[one.row] != one.pruned for one in shown), "rightly labelled ones first"
    nobody = make_report(dense, [dense], labels, groups)["levels"][0]["forgotten"]
    assert (nobody["count"], nobody["by_group"]["few"]["exemplars"], nobody["dense_on_exemplars"]) == (0, None, None)


def test_corruptions_have_their_strengths():
    images = np.random.default_rng(1).integers(60, 190, (40, 16, 16, 3)).astype(np.uint8)
    made = corrupted(images, 2)
    assert all(one.shape == images.shape and one.dtype == np.uint8 for one in made.values())
    assert np.std(made["noise"].astype(float) - images) == pytest.approx(255 * NOISE[1], rel=0.03)
    mean = images.mean((1, 2), keepdims=True)
    np.testing.assert_array_equal(made["contrast"], np.floor(mean + CONTRAST[1] * (images - mean)), "cut, not rounded")
    flat = corrupted(np.full((200, 16, 16, 3), 128, np.uint8), 2)["noise"].astype(float)
    assert flat.mean() == pytest.approx(127.5, abs=0.2), "half a level darker, as in CIFAR-10-C"
    point = np.zeros((1, 9, 9, 3), np.uint8)
    point[0, 4, 4] = 255
    spread = corrupted(point, 5)["blur"][0, :, :, 0].astype(float)
    assert spread[4, 4] == spread.max() < 255
    variance = (spread.sum(0) * (np.arange(9) - 4.0) ** 2).sum() / spread.sum()
    assert variance**0.5 == pytest.approx(BLUR[4], abs=0.25)
    assert 0 < np.abs(made["compression"].astype(float) - images).mean() < 40
    np.testing.assert_array_equal(made["noise"], corrupted(images, 2)["noise"])
    with pytest.raises(ValueError, match="severity is 6"):
        corrupted(images, 6)


def test_classifier_is_scikit_learns_on_standardised_features():
    rng = np.random.default_rng(2)
    labels = np.arange(90) % 3
    features = rng.normal(0, 1, (90, 4)) * [1, 10, 0.1, 0] + 5 + labels[:, None] * [0.5, 0, 0.1, 0]
    classifier = fit_logistic(features.astype(np.float32), labels)
    scaled = (features - features.mean(0))[:, :3] / features.std(0)[:3]
    expected = LogisticRegression(max_iter=5000).fit(scaled, labels).decision_function(scaled)
    np.testing.assert_allclose(logits(classifier, np.float32(features)), expected, atol=2e-3)
    with pytest.raises(ValueError, match="at least three"):
        fit_logistic(features, labels % 2)


@pytest.fixture(scope="module", autouse=True)
def _tiny_networks(tiny_net):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "ContrastiveNet", tiny_net)
        yield


@pytest.fixture(scope="module")
def run():
    """An untrained tiny SDCLR network for the digits."""
    spec = importlib.util.spec_from_file_location("digits", ROOT / "configs" / "sdclr_digits_lt.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config("smoke")
    config.projection_size = 16
    state = build_state(config, 1)
    variables = jax.tree.map(np.asarray, {"params": state.params, "batch_stats": state.batch_stats})
    return TrainedRun(config, variables, state.masks, 5)


def test_calibration_makes_evaluation_equal_to_training_on_one_batch(run):
    """Where all images are one batch, evaluation normalises as training does, but for n / (n - 1) in the variance."""
    model = build_model(run.config)
    images = np.random.default_rng(3).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)
    stats = make_calibration(model, images)(run.variables["params"], run.variables["batch_stats"])
    variables = {"params": run.variables["params"], "batch_stats": stats}
    trained = model.apply(variables, to_float(images), DENSE, True, mutable=["batch_stats"])[0]
    evaluated = model.apply(variables, to_float(images), DENSE)
    assert_close_in_norm(evaluated.features, trained.features, 0.01)
    before = model.apply(run.variables, to_float(images), DENSE).features
    assert np.linalg.norm(before - trained.features) > 0.1 * np.linalg.norm(before), "the old statistics would not do"
    other = model.apply(run.variables, to_float(images), PRUNED).features
    np.testing.assert_array_equal(model.apply(variables, to_float(images), PRUNED).features, other)


def test_limits_draw_the_same_number_of_each_class():
    labels = np.array([0] * 9 + [1] * 5 + [2] * 7)
    rows = labelled_rows(labels, np.arange(21), 12)
    assert np.bincount(labels[rows]).tolist() == [4, 4, 4]
    assert np.bincount(labels[labelled_rows(labels, np.arange(21), 1000)]).tolist() == [5, 5, 5]
    assert len(labelled_rows(labels, np.arange(21), 0)) == 21
    with pytest.raises(UserError, match="limit is 2; it must be 0, for all, or at least the 3 classes"):
        labelled_rows(labels, np.arange(21), 2)


def test_the_sheet_has_the_names_of_the_classes(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: figures.append(figure))
    images, groups = np.zeros((2, 4, 4, 3), np.uint8), {"many": [0], "medium": [1], "few": [2]}
    rows = [(0.9, [Example(1, 2, 2, 0)])]
    draw_sheet(tmp_path / "x.png", images, rows, groups, ["ant", "bee", "cat"])
    assert figures[0].axes[0].get_xlabel() == "cat:\ncat \N{RIGHTWARDS ARROW}\nant"
    draw_sheet(tmp_path / "x.png", images, rows, groups, ["0", "1", "2"])
    assert figures[1].axes[0].get_xlabel() == "2: 2 \N{RIGHTWARDS ARROW} 0"


def test_a_group_without_a_class_leaves_report_and_pictures_without_nan(tmp_path):
    labels, groups = np.array([0, 0, 1, 1]), Groups(np.array([0]), np.array([1, 2]), np.array([], int))
    dense = Predictions(0, dict.fromkeys(("clean", *CORRUPTIONS), labels[None]))
    pruned = Predictions(0.9, dict.fromkeys(("clean", *CORRUPTIONS), 1 - labels[None]))
    report = make_report(dense, [pruned], labels, groups)
    text = json.dumps(report, allow_nan=False)
    assert json.loads(text)["dense"]["clean"]["few"] is None
    assert report["dense"]["clean"]["classes"] == [1, 1, None], "class 2 has no test image"
    draw_curves(tmp_path / "curves.png", report | {"runs": ["a"], "masks": 1})
    assert len(as_lines(report)) == 3


def test_fewer_than_three_classes_are_refused(run):
    data = load_dataset(run.config)
    two = data._replace(labels=data.labels % 2, test_labels=data.test_labels % 2)
    with pytest.raises(UserError, match="needs at least three; there are 2"):
        require_lists(two)


def test_the_command_leaves_report_and_pictures(run, tmp_path, monkeypatch):
    other_seed = run._replace(config=run.config.copy_and_resolve_references())
    other_seed.config.seed = 1
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf) * 1.02 + 0.01, run.variables["params"])
    other_seed = other_seed._replace(variables=run.variables | {"params": params})
    runs = {"a": run, "b": other_seed}
    monkeypatch.setattr("sdclr_jax.exemplars.load_run", lambda workdir, step: runs[workdir])
    report = run_exemplars(["a", "b"], tmp_path, PruningSweep((0.9, 1e-9), masks=2), limit=50)
    assert report == json.loads((tmp_path / "exemplars.json").read_text())
    assert report["class_names"] == [str(k) for k in range(10)]
    assert (report["dense"]["networks"], report["images"]) == (2, 50)
    nothing, much = report["levels"]
    assert (nothing["networks"], much["networks"]) == (4, 4)
    assert nothing["forgotten"]["count"] == 0, "one weight of thousands changes no label"
    assert nothing["clean"]["classes"] == pytest.approx(report["dense"]["clean"]["classes"])
    assert much["forgotten"]["count"] > 0
    assert set(much) >= {"clean", "noise", "blur", "contrast", "compression"}
    for name in ("curves.png", "contact_sheet.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 300
        for group, color in GROUP_COLORS.items():
            assert where(tmp_path / name, color).sum() > 50, (name, group)
    other_seed.config.epochs = 99
    with pytest.raises(UserError, match="b and a differ in epochs"):
        run_exemplars(["a", "b"], tmp_path)
    with pytest.raises(UserError, match="masks 0"):
        run_exemplars(["a"], tmp_path, PruningSweep(masks=0))

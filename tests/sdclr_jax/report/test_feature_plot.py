"""The picture of features: PCA against what is known of the data, colours by class size, and what is missing."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from sdclr_jax.probe.balancedness import GROUP_COLORS, Groups
from sdclr_jax.report.evaluation import FEATURES
from sdclr_jax.report.feature_plot import draw_features, neighbour_embedding, principal_components
from sdclr_jax.report.stored_features import read_features
from trainlib.core.errors import UserError
from trainlib.run.workdir import open_workdir

COUNTS = [90, 40, 5]


@pytest.fixture
def run(tmp_path):
    """An evaluated run whose three classes lie apart, far along feature 3 and less so along feature 1."""
    config = {"epochs": 1, "prune_fraction": 0.9, "head_layers": 3, "groups": "rank"}
    with open_workdir(tmp_path / "run", ConfigDict(config)) as workdir:
        workdir.keep_config()
    folder = tmp_path / "run" / "eval" / "step_7"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"step": 7, "limit": 0, "class_counts": COUNTS}))
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 20)
    values = rng.normal(0, 0.1, (60, 5)) + 100
    values[:, 3] += 10.0 * labels
    values[:, 1] += np.where(labels == 1, 4.0, 0)
    np.savez(folder / FEATURES, features=values.astype(np.float32), labels=labels)
    return tmp_path / "run"


def test_principal_components_are_the_directions_of_largest_variance(run):
    features = read_features(run)
    places, (x, y) = principal_components(features.values)
    known = features.values[:, [3, 1]] - features.values[:, [3, 1]].mean(0)
    np.testing.assert_allclose(places, known, atol=0.6)
    assert abs(np.corrcoef(places.T)[0, 1]) < 1e-9
    share = 100 * places.var(0) / features.values.var(0).sum()
    assert [x, y] == [f"component {k + 1}: {share[k]:.0f} % of the variance" for k in range(2)]


def test_groups_are_those_of_the_training_and_have_their_colours(run, tmp_path):
    features = read_features(run)
    assert [group.tolist() for group in features.groups] == [[0], [1], [2]]
    assert features.name == f"SDCLR, head 3, step 7\n{run}"
    draw_features(tmp_path / "two.png", [features, features])
    wide = np.asarray(Image.open(tmp_path / "two.png").convert("RGB")).astype(int)
    panels = np.split(wide[:-60], [wide.shape[1] // 2], axis=1)
    for name, color in GROUP_COLORS.items():
        translucent = 0.65 * np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) + 0.35 * 255
        seen = [(np.abs(part - translucent).max(-1) < 8).sum() for part in (*panels, wide[-60:])]
        assert min(seen) > 5, f"{name}: {seen} pixels in the panels and the legend"


def test_classes_have_their_names_and_without_groups_all_are_drawn(run, monkeypatch):
    figures = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: figures.append(figure))
    file = run / "eval" / "step_7" / "report.json"
    names = ["ant", "bee", "a beetle of a very long name"]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"class_names": names}))
    features = read_features(run)
    draw_features(run / "x.png", [features])
    shown = [text.get_text() for text in figures[0].axes[0].texts]
    assert shown == ["ant", "bee", "a beetle of a v\N{HORIZONTAL ELLIPSIS}"]
    none = Groups(*(np.zeros(0, int),) * 3)
    draw_features(run / "x.png", [features._replace(groups=none)])
    assert [len(points.get_offsets()) for points in figures[1].axes[0].collections] == [60]


def test_tsne_keeps_neighbours(run):
    features = read_features(run)
    places, _ = neighbour_embedding(features.values)
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1) + 1e9 * np.eye(60)
    assert (features.labels[distance.argmin(1)] == features.labels).mean() > 0.95


def test_what_is_missing_is_named(run, tmp_path):
    features = read_features(run)
    few = features._replace(values=features.values[:2], labels=features.labels[:2])
    with pytest.raises(UserError, match="2 test images"):
        draw_features(tmp_path / "a.png", [few])
    (run / "eval" / "step_7" / FEATURES).unlink()
    with pytest.raises(UserError, match=r"run python -m sdclr_jax\.evaluate --workdir="):
        read_features(run)

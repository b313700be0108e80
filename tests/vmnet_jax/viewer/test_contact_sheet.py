"""Contact sheets: a row a scene, the colours of the classes in their columns, a legend of what occurs."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from preprocess.labels.label_map import LabelMap
from vmnet_jax.report.report import scene_figures
from vmnet_jax.report.scene_views import ROWS, SceneViews, as_mesh
from vmnet_jax.viewer.contact_sheet import COLUMNS, PANEL
from vmnet_jax.viewer.legend import WRONG
from vmnet_jax.viewer.raster import draw_legend

MAP = LabelMap((3, 0, 9), ("low", "zero", "high"), ((0, 90, 200), (250, 200, 0), (0, 160, 60)))


@pytest.fixture
def sheet(scenes):
    """One of the small scenes."""
    return scenes[0]


def pixels_of(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def hue(pixels, color):
    """Where a shaded colour is seen: the same direction in colour space."""
    pixels, color = pixels / np.maximum(np.linalg.norm(pixels, axis=-1, keepdims=True), 1), np.array(color, float)
    return pixels @ (color / np.linalg.norm(color)) > 0.999


def show(views, name, scene, classes):
    """Adds a scene of which the network says `classes`, surely."""
    table = np.zeros((3, 3), np.int64)
    labelled = scene.labels >= 0 if scene.labels is not None else np.zeros(len(classes), bool)
    if labelled.any():
        np.add.at(table, (classes[labelled], scene.labels[labelled]), 1)
    views.add(name, scene, 9 * np.eye(3, dtype=np.float32)[classes], table)


def test_columns_show_what_they_say(sheet, tmp_path):
    views = SceneViews(tmp_path / "eval", "Scenes", MAP, 5)
    said = np.where(sheet.labels <= 0, 2, sheet.labels).astype(int)
    show(views, "a/one", sheet, said)
    views.close()
    pixels = pixels_of(tmp_path / "eval" / "contact_sheet.png")
    assert pixels.shape[1] == len(COLUMNS) * PANEL
    columns = dict(zip(COLUMNS, np.split(pixels[150:-200], len(COLUMNS), axis=1)))
    low, wrong = MAP.colors[0], WRONG
    assert not hue(columns["prediction"], low).any(), "no vertex of the middle is said to be low"
    assert hue(columns["ground truth"], low).mean() > 0.05
    assert hue(columns["errors"], wrong).mean() > 0.05
    assert not hue(columns["prediction"], wrong).any()
    assert (pixels[-200:] == low).all(-1).sum() > 100, "the legend has it: it is true somewhere"
    assert "a/one: mean IoU" in (tmp_path / "eval" / "pages" / "a" / "one.html").read_text()


def test_scenes_beyond_the_limit_are_left_out_and_sheets_have_twenty_rows(sheet, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        "vmnet_jax.report.scene_views.write_contact_sheet", lambda path, *rest: written.append((path, len(rest[1])))
    )
    old = tmp_path / "contact_sheet_7.png"
    old.touch()
    views = SceneViews(tmp_path, "Scenes", MAP, ROWS + 1)
    said = np.zeros(len(sheet.vertices), int)
    for k in range(ROWS + 3):
        show(views, f"s{k}", sheet, said)
    views.close()
    assert [(path.name, rows) for path, rows in written] == [("contact_sheet.png", ROWS), ("contact_sheet_2.png", 1)]
    assert len(list((tmp_path / "pages").iterdir())) == ROWS + 1
    assert not old.exists()


def test_an_id_of_zero_is_a_class_and_no_label_is_none(sheet):
    ids = as_mesh(sheet, MAP).labels
    np.testing.assert_array_equal(MAP.to_classes(ids)[0], sheet.labels)
    assert (sheet.labels == 1).any()
    assert (sheet.labels < 0).any()


def test_scenes_without_labels_or_colours_are_shown_too(sheet, tmp_path):
    plain = dataclasses.replace(sheet, labels=None, has_colors=False)
    views = SceneViews(tmp_path, "Scenes", MAP, 1)
    show(views, "plain", plain, np.full(len(sheet.vertices), 2))
    views.close()
    pixels = pixels_of(tmp_path / "contact_sheet.png")
    columns = dict(zip(COLUMNS, np.split(pixels[150:-120], len(COLUMNS), axis=1)))
    assert hue(columns["prediction"], MAP.colors[2]).mean() > 0.2
    assert not hue(columns["input colour"], MAP.colors[2]).any()
    saturation = columns["errors"].max(-1) - columns["errors"].min(-1)
    assert saturation.max() < 20, "no colour where there is no ground truth"
    assert 0.001 < (columns["errors"].max(-1) < 200).mean() < 0.05, "but words that say so"
    assert scene_figures(np.zeros((3, 3), int)) == {"mean_iou": None, "accuracy": None, "vertices": 0}


@pytest.mark.parametrize("name", ["x", "a name of a class that is as long as any that was ever met in a label map"])
def test_texts_of_a_legend_do_not_overlap(name):
    """Each column of swatches begins where the longest text has ended: between them a stripe of background."""
    entries = {"Classes": [(f"{name} {k}", (200, 0, 0)) for k in range(7)]}
    pixels = np.asarray(draw_legend(entries, 1600)).astype(int)
    swatch = hue(pixels, (200, 0, 0)) & (pixels[..., 0] > 150)
    starts = np.flatnonzero(np.diff(swatch.any(0).astype(int)) == 1)
    assert len(starts) >= 2
    for start in starts[1:]:
        before = pixels[30:, start - 14 : start - 1]
        assert (np.abs(before - pixels[0, 0]).max(-1) < 3).all()

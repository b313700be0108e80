"""What an evaluation leaves to look at: a page for each scene and contact sheets."""

import pathlib

import numpy as np

from preprocess.labels.label_map import IGNORED, LabelMap
from preprocess.mesh.mesh import Mesh
from preprocess.scene.scene_file import Scene
from vmnet_jax.prediction.files import Prediction
from vmnet_jax.report.report import scene_figures
from vmnet_jax.viewer.contact_sheet import SheetRow, render_row, write_contact_sheet
from vmnet_jax.viewer.html_page import write_page
from vmnet_jax.viewer.legend import class_legend, layer_keys, prediction_layers

ROWS = 20  # scenes of one contact sheet


class SceneViews:
    """Writes pages/SCENE.html as scenes come in, and contact_sheet.png, contact_sheet_2.png, ... of 20 scenes each.

    Args:
        folder: of the evaluation's report, made if missing.
        title: of the contact sheets: what was evaluated.
        limit: number of scenes to show.
    """

    def __init__(self, folder: pathlib.Path, title: str, label_map: LabelMap, limit: int):
        self._folder, self._title, self._label_map, self._room = folder, title, label_map, limit
        self._rows: list[SheetRow] = []
        self._sheets = 0
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("contact_sheet*.png"):
            old.unlink()

    def add(self, name: str, scene: Scene, scores: np.ndarray, table: np.ndarray) -> None:
        """Writes the page of a scene and keeps its row. A scene without faces is skipped.

        Args:
            name: a path below `pages`.
            scores: float32 [V, K], the mean logits of its vertices.
            table: its confusion.
        """
        if not self._room or not len(scene.faces):
            return
        self._room -= 1
        prediction, found = Prediction.of(scores), scene_figures(table)
        classes, figures = prediction.classes, "no labels"
        if found["accuracy"] is not None:
            figures = f"mean IoU {100 * found['mean_iou']:.1f} %, accuracy {100 * found['accuracy']:.1f} %"
        mesh = as_mesh(scene, self._label_map)
        layers = prediction_layers(mesh, classes, prediction.probability, self._label_map)
        meaning = {"legend": class_legend(mesh, classes, self._label_map), "keys": layer_keys(layers)}
        page = self._folder / "pages" / f"{name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        write_page(page, f"{name}: {figures}", mesh.vertices, mesh.faces, layers, **meaning)
        true = [] if scene.labels is None else scene.labels[scene.labels != IGNORED]
        shown = np.union1d(classes, true).astype(int)
        self._rows.append(render_row(name, figures, mesh.vertices, mesh.faces, layers, classes=shown))
        if len(self._rows) == ROWS:
            self.close()

    def close(self) -> None:
        """Writes the rows that no sheet has yet, if any."""
        if not self._rows:
            return
        self._sheets += 1
        name = "contact_sheet.png" if self._sheets == 1 else f"contact_sheet_{self._sheets}.png"
        write_contact_sheet(self._folder / name, self._title, self._rows, self._label_map)
        self._rows = []


def as_mesh(scene: Scene, label_map: LabelMap) -> Mesh:
    """The mesh that a scene was made from: its vertices, faces, colours (None if it had none) and raw ids."""
    ids = None if scene.labels is None else np.array([*label_map.ids, IGNORED], np.int32)[scene.labels]
    return Mesh(scene.vertices, scene.faces, scene.colors if scene.has_colors else None, scene.normals, ids)

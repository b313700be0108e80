"""Scenes of an evaluation at a glance: one row per scene, its layers side by side, and one legend below."""

import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from preprocess.labels.label_map import LabelMap
from trainlib.core.files import atomic_file
from vmnet_jax.viewer.legend import layer_keys
from vmnet_jax.viewer.raster import BACKGROUND, INK, draw_legend, render_layers

PANEL = 400  # width of one layer in pixels
SOFT, LINE = (110, 114, 122), (222, 222, 218)
UNCOLOURED = (196, 196, 192)
COLUMNS = ("input colour", "prediction", "ground truth", "errors")


class SheetRow(NamedTuple):
    """One scene."""

    name: str  # of its caption, such as "scene0011_00"
    figures: str  # of its caption, such as "mean IoU 63.1 %"
    panels: list[Image.Image | None]  # one for each of `COLUMNS`, None for nothing to show; all of one height
    classes: np.ndarray  # int [n], of the label map, those that occur
    keys: dict[str, list[tuple[str, tuple[int, int, int]]]]  # meanings of the colours of columns without classes


def render_row(
    name: str,
    figures: str,
    vertices: np.ndarray,
    faces: np.ndarray,
    layers: dict[str, np.ndarray],
    *,
    classes: np.ndarray,
) -> SheetRow:
    """The row of a scene: float64 [V, 3] metres, z up; int32 [F, 3], F > 0; layers by name, uint8 [V, 3].

    Layers with the names of `COLUMNS` are shown. A mesh without colours is shown in one grey as its input.
    """
    colors = {"input colour": np.full((len(vertices), 3), UNCOLOURED, np.uint8), **layers}
    shown = [column for column in COLUMNS if column in colors]
    images = dict(zip(shown, render_layers(vertices, faces, [colors[column] for column in shown], PANEL)))
    panels, keys = [images.get(column) for column in COLUMNS], layer_keys({column: colors[column] for column in shown})
    return SheetRow(name, figures, panels, np.asarray(classes), keys)


def write_contact_sheet(path: str | pathlib.Path, title: str, rows: list[SheetRow], label_map: LabelMap) -> None:
    """Writes the rows as one PNG under the title; the legend has the classes that occur and the errors' colours."""
    width, top, caption, gap = PANEL * len(COLUMNS), 104, 40, 18
    occurring = sorted({int(k) for row in rows for k in row.classes})
    entries = {"classes": [(label_map.names[k], label_map.colors[k]) for k in occurring]}
    entries |= {column: key for row in rows for column, key in row.keys.items()}
    legend = draw_legend(entries, width)
    heights = [caption + row.panels[1].height + gap for row in rows]
    image = Image.new("RGB", (width, top + sum(heights) + legend.height + gap), BACKGROUND)
    draw = ImageDraw.Draw(image)
    large, font, small = (ImageFont.load_default(size) for size in (26, 20, 17))
    draw.text((24, 36), title, INK, large, anchor="lm")
    for k, column in enumerate(COLUMNS):
        draw.text(((k + 0.5) * PANEL, top - 22), column, INK, font, anchor="mm")
    y = top
    for row, height in zip(rows, heights):
        draw.line((24, y, width - 24, y), LINE, 2)
        draw.text((24, y + caption / 2 + 2), row.name, INK, font, anchor="lm")
        draw.text((24 + font.getlength(row.name) + 20, y + caption / 2 + 3), row.figures, SOFT, small, anchor="lm")
        for k, panel in enumerate(row.panels):
            if panel is not None:
                image.paste(panel, (k * PANEL, y + caption))
            else:
                middle = ((k + 0.5) * PANEL, y + caption + row.panels[1].height / 2)
                draw.text(middle, "no labels", SOFT, small, anchor="mm")
        y += height
    draw.line((24, y, width - 24, y), LINE, 2)
    image.paste(legend, (0, y + gap // 2))
    with atomic_file(path) as file:
        image.save(file, "PNG")

"""Still pictures of a coloured mesh: several layers of colours from one oblique view, side by side, with a legend.

An own z-buffer: which triangle each pixel shows is found once, and every layer is coloured from that.
"""

import pathlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kernels.host.jit import compiled
from trainlib.core.files import atomic_file

PANEL = 720  # width of one layer in pixels
OVERSAMPLING = 2
BACKGROUND = (250, 250, 248)
INK = (40, 42, 46)
LIGHTS = np.array([[-0.35, 0.25, 0.9], [0.75, -0.5, 0.42]])  # directions in view space: right, up, to the viewer


def write_picture(
    path: str | pathlib.Path,
    vertices: np.ndarray,
    faces: np.ndarray,
    layers: Mapping[str, np.ndarray],
    *,
    legend: Sequence[tuple[str, tuple[int, int, int], int]] = (),
    keys: Mapping[str, Sequence[tuple[str, tuple[int, int, int]]]] = MappingProxyType({}),
    azimuth: float | None = None,
    elevation: float = 52.0,
) -> None:
    """Writes a PNG: each layer seen from the same side, in the order of the mapping, and the legend below.

    `azimuth` and `elevation` are as in `render_layers`, `vertices` [V, 3] to `keys` as in `html_page.write_page`.
    Raises ValueError if there is no face or no layer.
    """
    if not len(faces) or not layers:
        raise ValueError(f"a picture needs faces and layers, got {len(faces)} faces and {len(layers)} layers")
    panels = render_layers(vertices, faces, list(layers.values()), PANEL, azimuth=azimuth, elevation=elevation)
    entries = {"classes and their vertices": [(f"{name}  {count:,}", color) for name, color, count in legend], **keys}
    with atomic_file(path) as file:
        _compose(list(layers), panels, entries).save(file, "PNG")


def render_layers(
    vertices: np.ndarray,
    faces: np.ndarray,
    layers: Sequence[np.ndarray],
    width: int,
    *,
    azimuth: float | None = None,
    elevation: float = 52.0,
) -> list[Image.Image]:
    """One image of `width` pixels for each layer, all of the same height and seen from the same side.

    Outer walls on the viewer's side are omitted.

    Args:
        vertices: float64 [V, 3], metres, z up.
        faces: int32 [F, 3], F > 0.
        layers: uint8 [V, 3] each.
        azimuth, elevation: the viewer's direction, degrees; None looks over a corner of the footprint.
    """
    vertices, large = np.asarray(vertices, np.float64), width * OVERSAMPLING
    outward, side = outer_walls(vertices)
    view = _view(side + 35.0 if azimuth is None else azimuth, elevation)
    screen, height = _project(vertices @ view.T, large)
    is_hidden = outward @ view[2, :2] > 0.15
    faces = np.ascontiguousarray(faces[~is_hidden[faces].any(1)], np.int32)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30) @ view.T
    face, weights = _rasterise(screen, faces, height, large)
    lights = LIGHTS / np.linalg.norm(LIGHTS, axis=1, keepdims=True)
    facing = np.where(normals[:, 2:] < 0, -normals, normals)
    brightness = 0.48 + np.maximum(facing @ lights.T, 0) @ (0.5, 0.2)
    return [_shade(faces, face, weights, brightness, np.asarray(colors, np.uint8)) for colors in layers]


def outer_walls(vertices: np.ndarray) -> tuple[np.ndarray, float]:
    """The vertices of the outer walls, and the direction of the footprint.

    Outer wall is within 4 % of the footprint's width of its convex outline. A viewer on that side hides it.

    Args:
        vertices: float64 [V, 3], z up.

    Returns:
        outward float32 [V, 2], the horizontal unit direction that leaves the scan there, zero for vertices inside or at
        floor height; and the angle (degrees) of one side of the smallest rectangle around the footprint.
    """
    angles = np.arange(0, 360, 3)
    directions = np.stack([np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles))], axis=1)
    inwards, nearest = np.full(len(vertices), np.inf), np.zeros(len(vertices), np.intp)
    support = np.empty(len(angles))
    for k, direction in enumerate(directions):
        along = vertices[:, :2] @ direction
        support[k] = along.max()
        closer = support[k] - along < inwards
        inwards[closer], nearest[closer] = (support[k] - along)[closer], k
    width = support + np.roll(support, len(angles) // 2)
    area = width * np.roll(width, len(angles) // 4)
    height = vertices[:, 2] - vertices[:, 2].min()
    is_wall = (inwards < 0.04 * width.max()) & (height > 0.12 * height.max())
    return np.where(is_wall[:, None], directions[nearest], 0).astype(np.float32), float(angles[area.argmin()])


def _view(azimuth: float, elevation: float) -> np.ndarray:
    """f64[3,3], rows: right, up and towards the viewer, in the frame of the mesh."""
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    back = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    return np.stack([right, np.cross(back, right), back])


def _project(seen: np.ndarray, width: int) -> tuple[np.ndarray, int]:
    """View coordinates f64[V,3] to pixels and depth f64[V,3] (larger is nearer), and the height in pixels."""
    lower, upper = seen.min(0), seen.max(0)
    margin = 0.03 * width
    extent = np.maximum(upper - lower, 1e-9)
    scale = (width - 2 * margin) / max(extent[0], 0.75 * extent[1])
    height = int(np.ceil(extent[1] * scale + 2 * margin))
    left = (width - extent[0] * scale) / 2
    x = left + (seen[:, 0] - lower[0]) * scale
    y = height - margin - (seen[:, 1] - lower[1]) * scale
    return np.stack([x, y, seen[:, 2] * scale], axis=1), height


@compiled
def _rasterise(screen, faces, height, width):
    """For each pixel the nearest face (i32[H,W], -1 none) and the weights of its first two corners (f32[H,W,2])."""
    nearest = np.full((height, width), -np.inf, np.float32)
    shown = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 2), np.float32)
    for f in range(len(faces)):
        a, b, c = screen[faces[f, 0]], screen[faces[f, 1]], screen[faces[f, 2]]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
        if abs(area) < 1e-12:
            continue
        first_x = max(int(np.ceil(min(a[0], b[0], c[0]) - 0.5)), 0)
        last_x = min(int(np.floor(max(a[0], b[0], c[0]) - 0.5)), width - 1)
        first_y = max(int(np.ceil(min(a[1], b[1], c[1]) - 0.5)), 0)
        last_y = min(int(np.floor(max(a[1], b[1], c[1]) - 0.5)), height - 1)
        for row in range(first_y, last_y + 1):
            y = row + 0.5
            for column in range(first_x, last_x + 1):
                x = column + 0.5
                u = ((b[0] - x) * (c[1] - y) - (c[0] - x) * (b[1] - y)) / area
                v = ((c[0] - x) * (a[1] - y) - (a[0] - x) * (c[1] - y)) / area
                if u < 0 or v < 0 or u + v > 1:
                    continue
                depth = u * a[2] + v * b[2] + (1 - u - v) * c[2]
                if depth > nearest[row, column]:
                    nearest[row, column] = depth
                    shown[row, column] = f
                    weights[row, column, 0] = u
                    weights[row, column, 1] = v
    return shown, weights


@compiled
def _fill(pixels, faces, face, weights, light):
    """Interpolates the colours u8[V,3] of the corners on each pixel with a face, by its brightness f64[F]."""
    brightness, colors = light
    for row in range(face.shape[0]):
        for column in range(face.shape[1]):
            f = face[row, column]
            if f < 0:
                continue
            u, v = weights[row, column, 0], weights[row, column, 1]
            w = np.float32(1) - u - v
            for k in range(3):
                a, b, c = colors[faces[f, 0], k], colors[faces[f, 1], k], colors[faces[f, 2], k]
                color = u * np.float32(a) + v * np.float32(b) + w * np.float32(c)
                pixels[row, column, k] = np.uint8(min(max(np.float32(color * brightness[f]), 0.0), 255.0))


def _shade(faces, face, weights, brightness, colors) -> Image.Image:
    """Colours u8[V,3] on the visible pixels, lit from two sides, scaled down to the panel's size."""
    pixels = np.empty((*face.shape, 3), np.uint8)
    pixels[:] = BACKGROUND
    _fill(pixels, faces, face, weights, (brightness, np.ascontiguousarray(colors)))
    image = Image.fromarray(pixels)
    return image.resize((face.shape[1] // OVERSAMPLING, face.shape[0] // OVERSAMPLING), Image.Resampling.BOX)


def _compose(names: list[str], panels: list[Image.Image], entries: Mapping[str, Sequence]) -> Image.Image:
    """Panels under their names, up to three in a row, and the legend below."""
    title, head = ImageFont.load_default(22), 44
    across = min(len(panels), 3)
    panel_width, panel_height = panels[0].width, panels[0].height + head
    top = panel_height * -(-len(panels) // across)
    legend = draw_legend(entries, panel_width * across)
    image = Image.new("RGB", (panel_width * across, top + legend.height), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for k, (name, panel) in enumerate(zip(names, panels)):
        x, y = k % across * panel_width, k // across * panel_height
        image.paste(panel, (x, y + head))
        draw.text((x + panel_width / 2, y + head / 2 + 4), name, INK, title, anchor="mm")
    image.paste(legend, (0, top))
    return image


def draw_legend(entries: Mapping[str, Sequence[tuple[str, tuple[int, int, int]]]], width: int) -> Image.Image:
    """Swatches with their texts, each group below its heading, in columns as wide as its longest text needs.

    `entries` is heading -> (text, colour). The image is `width` pixels wide and as high as needed, 0 without an entry.
    """
    font, heading_font, margin, line, swatch = ImageFont.load_default(17), ImageFont.load_default(18), 24, 28, 18
    groups = {heading: list(group) for heading, group in entries.items() if group}
    step = {h: max(font.getlength(text) for text, _ in group) + swatch + 37 for h, group in groups.items()}
    columns = {h: max(int((width - margin) // step[h]), 1) for h in groups}
    rows = {h: -(-len(group) // columns[h]) for h, group in groups.items()}
    height = sum((rows[h] + 1) * line + 12 for h in groups) + 6 if groups else 0
    image = Image.new("RGB", (width, height), BACKGROUND)
    draw, y = ImageDraw.Draw(image), 8
    for heading, group in groups.items():
        draw.text((margin, y + line / 2), heading, INK, heading_font, anchor="lm")
        y += line
        for k, (text, color) in enumerate(group):
            x, top = margin + k % columns[heading] * step[heading], y + k // columns[heading] * line
            box = (x, top + 5, x + swatch, top + 5 + swatch)
            draw.rounded_rectangle(box, 4, tuple(int(c) for c in color), (150, 150, 150))
            draw.text((x + swatch + 9, top + line / 2), text, INK, font, anchor="lm")
        y += rows[heading] * line + 12
    return image

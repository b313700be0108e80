"""A page to look at a coloured mesh: one HTML file with its own small WebGL code and all data inside.

It opens from the disk without a network: turn, zoom and move, switch between layers of colours, hide classes, read the
class under the pointer. The page's own text is `page.html` next to this file.
"""

import base64
import html
import json
import pathlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from kernels.host.mesh.clustering import cluster_vertices
from trainlib.core.files import write_atomic
from vmnet_jax.viewer.raster import outer_walls

MOST_VERTICES = 300_000
TEMPLATE = pathlib.Path(__file__).with_name("page.html")


def write_page(
    path: str | pathlib.Path,
    title: str,
    vertices: np.ndarray,
    faces: np.ndarray,
    layers: Mapping[str, np.ndarray],
    *,
    legend: Sequence[tuple[str, tuple[int, int, int], int]] = (),
    keys: Mapping[str, Sequence[tuple[str, tuple[int, int, int]]]] = MappingProxyType({}),
) -> None:
    """Writes the page; the second layer is shown first, or the only one.

    In a layer that is coloured with the legend's colours (more than half of the vertices) a vertex belongs to the class
    of its colour. If the layer in view is not such a layer, the first one that is decides what to hide.
    `#layer=2&hide=wall` after the page's address opens it with its second layer and without the class "wall". Above
    300,000 vertices the page holds a coarser mesh, with a note.

    Args:
        vertices: float64 [V, 3], metres, z up.
        faces: int32 [F, 3].
        layers: name -> uint8 [V, 3].
        legend: class name, its colour and number of vertices.
        keys: layer name -> (meaning, colour), for layers whose colours do not mean classes; shown with that layer.

    Raises:
        ValueError: wrong shapes, no face or no layer.
    """
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces)
    layers = {name: np.asarray(colors) for name, colors in layers.items()}
    _check(vertices, faces, layers)
    total = len(vertices)
    vertices, faces, layers = _preview(vertices, faces, layers)
    outward, side = outer_walls(vertices)
    centre = (vertices.min(0) + vertices.max(0)) / 2
    meta = {
        "layers": list(layers),
        "legend": [{**_swatch(name, color), "count": int(n)} for name, color, n in legend],
        "keys": {layer: [_swatch(*entry) for entry in entries] for layer, entries in keys.items()},
        "azimuth": float(np.deg2rad(side + 35)),
        "radius": float(max(np.linalg.norm(np.ptp(vertices, axis=0)) / 2, 1e-6)),
        "centre": centre.tolist(),
        "first": 1 if len(layers) > 1 else 0,
        "facts": f"{total:,} vertices, {len(faces):,} triangles shown",
        "notice": f"Coarser preview: {len(vertices):,} of {total:,} vertices." if len(vertices) < total else "",
    }
    blocks = {
        "vertices": (vertices - centre).astype("<f4"),
        "faces": faces.astype("<u4"),
        "outward": np.rint(127 * outward).astype("i1"),
        **{f"layer{k}": colors.astype("u1") for k, colors in enumerate(layers.values())},
    }
    data = "\n".join(
        f'<script type="text/plain" id="{name}">{base64.b64encode(np.ascontiguousarray(block)).decode()}</script>'
        for name, block in blocks.items()
    )
    page = TEMPLATE.read_text(encoding="utf-8").replace("@TITLE@", html.escape(title))
    page = page.replace("@META@", json.dumps(meta).replace("<", "\\u003c")).replace("@DATA@", data)
    write_atomic(path, page)


def _swatch(name: str, color: Sequence[int]) -> dict:
    return {"name": name, "color": [int(c) for c in color]}


def _check(vertices: np.ndarray, faces: np.ndarray, layers: dict[str, np.ndarray]) -> None:
    if not len(faces) or not layers:
        raise ValueError(f"a page needs faces and layers, got {len(faces)} faces and {len(layers)} layers")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"faces name vertices {faces.min()} to {faces.max()} of {len(vertices)}")
    for name, colors in layers.items():
        if colors.shape != vertices.shape or colors.dtype != np.uint8:
            raise ValueError(f"layer {name!r} is {colors.dtype}{list(colors.shape)}, not uint8[{len(vertices)}, 3]")


def _preview(vertices: np.ndarray, faces: np.ndarray, layers: dict) -> tuple[np.ndarray, np.ndarray, dict]:
    """The mesh itself, or clustered to at most MOST_VERTICES; a cluster has the colours of its first vertex."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    cell = np.sqrt(area / MOST_VERTICES)
    fine, fine_faces, first = vertices, np.ascontiguousarray(faces, np.int32), np.arange(len(vertices))
    while len(vertices) > MOST_VERTICES:
        vertices, faces, trace = cluster_vertices(fine, fine_faces, cell)
        first = np.unique(trace, return_index=True)[1]
        cell *= 1.2
    return vertices, faces, {name: colors[first] for name, colors in layers.items()}

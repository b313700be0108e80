"""Page and picture: self-contained, the data come out of the page as they went in, the picture shows the scene."""

import base64
import json
import re

import numpy as np
import pytest
from PIL import Image

from vmnet_jax.viewer import html_page, raster

LEGEND = [("wall", (200, 40, 30), 10), ("floor </script>", (30, 200, 40), 20)]


def bumpy_room(n=40):
    """A wavy floor of n x n vertices with one wall along x = 0, metres; faces point up and inwards."""
    x, y = np.meshgrid(np.linspace(0, 4, n), np.linspace(0, 3, n), indexing="ij")
    floor = np.stack([x, y, 0.05 * np.sin(3 * x)], axis=-1).reshape(-1, 3)
    wall = np.stack([np.zeros_like(x), y, x / 2], axis=-1).reshape(-1, 3)
    a = np.arange(n * n).reshape(n, n)
    quads = np.stack([a[:-1, :-1], a[1:, :-1], a[1:, 1:], a[:-1, 1:]], axis=-1).reshape(-1, 4)
    faces = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])
    is_wall = np.repeat([False, True], n * n)
    vertices = np.concatenate([floor, wall]) + np.array([100.0, -50.0, 7.0])
    faces = np.concatenate([faces, faces[:, ::-1] + n * n]).astype(np.int32)
    return vertices, faces, np.where(is_wall[:, None], LEGEND[0][1], LEGEND[1][1]).astype(np.uint8)


@pytest.fixture(scope="module")
def room():
    return bumpy_room()


def blocks_of(path):
    text = path.read_text(encoding="utf-8")
    meta = json.loads(re.search(r'id="meta">(.*?)</script>', text, re.S)[1])
    found = re.findall(r'<script type="text/plain" id="(\w+)">([^<]*)</script>', text)
    return text, meta, {name: base64.b64decode(data, validate=True) for name, data in found}


def test_page_is_self_contained_and_holds_the_data(tmp_path, room):
    vertices, faces, classes = room
    noise = np.random.default_rng(0).integers(0, 256, classes.shape).astype(np.uint8)
    key = {"in": [("</script> paint", (1, 2, 3))]}
    html_page.write_page(
        tmp_path / "a.html", "<b>5 & 6</b>", vertices, faces, {"in": noise, "out": classes}, legend=LEGEND, keys=key
    )
    text, meta, blocks = blocks_of(tmp_path / "a.html")
    assert not re.search(r"https?:|//\w+\.|@import|<link[^>]*href=\"(?!data:)|\bsrc=|fetch\(|XMLHttpRequest", text)
    assert not re.search("@[A-Z]+@|<b>5", text)
    assert "&lt;b&gt;5 &amp; 6&lt;/b&gt;" in text
    assert "default-src 'none'" in text
    assert (meta["layers"], meta["notice"]) == (["in", "out"], "")
    assert meta["keys"] == {"in": [{"name": "</script> paint", "color": [1, 2, 3]}]}
    assert [(c["name"], tuple(c["color"]), c["count"]) for c in meta["legend"]] == LEGEND
    positions = np.frombuffer(blocks["vertices"], "<f4").reshape(-1, 3)
    np.testing.assert_allclose(positions + np.array(meta["centre"]), vertices, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(np.frombuffer(blocks["faces"], "<u4").reshape(-1, 3), faces)
    np.testing.assert_array_equal(np.frombuffer(blocks["layer0"], np.uint8).reshape(-1, 3), noise)
    np.testing.assert_array_equal(np.frombuffer(blocks["layer1"], np.uint8).reshape(-1, 3), classes)
    assert len(blocks["outward"]) == 2 * len(vertices)


def test_large_mesh_becomes_a_preview_that_says_so(tmp_path, room, monkeypatch):
    monkeypatch.setattr(html_page, "MOST_VERTICES", 900)
    vertices, faces, classes = room
    html_page.write_page(tmp_path / "a.html", "large", vertices, faces, {"out": classes}, legend=LEGEND)
    _, meta, blocks = blocks_of(tmp_path / "a.html")
    count = len(blocks["vertices"]) // 12
    assert 200 < count <= 900
    assert f"{count:,} of {len(vertices):,}" in meta["notice"]
    corners = np.frombuffer(blocks["faces"], "<u4")
    assert corners.max() < count
    colors = np.frombuffer(blocks["layer0"], np.uint8).reshape(-1, 3)
    assert {tuple(c) for c in np.unique(colors, axis=0).tolist()} == {LEGEND[0][1], LEGEND[1][1]}
    high = np.frombuffer(blocks["vertices"], "<f4").reshape(-1, 3)[:, 2] + meta["centre"][2] > 7.3
    assert (colors[high] == LEGEND[0][1]).all()


def test_outer_walls_point_outwards(room):
    vertices, _, classes = room
    outward, side = raster.outer_walls(vertices)
    is_wall = (classes[:, 0] == 200) & (vertices[:, 2] > 7.3)
    length = np.linalg.norm(outward, axis=1)
    np.testing.assert_allclose(length[is_wall], 1, atol=1e-6)
    assert (length[vertices[:, 2] < 7.1] == 0).all()
    inner = is_wall & (np.abs(vertices[:, 1] + 48.5) < 1.2)
    np.testing.assert_allclose(outward[inner], np.tile([-1.0, 0.0], (inner.sum(), 1)), atol=0.06)
    assert min(side % 90, 90 - side % 90) < 3


def test_picture_shows_every_layer_and_the_legend(tmp_path, room):
    vertices, faces, classes = room
    raster.write_picture(
        tmp_path / "a.png", vertices, faces, {"one": classes, "two": 255 - classes}, legend=LEGEND, azimuth=20
    )
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    assert pixels.shape[1] == 2 * raster.PANEL
    left, right = np.split(pixels[44:-46], 2, axis=1)
    red, green = (left[..., 0] > 1.5 * left[..., 1]), (left[..., 1] > 1.5 * left[..., 0])
    assert red.mean() > 0.05
    assert green.mean() > 0.2
    assert np.flatnonzero(red.any(1)).mean() < np.flatnonzero(green.any(1)).mean()  # the far wall is above the floor
    assert np.abs(left - right).max(2).mean() > 10
    assert len(np.unique(left.reshape(-1, 3), axis=0)) > 40  # shading
    assert (pixels[-46:].reshape(-1, 3) == LEGEND[0][1]).all(1).any()


def test_picture_leaves_out_the_wall_before_the_viewer(tmp_path, room):
    vertices, faces, classes = room
    shares = []
    for azimuth in (20, 200):
        raster.write_picture(tmp_path / "a.png", vertices, faces, {"one": classes}, azimuth=azimuth)
        pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
        shares.append((pixels[..., 0] > 1.5 * pixels[..., 1]).mean())
    assert shares[0] > 5 * shares[1]


def test_picture_hides_what_lies_behind(tmp_path):
    """Two horizontal squares: seen from straight above only the upper one's colour, whatever the order of faces."""
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    vertices = np.concatenate([square, 0.8 * square + (0.1, 0.1, 0.5)])
    upper = np.array([[4, 5, 6], [4, 6, 7]], np.int32)
    colors = np.repeat(np.array([[250, 0, 0], [0, 0, 250]], np.uint8), 4, axis=0)
    for faces in (np.concatenate([upper, upper - 4]), np.concatenate([upper - 4, upper])):
        raster.write_picture(tmp_path / "a.png", vertices, faces, {"x": colors}, azimuth=0, elevation=90)
        pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)[44:]
        middle = pixels[pixels.shape[0] // 2, pixels.shape[1] // 2]
        assert middle[2] > 100
        assert middle[0] < 20
        assert (pixels[..., 0] - pixels[..., 2] > 100).mean() > 0.1


@pytest.mark.parametrize("write", [html_page.write_page, lambda path, _, *rest: raster.write_picture(path, *rest)])
def test_empty_input_is_refused(tmp_path, room, write):
    vertices, faces, classes = room
    with pytest.raises(ValueError, match="0 faces and 1 layers"):
        write(tmp_path / "a", "t", vertices, faces[:0], {"x": classes})
    with pytest.raises(ValueError, match=r"6084 faces and 0 layers"):
        write(tmp_path / "a", "t", vertices, faces, {})
    assert not (tmp_path / "a").exists()


def test_wrong_layers_and_faces_are_refused(tmp_path, room):
    vertices, faces, classes = room
    with pytest.raises(ValueError, match="layer 'x' is uint8"):
        html_page.write_page(tmp_path / "a", "t", vertices, faces, {"x": classes[:-1]})
    with pytest.raises(ValueError, match="layer 'x' is int64"):
        html_page.write_page(tmp_path / "a", "t", vertices, faces, {"x": classes.astype(np.int64)})
    with pytest.raises(ValueError, match="of 3200"):
        html_page.write_page(tmp_path / "a", "t", vertices, faces + 5, {"x": classes})

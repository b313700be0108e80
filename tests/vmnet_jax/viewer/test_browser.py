"""Pages in a real browser: what is seen is read from the pixels of screenshots by Debian's Chromium.

Graphics are computed on the CPU (SwiftShader). Skipped where there is no Chromium.
"""

import functools
import http.server
import shutil
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image

from vmnet_jax.viewer.html_page import MOST_VERTICES, write_page

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader"),
    *("--enable-unsafe-swiftshader", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-first-run", "--hide-scrollbars", "--force-device-scale-factor=1", "--window-size=1000,700"),
    "--virtual-time-budget=1000",
]
WIDTH, HEIGHT, LEGEND_WIDTH, HEADER = 1000, 700, 250, 50
WALL, FLOOR, INPUT = (200, 40, 30), (30, 90, 220), (210, 170, 40)
LEGEND = [("a wall, behind", WALL, 1600), ("floor & ground", FLOOR, 1600)]
NOTICE, TROUBLE = (138, 75, 0), (255, 247, 236)  # colours of page.html

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


def room(n=40):
    """A floor of n x n vertices, metres, with a wall along x = 0; colours by class."""
    x, y = np.meshgrid(np.linspace(0, 4, n), np.linspace(0, 3, n), indexing="ij")
    vertices = np.concatenate([np.stack([x, y, 0 * x], -1).reshape(-1, 3), np.stack([0 * x, y, x], -1).reshape(-1, 3)])
    a = np.arange(n * n).reshape(n, n)
    quads = np.stack([a[:-1, :-1], a[1:, :-1], a[1:, 1:], a[:-1, 1:]], axis=-1).reshape(-1, 4)
    faces = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
    colors = np.repeat(np.array([FLOOR, WALL], np.uint8), n * n, axis=0)
    return vertices, np.concatenate([faces, faces[:, ::-1] + n * n]), colors


def write_room(path, n=40):
    vertices, faces, colors = room(n)
    layers = {"input colour": np.full_like(colors, INPUT), "prediction": colors}
    write_page(path, "room", vertices, faces, layers, legend=LEGEND, keys={"input colour": [("paint", INPUT)]})
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_room(tmp_path_factory.mktemp("page") / "room.html")


@pytest.fixture(scope="module")
def shoot(tmp_path_factory):
    """shoot(page, "#layer=1", flags) -> int [700, 1000, 3], the window of a fresh browser; each is opened once."""

    @functools.cache
    def shoot_one(page, address="", *flags):
        folder = tmp_path_factory.mktemp("shot")
        output = folder / "shot.png"
        command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", f"--screenshot={output}"]
        done = subprocess.run([*command, f"{page.as_uri()}{address}"], capture_output=True, timeout=60, check=False)
        assert output.exists(), done.stderr.decode()
        return np.asarray(Image.open(output).convert("RGB")).astype(int)

    return shoot_one


def canvas(pixels):
    return pixels[HEADER + 10 :, : WIDTH - LEGEND_WIDTH - 10]


def share(pixels, color):
    """Share of the pixels of a shaded colour: of its direction in colour space."""
    color = np.array(color) / np.linalg.norm(color)
    return (pixels @ color / np.maximum(np.linalg.norm(pixels, axis=-1), 1) > 0.998).mean()


def exact(pixels, color):
    return (pixels == color).all(-1).sum()


def test_the_prediction_is_shown_first_with_its_legend(page, shoot):
    pixels = shoot(page)
    assert pixels.shape[:2] == (HEIGHT, WIDTH)
    assert share(canvas(pixels), WALL) > 0.05
    assert share(canvas(pixels), FLOOR) > 0.05
    assert share(canvas(pixels), INPUT) == 0
    legend = pixels[HEADER:, -LEGEND_WIDTH:]
    assert min(exact(legend, WALL), exact(legend, FLOOR)) > 100
    assert exact(legend, INPUT) == 0
    assert exact(pixels[:HEADER], NOTICE) == 0, "the mesh itself, no preview"


@pytest.mark.parametrize("how", ["address", "click"])
def test_another_layer_has_its_colours_and_their_meaning(page, shoot, how, tmp_path):
    if how == "click":
        click = '<script>document.querySelectorAll("#layers button")[0].click()</script></body>'
        clicked = tmp_path / "clicked.html"
        clicked.write_text(page.read_text().replace("</body>", click))
        pixels = shoot(clicked)
    else:
        pixels = shoot(page, "#layer=1")
    assert share(canvas(pixels), INPUT) > 0.1
    assert share(canvas(pixels), WALL) == share(canvas(pixels), FLOOR) == 0
    assert exact(pixels[HEADER:, -LEGEND_WIDTH:], INPUT) > 100


def test_a_hidden_class_is_gone_in_every_layer(page, shoot):
    all_shown = share(canvas(shoot(page, "#layer=1")), INPUT)
    pixels = shoot(page, "#layer=2&hide=a+wall%2C+behind")
    assert share(canvas(pixels), WALL) == 0
    assert share(canvas(pixels), FLOOR) > 0.05
    part = share(canvas(shoot(page, "#layer=1&hide=a+wall%2C+behind")), INPUT)
    assert 0.2 * all_shown < part < 0.8 * all_shown


def test_a_large_mesh_says_that_it_is_a_preview(shoot, tmp_path):
    side = 390
    assert 2 * side**2 > MOST_VERTICES
    pixels = shoot(write_room(tmp_path / "large.html", side))
    assert exact(pixels[:HEADER], NOTICE) > 20
    assert share(canvas(pixels), WALL) > 0.05
    assert share(canvas(pixels), FLOOR) > 0.05


def test_without_webgl_the_page_says_so(page, shoot):
    pixels = shoot(page, "", "--disable-3d-apis")
    box = (canvas(pixels) == TROUBLE).all(-1)
    assert box.mean() > 0.03
    inside = canvas(pixels)[box.any(1)][:, box.any(0)]
    assert (inside.max(-1) < 160).mean() > 0.01, "words"


def test_nothing_is_fetched_even_if_something_asks_for_it(page, shoot, tmp_path):
    """A copy that asks a server on this machine for an image, a script and data: the page's own policy forbids it."""
    asked = []

    class Note(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Note) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        greedy = f'<img src="{place}/i"><script src="{place}/s"></script><script>fetch("{place}/f")</script></body>'
        forbidden, allowed = tmp_path / "forbidden.html", tmp_path / "allowed.html"
        forbidden.write_text(page.read_text().replace("</body>", greedy))
        allowed.write_text(forbidden.read_text().replace("Content-Security-Policy", "none"))
        assert share(canvas(shoot(forbidden)), WALL) > 0.05
        assert asked == []
        shoot(allowed)
        server.shutdown()
    assert "/i" in asked, "without the policy it would have been fetched"


def test_the_whole_mesh_is_in_view(page, shoot):
    """Two classes alone: neither touches the edges of the canvas, and together they fill most of its height."""
    part = canvas(shoot(page))
    background = (np.abs(part - part[5, 5]).max(-1) < 3) | (part.max(-1) - part.min(-1) < 30)  # the hint is grey
    rows = np.flatnonzero(~background.all(1))
    assert background[:4].all()
    assert background[:, :4].all()
    assert background[:, -4:].all()
    assert 0.75 * len(part) < np.ptp(rows) < 0.98 * len(part)

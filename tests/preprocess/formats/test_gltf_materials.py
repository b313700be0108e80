"""Colours of glTF: vertex colours, factors and textures, by hand-computed values."""

import base64
import struct
import zlib

import numpy as np
import pytest

from preprocess.formats.readers import read_mesh
from preprocess.mesh.mesh import MeshError, RawMesh
from tests.preprocess.formats.glb_builder import (
    BLUE,
    CORNERS,
    FOUR,
    GREEN,
    INSIDE,
    RED,
    SQUARE,
    WHITE,
    Glb,
    png,
    read,
    refused,
    transform,
)


@pytest.mark.parametrize(("kind", "columns"), [(kind, columns) for kind in ("u1", "u2", "f4") for columns in (3, 4)])
@pytest.mark.parametrize("normalized", [True, False])
def test_vertex_colors_are_linear(kind, columns, normalized):
    glb = Glb()
    values = np.zeros((4, columns))
    values[:, :3] = [[0, 0, 1], [0.2158605, 1, 0], [0.5, 0, 0], [1, 1, 1]]
    largest = 1 if kind == "f4" else np.iinfo(kind).max
    stored = (values * largest).astype(kind) if kind == "f4" else np.rint(values * largest).astype(kind)
    flagged = {"normalized": normalized} if kind != "f4" else {}
    raw = read(glb.simple(glb.primitive(attributes={"COLOR_0": glb.array(stored, **flagged)})).bytes())
    assert raw.colors.dtype == np.uint8
    np.testing.assert_array_equal(raw.colors, [[0, 0, 255], [128, 255, 0], [188, 0, 0], [255, 255, 255]])


def test_vertex_colors_times_factor_times_texture():
    glb = Glb()
    colors = np.full((4, 4), [0.5, 1, 1, 0.1], "f4")
    material = glb.material([[[255, 128, 0]]], baseColorFactor=[1, 0.5, 1, 0.2])
    attributes = {"COLOR_0": colors, "TEXCOORD_0": INSIDE}
    raw = read(glb.simple(glb.primitive(attributes=attributes, material=material)).bytes())
    # 0.5 is sRGB 188; 128 is linear 0.21586, half of it is sRGB 92.4
    np.testing.assert_array_equal(raw.colors, [[188, 92, 0]] * 4)


def test_parts_without_a_colour_are_grey_where_another_has_one():
    glb = Glb()
    empty = glb.material()
    parts = [
        glb.primitive(),
        glb.primitive(attributes={"COLOR_0": np.ones((4, 3), "f4")}),
        glb.primitive(material=empty),
    ]
    assert np.unique(read(glb.simple(*parts).bytes()).colors[:, 0]).tolist() == [128, 255]
    np.testing.assert_array_equal(read(glb.bytes()).colors[::4, 0], [128, 255, 128])
    glb = Glb()
    assert read(glb.simple(glb.primitive(material=glb.material())).bytes()).colors is None


def test_colours_that_are_no_numbers_are_left_to_the_checks(tmp_path):
    glb = Glb()
    colors = np.array([[np.nan, 0, 0], [1, 0, 0], [2, -1, 0], [0, 0, 1]], "f4")
    (tmp_path / "a.glb").write_bytes(glb.simple(glb.primitive(attributes={"COLOR_0": colors})).bytes())
    with pytest.raises(MeshError, match="1 vertex with a negative or non-finite colour, the first is 0"):
        read_mesh(tmp_path / "a.glb")
    mesh = read_mesh(tmp_path / "a.glb", repair=True)
    np.testing.assert_array_equal(mesh.colors, [[128] * 3, RED, RED, BLUE])
    assert "warning: 1 vertex with a colour outside 0 to 1 in COLOR_0, cut to that range" in mesh.notes


def test_colours_of_another_count_are_refused():
    glb = Glb()
    refused(
        glb.simple(glb.primitive(attributes={"COLOR_0": SQUARE[:3]})).bytes(), "COLOR_0 has 3 values for 4 vertices"
    )


@pytest.mark.parametrize("generator", ["https://github.com/mikedh/trimesh", "Open3D", "Open3d 0.19"])
def test_generators_that_write_the_colours_of_the_display(generator):
    glb = Glb()
    colors = np.arange(16, dtype="u1").reshape(4, 4) * 16
    coat = glb.material(baseColorFactor=[0.2, 0.4, 0.6, 1])
    painted = glb.material([[[100, 100, 100]]], baseColorFactor=[0.5, 0.5, 0.5, 1])
    parts = [
        glb.primitive(attributes={"COLOR_0": glb.array(colors, normalized=True)}),
        glb.primitive(material=coat),
        glb.primitive(material=painted, attributes={"TEXCOORD_0": INSIDE}),
    ]
    raw = read(glb.simple(*parts).bytes(asset={"version": "2.0", "generator": generator}))
    np.testing.assert_array_equal(raw.colors[:4], colors[:, :3])
    np.testing.assert_array_equal(raw.colors[4:8], [[51, 102, 153]] * 4)
    np.testing.assert_array_equal(raw.colors[8:], [[71, 71, 71]] * 4)  # half of linear 0.12744
    assert raw.notes == [f"colours taken as sRGB, as '{generator}' writes them, not as linear"]


def textured(texture: dict | None = None, attributes: dict | None = None, pixels=FOUR, **changes) -> RawMesh:
    glb = Glb()
    material = glb.material(pixels, texture)
    return read(
        glb.simple(glb.primitive(attributes=attributes or {"TEXCOORD_0": INSIDE}, material=material)).bytes(**changes)
    )


def test_v_goes_downwards_and_the_edges_are_part_of_the_texture():
    np.testing.assert_array_equal(textured().colors, [RED, GREEN, WHITE, BLUE])
    np.testing.assert_array_equal(textured(attributes={"TEXCOORD_0": CORNERS}).colors, [RED, GREEN, WHITE, BLUE])


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_texture_coordinates_as_normalised_integers(kind):
    glb = Glb()
    places = glb.array(np.rint(INSIDE * np.iinfo(kind).max).astype(kind), normalized=True)
    raw = read(glb.simple(glb.primitive(attributes={"TEXCOORD_0": places}, material=glb.material(FOUR))).bytes())
    np.testing.assert_array_equal(raw.colors, [RED, GREEN, WHITE, BLUE])


@pytest.mark.parametrize(
    ("texture", "expected"),
    [
        ({"texCoord": 1}, [WHITE, BLUE, RED, GREEN]),
        (transform(texCoord=1), [WHITE, BLUE, RED, GREEN]),
        ({"texCoord": 1} | transform(texCoord=0), [RED, GREEN, WHITE, BLUE]),
        (transform(offset=[0.5, 0]), [GREEN, RED, BLUE, WHITE]),
        (transform(scale=[1, -1], offset=[0, 1]), [BLUE, WHITE, GREEN, RED]),
        (transform(scale=[0.4, 0.4]), [RED, RED, RED, RED]),
        (transform(rotation=float("inf")), [RED, RED, RED, RED]),
        # The lower left quarter, turned: (u, v) -> (v / 2, 1 - u / 2), the example of the extension's text.
        (transform(offset=[0, 1], rotation=np.pi / 2, scale=[0.5, 0.5]), [BLUE, BLUE, BLUE, BLUE]),
        (transform(offset=[0, 1], rotation=np.pi / 2), [BLUE, RED, GREEN, WHITE]),
        # Scaled before it is turned: (u, v) -> (v, 1 - u / 5), so the lower half.
        (transform(offset=[0, 1], rotation=np.pi / 2, scale=[0.2, 1]), [BLUE, BLUE, WHITE, WHITE]),
    ],
)
def test_sets_and_transforms_of_texture_coordinates(texture, expected):
    raw = textured(texture, {"TEXCOORD_0": INSIDE, "TEXCOORD_1": INSIDE[[2, 3, 0, 1]]})
    np.testing.assert_array_equal(raw.colors, expected)


@pytest.mark.parametrize(
    ("code", "expected"), [(None, [GREEN, RED]), (10497, [GREEN, RED]), (33071, [RED, GREEN]), (33648, [RED, GREEN])]
)
def test_samplers_wrap(code, expected):
    glb = Glb(samplers=[{} if code is None else {"wrapS": code, "wrapT": 33071}])
    places = np.array([[-0.25, 0], [1.25, 0], [-0.25, 0]], "f4")
    part = glb.primitive(SQUARE[:3], None, {"TEXCOORD_0": places}, material=glb.material([[RED, GREEN]]))
    glb.header["textures"][0]["sampler"] = 0
    np.testing.assert_array_equal(read(glb.simple(part).bytes()).colors[:2], expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_images_of_several_formats_and_in_data_uris(kind):
    content = png(np.full((16, 16, 3), [200, 100, 50]), kind)
    glb = Glb()
    extension = {"WEBP": "EXT_texture_webp", "AVIF": "EXT_texture_avif"}.get(kind)
    uri = f"data:image/{kind.lower()};base64,{base64.b64encode(content).decode()}"
    material = glb.material(image={"uri": uri})
    if extension:
        glb.header["textures"][0] = {"extensions": {extension: {"source": 0}}}
    required = [extension] if extension else []
    content = glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material))
    raw = read(content.bytes(extensionsRequired=required))
    np.testing.assert_allclose(raw.colors, [[200, 100, 50]] * 4, atol=4)


def test_an_extension_s_image_that_cannot_be_read_falls_back_to_the_ordinary_one():
    glb = Glb()
    material = glb.material(FOUR)
    glb.header["images"].append({"bufferView": glb.view(b"RIFFxxxxWEBPVP8 damaged")})
    glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material))
    for name in ("EXT_texture_webp", "KHR_texture_basisu"):
        glb.header["textures"][0]["extensions"] = {name: {"source": 1}}
        raw = read(glb.bytes())
        np.testing.assert_array_equal(raw.colors, [RED, GREEN, WHITE, BLUE])
        assert raw.notes == []


def test_deep_grey_textures():
    glb = Glb()
    material = glb.material(image={"bufferView": glb.view(png([[0, 257 * 90]], dtype=np.uint16))})
    raw = read(glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material)).bytes())
    np.testing.assert_array_equal(raw.colors[:, 0], [0, 90, 90, 0])


def damaged_textures() -> dict:
    whole = png(FOUR)
    return {
        "cut": ({"image": whole[:50]}, "image 0 is damaged"),
        "other": ({"image": b"no image at all"}, "image 0 of type 'image/png' is not an image of PNG, JPEG"),
        "file": ({"images": [{"uri": "skin.png"}]}, "image 0 is in another file, 'skin.png'"),
        "missing": ({"images": []}, "names image 0, but the file has 0 of them"),
        "textures": ({"textures": []}, "names texture 0, but the file has 0 of them"),
        "ktx": (
            {"textures": [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]},
            "KHR_texture_basisu, which is not",
        ),
        "none": ({"textures": [{}]}, "texture 0 has no image in a format that is read"),
        "view": ({"images": [{"bufferView": 99}]}, "names bufferView 99"),
        "bomb": ({"image": bomb(20_000, 20_000)}, "image 0"),
    }


def bomb(width: int, height: int) -> bytes:
    """A PNG that declares these many pixels in its header alone."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("name", damaged_textures())
def test_a_texture_that_cannot_be_used_leaves_the_factor(name):
    changes, words = damaged_textures()[name]
    changes = dict(changes)
    glb = Glb()
    content = changes.pop("image", png(FOUR))
    image = {"bufferView": glb.view(content), "mimeType": "image/png"}
    material = glb.material(image=image, baseColorFactor=[1, 0, 0, 1])
    glb.simple(*[glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material) for _ in range(2)])
    raw = read(glb.bytes(**changes))
    np.testing.assert_array_equal(raw.colors, [RED] * 8)
    assert len(raw.notes) == 1
    assert raw.notes[0].startswith("warning: a texture is not used, ")
    assert words in raw.notes[0]


def test_a_texture_without_its_coordinates_or_of_too_many_pixels():
    raw = textured({"texCoord": 3})
    assert raw.colors is None
    assert "warning: a texture is not used, its part has no TEXCOORD_3" in raw.notes
    glb = Glb()
    material = glb.material(image={"bufferView": glb.view(bomb(9000, 9000))})
    raw = read(glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material)).bytes())
    assert raw.notes == ["warning: a texture is not used, image 0 declares 9000 x 9000 pixels, too many"]


def test_many_reasons_are_cut_short():
    glb = Glb()
    parts = [glb.primitive(material=glb.material(FOUR, {"texCoord": number})) for number in range(20)]
    notes = read(glb.simple(*parts).bytes()).notes
    assert len(notes) == 13
    assert notes[-1] == "warning: textures are not used for 8 further reasons"


def test_an_emissive_texture_is_told():
    glb = Glb()
    material = glb.material(FOUR)
    texture = glb.header["materials"][0]["pbrMetallicRoughness"].pop("baseColorTexture")
    glb.header["materials"][0]["emissiveTexture"] = texture
    raw = read(glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material)).bytes())
    assert raw.colors is None
    assert raw.notes == ["warning: a texture is not used, it is emissive, no base colour"]


def test_specular_glossiness():
    glb = Glb()
    material = glb.material(FOUR, baseColorFactor=[0, 0, 0, 1])
    texture = glb.header["materials"][0]["pbrMetallicRoughness"].pop("baseColorTexture")
    diffuse = {"diffuseTexture": texture, "diffuseFactor": [1, 1, 0, 1]}
    glb.header["materials"][0]["extensions"] = {"KHR_materials_pbrSpecularGlossiness": diffuse}
    content = glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material))
    raw = read(content.bytes(extensionsRequired=["KHR_materials_pbrSpecularGlossiness"]))
    np.testing.assert_array_equal(raw.colors, [RED, GREEN, [255, 255, 0], [0, 0, 0]])
    glb.header["materials"][0]["extensions"] = {"KHR_materials_pbrSpecularGlossiness": {"glossinessFactor": 0.5}}
    np.testing.assert_array_equal(read(glb.bytes()).colors, [[0, 0, 0]] * 4)

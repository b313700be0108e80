"""Colours of the vertices of a glTF 2.0 primitive: COLOR_0 times the material's factor times its texture.

By the standard (3.9.2 and 3.7.2.1) factors and COLOR_0 are linear and textures are sRGB; the product is linear, and
what is returned is sRGB, as in every other format that this program reads.
"""

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from preprocess.formats.gltf.document import Accessors, Entry, GltfError, quoted
from preprocess.formats.textures import PILLOW_ERRORS, sampled
from trainlib.core.pictures import to_rgb
from trainlib.core.text import pluralize

_BASIS = "KHR_texture_basisu"
_OTHER_IMAGES = ("EXT_texture_webp", "EXT_texture_avif", "MSFT_texture_dds")
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "DDS", "BMP", "GIF")
_WRAPS = {33071: "clamp", 33648: "mirror", 10497: "repeat"}
_MOST_PIXELS, _PIXELS_A_BYTE = 2**26, 64
"""An image may have this many pixels, or this many for each of its bytes in the file: more is a decompression bomb."""
_SHOWN = 12
_DISPLAY_COLORS = ("https://github.com/mikedh/trimesh", "open3d")
"""Generators that write the colours of the display, not linear ones, into COLOR_0."""


class Painter:
    """Colours of the primitives of a document.

    Attributes:
        used_coordinates: names of the texture coordinates that were looked up.
    """

    def __init__(self, accessors: Accessors):
        self._document, self._accessors = accessors.document, accessors
        self._latest: tuple[str, np.ndarray | GltfError | None] = ("", None)
        self._unused: dict[str, set[int]] = {}
        self._beyond_one = 0
        self._generator = self._document.root.entry("asset").text("generator")
        self._display = self._generator.lower().startswith(_DISPLAY_COLORS)
        self._taken_as_display = False
        self.used_coordinates: set[str] = set()

    def texture_number(self, primitive: Entry) -> int:
        """Number of the texture of its base colour, -1 without: paint in this order, and each is decoded once."""
        info = self._base_color(primitive)[1]
        number = -1 if info is None else info.fields.get("index")
        return number if isinstance(number, int) else -1

    def colors(self, primitive: Entry, count: int) -> np.ndarray | None:
        """Colours of the `count` vertices of a primitive.

        Returns [count, 3], sRGB: uint8, or float32 from 0 to 1 with NaN where COLOR_0 is not finite; None without any
        colour. Raises GltfError if COLOR_0 or the material is wrong. A texture that cannot be used is skipped, with a
        line in `notes`.
        """
        vertex = None
        if "COLOR_0" in primitive.entry("attributes"):
            # Integers are fractions of their largest value by the standard, also if an exporter forgot the flag.
            vertex = self._attribute(primitive, "COLOR_0", count, kinds=("VEC3", "VEC4"), normalized=True)[:, :3]
            vertex[~np.isfinite(vertex)] = np.nan
            self._beyond_one += int(((vertex < 0) | (vertex > 1)).any(axis=1).sum())
            vertex = _to_linear(vertex.clip(0, 1)) if self._display else vertex.clip(0, 1)
            self._taken_as_display |= self._display
        factor, info = self._base_color(primitive)
        texels = None if info is None else self._texels(primitive, info, count)
        if vertex is None and factor is None:
            return texels
        linear = np.ones((count, 3)) if vertex is None else vertex
        if factor is not None:
            display = self._display and texels is None
            self._taken_as_display |= display and bool(((factor > 0) & (factor < 1)).any())
            linear = linear * (_to_linear(factor) if display else factor)
        if texels is not None:
            linear = linear * _to_linear(np.arange(256) / 255)[texels]
        return _to_srgb(linear)

    def notes(self) -> list[str]:
        """Warnings about textures and colours, after all primitives are painted."""
        notes = []
        if self._taken_as_display:
            notes.append(f"colours taken as sRGB, as {quoted(self._generator)} writes them, not as linear")
        if self._beyond_one:
            number = pluralize(self._beyond_one, "vertex")
            notes.append(f"warning: {number} with a colour outside 0 to 1 in COLOR_0, cut to that range")
        for reason, materials in list(self._unused.items())[:_SHOWN]:
            number = f"{pluralize(len(materials), 'material')}: " if len(materials) > 1 else ""
            notes.append(f"warning: {number}a texture is not used, {reason}")
        if len(self._unused) > _SHOWN:
            notes.append(f"warning: textures are not used for {len(self._unused) - _SHOWN} further reasons")
        return notes

    def _attribute(self, primitive: Entry, name: str, count: int, **kinds: Any) -> np.ndarray:
        """Float64 [count, components] of a vertex attribute; `kinds` as for `Accessors.read`."""
        accessor = self._accessors.named(primitive.entry("attributes"), name)
        values = self._accessors.read(accessor, **kinds).astype(np.float64)
        if len(values) != count:
            raise GltfError(f"{primitive.place}: {name} has {len(values)} values for {pluralize(count, 'vertex')}")
        return values

    def _base_color(self, primitive: Entry) -> tuple[np.ndarray | None, Entry | None]:
        """Factor, float64 [3], and reference to the texture of a primitive's material; None where it has none."""
        if "material" not in primitive:
            return None, None
        material = self._document.named("materials", primitive, "material")
        group = material.extension("KHR_materials_pbrSpecularGlossiness")
        names = ("diffuseFactor", "diffuseTexture")
        if group is None or not any(name in group for name in names):
            group, names = material.entry("pbrMetallicRoughness"), ("baseColorFactor", "baseColorTexture")
        if names[1] not in group and "emissiveTexture" in material:
            self._unused.setdefault("it is emissive, no base colour", set()).add(primitive.integer("material"))
        factor = group.numbers(names[0], (3, 4))[:3].clip(0, 1) if names[0] in group else None
        return factor, group.entry(names[1]) if names[1] in group else None

    def _texels(self, primitive: Entry, info: Entry, count: int) -> np.ndarray | None:
        """Uint8 [count, 3] of the texture at the vertices; None, and a reason kept, where it cannot be used."""
        try:
            texture = self._document.named("textures", info, "index")
            places = self._places(primitive, info, count)
            if self._latest[0] != texture.place:
                self._latest = (texture.place, self._read_image(texture))
            if isinstance(self._latest[1], GltfError):
                raise self._latest[1]
            sampler = self._document.named("samplers", texture, "sampler") if "sampler" in texture else Entry({}, "")
            wraps = (_WRAPS.get(sampler.integer(name, 10497), "repeat") for name in ("wrapS", "wrapT"))
            return sampled(self._latest[1], places, tuple(wraps))
        except GltfError as error:
            self._unused.setdefault(error.cause, set()).add(primitive.integer("material"))
            return None

    def _places(self, primitive: Entry, info: Entry, count: int) -> np.ndarray:
        """Texture coordinates float64 [count, 2], v downwards, transformed by KHR_texture_transform."""
        transform = info.extension("KHR_texture_transform") or Entry({}, info.place)
        name = f"TEXCOORD_{transform.integer('texCoord', info.integer('texCoord', 0))}"
        if name not in primitive.entry("attributes"):
            raise GltfError(f"its part has no {name}")
        self.used_coordinates.add(name)
        u, v = self._attribute(primitive, name, count, kinds=("VEC2",)).T
        scale, offset = transform.numbers("scale", (2,), (1.0, 1.0)), transform.numbers("offset", (2,), (0.0, 0.0))
        angle = transform.number("rotation", 0.0)
        u, v = u * scale[0], v * scale[1]
        # Counter-clockwise as one sees it with v downwards: glTF issue 1563, and what three.js and Babylon.js do.
        turned = (np.cos(angle) * u + np.sin(angle) * v, np.cos(angle) * v - np.sin(angle) * u)
        return np.stack(turned, axis=1) + offset

    def _read_image(self, texture: Entry) -> np.ndarray | GltfError:
        """Uint8 [H, W, 3] of the first image that can be read, an extension's before the ordinary one, or why not."""
        named = [extension for name in _OTHER_IMAGES if (extension := texture.extension(name)) is not None]
        named += [texture] if "source" in texture else []
        reason = GltfError(f"{texture.place} has no image in a format that is read")
        if texture.extension(_BASIS) is not None:
            reason = GltfError(f"{texture.place} is compressed by {_BASIS}, which is not read")
        for holder in named:
            try:
                return self._decoded(self._document.named("images", holder, "source"))
            except GltfError as error:
                reason = error
        return reason

    def _decoded(self, image: Entry) -> np.ndarray:
        data = self._accessors.holder_bytes(image)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's, about pixel counts and damaged metadata
                with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
                    if opened.width * opened.height > max(_MOST_PIXELS, _PIXELS_A_BYTE * len(data)):
                        raise GltfError(f"{image.place} declares {opened.width} x {opened.height} pixels, too many")
                    return np.asarray(to_rgb(opened))
        except UnidentifiedImageError:
            kind = image.text("mimeType", "?")
            cause = f"{image.place} of type {quoted(kind, 30)} is not an image of {', '.join(_FORMATS)}"
            raise GltfError(cause) from None
        except GltfError:
            raise
        except PILLOW_ERRORS as error:
            raise GltfError(f"{image.place} is damaged ({type(error).__name__})") from None


def _to_linear(values: np.ndarray) -> np.ndarray:
    """sRGB values from 0 to 1 as linear ones, float64 of the same shape (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear values from 0 to 1 as sRGB: uint8, or float32 from 0 to 1 where some are NaN."""
    values = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return values.astype(np.float32) if np.isnan(values).any() else np.rint(255 * values).astype(np.uint8)

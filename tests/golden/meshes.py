"""Small meshes by exact rules: only sums and products of small numbers, so that every machine makes the same ones."""

import numpy as np

CLASSES = (3, 7, 9)
"""Label ids, by height."""
LABEL_MAP = "id,name,red,green,blue\n3,low,200,40,40\n7,middle,40,200,40\n9,high,40,40,200\n"


def height_field(seed: int, side: int = 14) -> dict[str, np.ndarray]:
    """A coloured and labelled sheet of `side` x `side` vertices, 1/8 m apart, all numbers exact in float32.

    Returns:
      vertices float32 [V, 3] in metres, colors uint8 [V, 3], labels int32 [V] (0 along one rim), faces int32 [F, 3].
    """
    row, column = (axis.ravel() for axis in np.meshgrid(np.arange(side), np.arange(side), indexing="ij"))
    noise = (row * 7919 + column * 104729 + seed * 1299709) % 1021
    bumps = (row - seed % side) ** 2 % 23 + (column * (seed + 3)) % 17
    heights = (bumps * 8 + noise % 13) / 512
    shift = np.stack([noise % 31 - 15, noise // 31 % 31 - 15], 1) / 512
    vertices = np.stack([row / 8 + shift[:, 0], column / 8 + shift[:, 1], heights], 1).astype(np.float32)
    colors = np.stack([(bumps * 6) % 256, noise % 256, (row * 16 + column) % 256], 1).astype(np.uint8)
    labels = np.asarray(CLASSES, np.int32)[np.digitize(heights, [0.2, 0.4])]
    labels[row == 0] = 0
    corner = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    return {"vertices": vertices, "colors": colors, "labels": labels, "faces": faces}


def ply_text(mesh: dict[str, np.ndarray]) -> str:
    """The mesh as a text PLY file with colours and labels."""
    rows = np.concatenate([mesh["colors"], mesh["labels"][:, None]], 1).tolist()
    vertices = [
        f"{x!r} {y!r} {z!r} {r} {g} {b} {k}" for (x, y, z), (r, g, b, k) in zip(mesh["vertices"].tolist(), rows)
    ]
    faces = [f"3 {a} {b} {c}" for a, b, c in mesh["faces"].tolist()]
    header = [
        "ply",
        "format ascii 1.0",
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {color}" for color in ("red", "green", "blue")),
        "property int label",
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return "\n".join([*header, *vertices, *faces]) + "\n"

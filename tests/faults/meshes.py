"""Small meshes on disk for the rows about reading and preprocessing, and the command lines that read them."""

import pathlib
import subprocess
import sys

import numpy as np

from preprocess import check, scenes

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ("--cells=0.12,0.25", "--workers=0")
TYPES = {"f4": "float", "f8": "double", "u1": "uchar", "u2": "ushort", "i4": "int"}


def sheet(side: int = 15, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """vertices float64 [side^2, 3], about 10 cm apart, and faces int32 [F, 3] of a wavy sheet; exact in float32."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(side) * 0.1, np.arange(side) * 0.1, indexing="ij")
    vertices = np.stack([x, y, 0.2 * np.sin(3 * x + seed) + 0.1 * np.cos(2 * y)], axis=-1).reshape(-1, 3)
    vertices += rng.uniform(-0.02, 0.02, vertices.shape)
    row = np.arange(side * side).reshape(side, side)
    a, b, c, d = row[:-1, :-1].ravel(), row[1:, :-1].ravel(), row[1:, 1:].ravel(), row[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    return vertices.astype(np.float32).astype(np.float64), faces


def finite(vertices: np.ndarray) -> np.ndarray:
    """The same with 0 for NaN and Inf."""
    return np.nan_to_num(vertices, nan=0, posinf=0, neginf=0)


def shades(vertices: np.ndarray) -> np.ndarray:
    """Colours uint8 [V, 3] by place."""
    return np.clip(128 + 60 * vertices, 0, 255).astype(np.uint8)


def nyu_labels(vertices: np.ndarray) -> np.ndarray:
    """Walls, floors and chairs (1, 2, 5) by height."""
    return np.array([1, 2, 5])[np.digitize(vertices[:, 2], [-0.1, 0.1])]


def ply_bytes(vertices, faces, colors=None, labels=None, text: bool = False, number: str = "f4") -> bytes:
    """A PLY file: binary little-endian or ASCII; faces are [F, 3] or a list of polygons."""
    columns = [(name, number, vertices[:, k]) for k, name in enumerate("xyz")]
    if colors is not None:
        columns += [(n, colors.dtype.str[1:], colors[:, k]) for k, n in enumerate(("red", "green", "blue"))]
    if labels is not None:
        columns.append(("label", "i4", np.asarray(labels)))
    lines = ["ply", f"format {'ascii' if text else 'binary_little_endian'} 1.0", f"element vertex {len(vertices)}"]
    lines += [f"property {TYPES[type_]} {name}" for name, type_, _ in columns]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    head = "\n".join(lines).encode() + b"\n"
    rows = np.empty(len(vertices), [(name, "<" + type_) for name, type_, _ in columns])
    for name, _, values in columns:
        rows[name] = values
    if text:
        vertex_lines = [" ".join(str(value) for value in row) for row in rows.tolist()]
        return head + "\n".join([*vertex_lines, *(" ".join(map(str, [len(f), *f])) for f in faces)]).encode() + b"\n"
    polygons = b"".join(bytes([len(f)]) + np.asarray(f, "<i4").tobytes() for f in faces)
    return head + rows.tobytes() + polygons


def write_mesh(path: pathlib.Path, vertices=None, faces=None, labelled: bool = True, **more) -> pathlib.Path:
    """A coloured sheet, or the mesh that is given, as NAME.ply with its NAME.labels.ply."""
    if vertices is None:
        vertices, faces = sheet()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ply_bytes(vertices, faces, **({"colors": shades(finite(vertices))} | more)))
    if labelled:
        beside = path.with_name(path.stem + ".labels.ply")
        beside.write_bytes(ply_bytes(finite(vertices), faces, labels=nyu_labels(finite(vertices))))
    return path


def run_scenes(capsys, folder: pathlib.Path, *flags: str) -> tuple[int, str, str]:
    """`python -m preprocess.scenes` from FOLDER to OUT beside it: (exit status, stdout, stderr)."""
    status = scenes.main([f"--input={folder}", f"--output={folder.parent / 'out'}", *SMALL, *flags])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert not list(folder.parent.rglob("*.partial"))
    return status, printed.out, printed.err


def run_check(capsys, path: pathlib.Path, *flags: str) -> tuple[int, str]:
    """`python -m preprocess.check`: (exit status, stdout and stderr)."""
    status = check.main([str(path), *flags])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return status, printed.out + printed.err


def run_process(*arguments: str, **options) -> subprocess.CompletedProcess:
    """`python ARGUMENTS` as a process of its own, from the project's folder."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, **options)


def built(folder: pathlib.Path) -> list[str]:
    """Names of the scene files in OUT beside FOLDER."""
    output = folder.parent / "out"
    return sorted(p.relative_to(output).as_posix().removesuffix(".scene.npz") for p in output.rglob("*.scene.npz"))


def write_odd_meshes(folder: pathlib.Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """One mesh for each oddity that prediction must live with or refuse; {name: (vertices, faces)}."""
    vertices, faces = sheet()
    broken = vertices.copy()
    broken[[0, 40]] = np.nan
    doubled = np.concatenate([vertices, vertices[:30], [[9, 9, 9]]])
    quads = [[a, b, c, d] for a, b, c, d in zip(range(14), range(15, 29), range(16, 30), range(1, 15))]
    meshes = {
        "plain": (vertices, faces),
        "04_nan": (broken, faces),
        "05_index": (vertices, np.where(faces == 7, 9999, faces)),
        "06_doubled": (doubled, np.concatenate([faces, faces[-5:] * 0 + [[225, 230, 240]]])),
        "08_quads": (vertices, quads),
        "09_points": (vertices, faces[:0]),
        "10_empty": (vertices[:0], faces[:0]),
        "10_one_place": (np.full((3, 3), 0.5), np.array([[0, 1, 2]])),
        "11_grey": (vertices, faces),
    }
    for name, (v, f) in meshes.items():
        write_mesh(folder / f"{name}.ply", v, f, labelled=False, **({"colors": None} if name == "11_grey" else {}))
    (folder / "01_cut.ply").write_bytes((folder / "plain.ply").read_bytes()[:-9])
    (folder / "03_html.ply").write_text("<html>")
    return meshes

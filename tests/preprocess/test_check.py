"""The report of `python -m preprocess.check`: what it says of meshes, labels and scene files, and its exit status."""

import json

import numpy as np
import pytest

from preprocess import check
from preprocess.build import build_scene
from preprocess.hierarchy import HierarchyParams
from preprocess.oddities import oddity_notes
from preprocess.readers import read_mesh
from preprocess.scene import write_scene


@pytest.fixture
def folder(tmp_path, write_ply, make_sphere, octants):
    vertices, faces = make_sphere(2)
    for name in ("a", "sub/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_ply(tmp_path / f"{name}.ply", vertices, faces, colors=np.full(vertices.shape, 9, np.uint8))
    write_ply(tmp_path / "a.labels.ply", vertices, faces, octants(vertices))
    return tmp_path


def run(capsys, *flags):
    status = check.main([str(flag) for flag in flags])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_counts_extent_and_labels(folder, capsys):
    status, out, err = run(capsys, folder)
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith(f"{folder / 'a.ply'}: 162 vertices, 320 faces, ")
    assert " m, labels 1 (" in lines[0]
    assert lines[1].endswith(" m, no labels")
    assert lines[-1] == "2 files: 0 with an error, 0 with warnings"
    assert "2/2" in err
    assert " angstrom, labels" in run(capsys, folder / "a.ply", "--units=angstrom")[1]


def test_json(folder, capsys, octants):
    (folder / "c.off").write_text("OFF\n")
    status, out, _ = run(capsys, folder, "--json", "--workers=2")
    assert status == 1
    report = json.loads(out)
    assert report["failed"] == 1
    first, second, third = report["files"]
    labels = octants(read_mesh(folder / "a.ply").vertices)
    assert first["labels"] == {str(id_): int((labels == id_).sum()) for id_ in np.unique(labels)}
    assert (first["vertices"], first["faces"], first["colors"], first["error"]) == (162, 320, True, "")
    assert "no vertex and face counts after OFF" in second["error"]
    assert third["labels"] is None


def test_labels_of_another_place(folder, capsys):
    (folder / "a.labels.ply").rename(folder / "elsewhere.ply")
    assert "labels 1 (" in run(capsys, folder / "a.ply", f"--labels={folder / 'elsewhere.ply'}")[1]
    status, out, _ = run(capsys, folder / "a.ply", "--labels=nowhere.ply")
    assert status == 1
    assert "nowhere.ply" in out
    with pytest.raises(SystemExit, match="2"):
        run(capsys, folder, "--labels=elsewhere.ply")


def test_scene_files_are_reported_too(folder, capsys):
    mesh = read_mesh(folder / "a.ply")
    path = folder / "a.scene.npz"
    write_scene(path, build_scene("a", mesh, HierarchyParams(cells=(0.1, 0.2), voxel_size=0.1)))
    status, out, _ = run(capsys, path)
    assert status == 0
    assert "scene file: levels of " in out
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    status, out, _ = run(capsys, path)
    assert status == 1
    assert "error: the file is damaged" in out
    assert "Run python -m preprocess.scenes again" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["nowhere"], "nowhere: there is no such file or folder"),
        (["empty"], "no mesh and no scene file found. Files that are read: *.ply, *.obj"),
        (["a.ply", "--label_map=no.csv"], "--label_map no.csv: there is no such file. Give scannet20 or"),
    ],
)
def test_wrong_paths(folder, capsys, flags, message):
    (folder / "empty").mkdir()
    status, _, err = run(capsys, folder / flags[0], *flags[1:])
    assert status == 1
    assert message in err


def test_a_negative_number_of_workers_is_refused(folder, capsys):
    with pytest.raises(SystemExit):
        run(capsys, folder, "--workers=-3")
    assert "--workers: '-3' is not a whole number >= 0" in capsys.readouterr().err


def brute_force(vertices, faces) -> tuple[int, int, int]:
    """Faces without area, faces that repeat another's corners, and edges of more than two of the others."""
    sides = [vertices[f[1:]] - vertices[f[0]] for f in faces]
    flat = sum(np.linalg.norm(np.cross(a, b)) < 1e-12 for a, b in sides)
    distinct = {tuple(sorted(face)) for face in faces.tolist()}
    edges: dict[tuple, int] = {}
    for a, b, c in distinct:
        for edge in ((a, b), (b, c), (a, c)):
            edges[edge] = edges.get(edge, 0) + 1
    return int(flat), len(faces) - len(distinct), sum(count > 2 for count in edges.values())


@pytest.mark.parametrize("seed", range(4))
def test_oddities_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    vertices = rng.integers(0, 3, (12, 3)).astype(float)
    vertices = np.unique(np.concatenate([vertices, [[0, 0, 7], [0, 0, 8], [0, 0, 9]]]), axis=0)
    faces = np.stack([rng.permutation(len(vertices))[:3] for _ in range(60)]).astype(np.int32)
    notes = oddity_notes(vertices, faces, faces, len(vertices))
    counts = brute_force(vertices, faces)
    endings = ("without area", "with the corners of another", "of more than two faces")
    for count, ending in zip(counts, endings):
        assert [int(note.split()[0]) for note in notes if ending in note] == ([count] if count else [])
    assert min(counts[1:]) > 0

"""The report of `python -m preprocess.check`: what it says of meshes, labels and scene files, and its exit status."""

import json

import numpy as np
import pytest

from preprocess import check, scenes
from preprocess.formats.readers import read_mesh
from preprocess.mesh.diagnostics import diagnostics
from preprocess.scene.build import build_scene
from preprocess.scene.params import HierarchyParams
from preprocess.scene.scene_file import write_scene


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
    assert "\r" not in err
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
        (["a.ply", "--label_map=no.csv"], "--label_map no.csv: there is no such file. Give scannet20, auto or"),
    ],
)
def test_wrong_paths(folder, capsys, flags, message):
    (folder / "empty").mkdir()
    status, _, err = run(capsys, folder / flags[0], *flags[1:])
    assert status == 1
    assert message in err


def test_what_preprocessing_refuses_is_an_error_here_too(folder, capsys, write_ply, make_sphere):
    vertices, faces = make_sphere(2)
    far = vertices.copy()
    far[0, 0] = 4e7
    write_ply(folder / "far.ply", far, faces)
    write_ply(folder / "minus.ply", vertices, faces, np.full(len(vertices), 65529), text=True)
    text = (folder / "minus.ply").read_text().replace("property ushort label", "property int label")
    (folder / "minus.ply").write_text(text.replace("65529", "-7"))
    status, out, _ = run(capsys, folder)
    assert status == 1
    assert "error: the mesh is 4e+07 across, more than 1048576 voxels of 0.02. Is --units right?" in out
    assert "error: 162 of 162 labelled vertices have ids that are none: -7. Ids are 0 to 65535" in out
    assert out.splitlines()[-1].startswith("4 files: 2 with an error")
    for name in ("far", "minus"):
        assert scenes.main([f"--input={folder / name}.ply", f"--output={folder / 'out'}", "--workers=0"]) == 1
    assert run(capsys, folder / "far.ply", "--voxel_size=100")[0] == 0


def test_label_map_auto_takes_the_ids_of_all_meshes(folder, capsys, write_ply, make_sphere):
    vertices, faces = make_sphere(2)
    write_ply(folder / "c.ply", vertices, faces, np.full(len(vertices), 4000))
    assert run(capsys, folder / "c.ply", "--label_map=scannet20")[0] == 1
    status, out, _ = run(capsys, folder, "--label_map=auto")
    assert status == 0
    assert "outside the label map" not in out
    write_ply(folder / "zero.ply", vertices, faces, np.zeros(len(vertices)))
    assert "warning: all labels are 0, which means unlabelled" in run(capsys, folder, "--label_map=auto")[1]


def test_a_scannet_folder_says_what_is_missing(tmp_path, capsys, write_ply, make_sphere, octants):
    vertices, faces = make_sphere(2)
    for scene in range(3):
        (tmp_path / f"scans/scene000{scene}_00").mkdir(parents=True)
    for scene in range(2):
        mesh = tmp_path / f"scans/scene000{scene}_00/scene000{scene}_00_vh_clean_2.ply"
        write_ply(mesh, vertices, faces)
    write_ply(mesh.with_name("scene0001_00_vh_clean_2.labels.ply"), vertices, faces, octants(vertices))
    status, out, _ = run(capsys, tmp_path / "scans")
    assert status == 1
    assert out.startswith("ScanNet v2. Needed for each scene, in SCANS/scene0000_00/")
    assert "missing mesh (1): scene0002_00/scene0002_00_vh_clean_2.ply\n" in out
    assert "missing labels (1): scene0000_00/scene0000_00_vh_clean_2.labels.ply\n" in out
    assert "2 files: 0 with an error" in out
    (tmp_path / "list.txt").write_text("scene0001_00\n")
    status, out, _ = run(capsys, tmp_path / "scans", f"--split={tmp_path / 'list.txt'}")
    assert status == 0
    assert "missing" not in out
    document = json.loads(run(capsys, tmp_path / "scans", "--json")[1])
    assert document["dataset"]["meshes"] == ["scene0002_00/scene0002_00_vh_clean_2.ply"]


def test_a_matterport_folder_says_what_is_missing(tmp_path, capsys, write_ply, make_sphere):
    vertices, faces = make_sphere(2)
    for house in ("17DRP5sb8fy", "1LXtFkjw3qL"):
        (tmp_path / house / "region_segmentations").mkdir(parents=True)
    write_ply(tmp_path / "17DRP5sb8fy/region_segmentations/region0.ply", vertices, faces)
    status, out, _ = run(capsys, tmp_path)
    assert status == 1
    assert "region0.ply, region1.ply, ...       the meshes" in out
    assert "missing mesh (1): 1LXtFkjw3qL/region_segmentations/region0.ply, ...\n" in out
    assert "missing labels (1): 17DRP5sb8fy/region_segmentations/region0.labels.ply\n" in out


def test_an_empty_folder_of_a_named_data_set(tmp_path, capsys):
    status, out, err = run(capsys, tmp_path, "--dataset=scannet")
    assert status == 1
    assert "scene0000_00_vh_clean_2.labels.ply  NYU40 ids" in out
    assert "no mesh and no scene file found" in err


def test_a_negative_number_of_workers_is_refused(folder, capsys):
    with pytest.raises(SystemExit):
        run(capsys, folder, "--workers=-3")
    assert "--workers: '-3' is not a whole number of at least 0" in capsys.readouterr().err


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
    notes = diagnostics(vertices, faces, faces, len(vertices))
    counts = brute_force(vertices, faces)
    endings = ("without area", "with the corners of another", "of more than two faces")
    for count, ending in zip(counts, endings):
        assert [int(note.split()[0]) for note in notes if ending in note] == ([count] if count else [])
    assert min(counts[1:]) > 0

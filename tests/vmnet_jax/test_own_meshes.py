"""Prediction of meshes as they come: every format, millimetres, y up, one broken file; nothing of the input is lost."""

import types

import numpy as np
import plyfile
import pytest
import trimesh
from ml_collections import ConfigDict
from PIL import Image

from preprocess.formats.readers import read_mesh
from preprocess.labels.label_map import LabelMap
from preprocess.scene.params import HierarchyParams
from trainlib.core.config import load_config_file
from trainlib.core.errors import UserError
from trainlib.run.workdir import open_workdir
from trainlib.store.checkpoints import CheckpointStore
from vmnet_jax import commands, predict
from vmnet_jax.learn.build import build_state
from vmnet_jax.learn.restore import load_run, write_inputs
from vmnet_jax.prediction.predictor import Predictor, load
from vmnet_jax.viewer.legend import UNLABELLED, class_legend, layer_keys, prediction_layers

IDS = np.array([4, 70, 900])
PARAMS = HierarchyParams(cells=(0.12, 0.25), voxel_size=0.1)
SIDE, LONE = 20, 3


def sheet() -> tuple[np.ndarray, np.ndarray]:
    """A hilly sheet in millimetres, y up, exact in float32: vertices float64 [400, 3], faces [722, 3]."""
    x, z = (axis.ravel() for axis in np.meshgrid(np.arange(SIDE) * 100.0, np.arange(SIDE) * 100.0, indexing="ij"))
    y = np.round(300 * np.sin(x / 400) * np.cos(z / 500)) + 20
    row = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = row[:-1, :-1].ravel(), row[1:, :-1].ravel(), row[1:, 1:].ravel(), row[:-1, 1:].ravel()
    return np.stack([x, y, z], 1), np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])


def placed() -> list[np.ndarray]:
    """Two node transforms: a shift, and below it a quarter turn about y with another shift."""
    first = trimesh.transformations.translation_matrix([512, 0, -256])
    second = np.array([[0, 0, 1, 2048], [0, 1, 0, 64], [-1, 0, 0, 128], [0, 0, 0, 1]], float)
    return [first, first @ second]


def write_textured_obj(path, vertices, faces):
    """Isolated vertices first, in the middle and last; a material with an image; corners share texture coordinates."""
    Image.fromarray(np.array([[[250, 10, 10], [10, 10, 250]]], np.uint8)).save(path.with_suffix(".png"))
    path.with_suffix(".mtl").write_text(f"newmtl paper\nmap_Kd {path.stem}.png\n")
    half = len(vertices) // 2
    lone = [["v 9 9 9"], ["v 900 40 900"], ["v 1000 900 5"]]
    lines = [f"v {x:g} {y:g} {z:g}" for x, y, z in vertices]
    lines = lone[0] + lines[:half] + lone[1] + lines[half:] + lone[2]
    new = np.arange(len(vertices)) + 1 + (np.arange(len(vertices)) >= half)
    corners = new[faces] + 1
    textures = 1 + (vertices[faces][..., 0] > 900)
    text = [f"mtllib {path.stem}.mtl", *lines, "vt 0.25 0.5", "vt 0.75 0.5", "usemtl paper"]
    text += ["f " + " ".join(f"{c}/{t}" for c, t in zip(*face)) for face in zip(corners, textures)]
    path.write_text("\n".join(text) + "\n")


def write_rich_ply(path, vertices, faces, text=False, order="<"):
    """Normals, colours with alpha, an odd double with NaN, a label of its own; quads and triangles with a material."""
    rng = np.random.default_rng(5)
    count = len(vertices)
    columns = {name: vertices[:, k].astype("f4") for k, name in enumerate("xyz")}
    columns |= {name: rng.standard_normal(count).astype("f4") for name in ("nx", "ny", "nz")}
    columns |= {name: rng.integers(0, 256, count).astype("u1") for name in ("red", "green", "blue", "alpha")}
    columns["quality"] = np.where(rng.random(count) < 0.1, np.nan, rng.standard_normal(count))
    columns |= {"label": rng.choice(IDS, count).astype("i4"), "object_id": rng.integers(0, 65536, count).astype("u2")}
    rows = np.empty(count, [(name, values.dtype.str) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    polygons = np.empty(len(faces), [("vertex_indices", "O"), ("material", "u1")])
    polygons["vertex_indices"] = [np.append(f, 0) if k % 7 == 0 else f for k, f in enumerate(faces.astype("i4"))]
    polygons["material"] = rng.integers(0, 256, len(faces))
    elements = [plyfile.PlyElement.describe(rows, "vertex"), plyfile.PlyElement.describe(polygons, "face")]
    plyfile.PlyData(elements, text=text, byte_order="=" if text else order).write(path)


def run(*flags) -> None:
    predict.main(predict.make_parser().parse_args([str(flag) for flag in flags]))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A workdir with random weights of a small network for three classes: step 7 is the best, step 9 the last."""
    config = load_config_file("configs/vmnet_meshes.py:smoke")
    folder = tmp_path_factory.mktemp("own") / "run"
    with open_workdir(folder, config) as opened:
        opened.keep_config()
        write_inputs(folder, {**PARAMS.to_dict(), "units": "m"}, LabelMap(tuple(IDS.tolist()), *zip(*CLASSES)))
        with CheckpointStore(opened.checkpoints) as store:
            store.save(7, build_state(config, len(IDS)), 0.5)
            store.save(9, build_state(ConfigDict({**config, "seed": 1}), len(IDS)), 0.4)
    return folder


CLASSES = (("low", (200, 40, 40)), ("middle", (40, 200, 40)), ("high", (40, 40, 200)))


@pytest.fixture(scope="module")
def predicted(workdir, tmp_path_factory):
    """Folder of meshes, folder of predictions, the compiled buckets, and the messages of one command for all."""
    folder = tmp_path_factory.mktemp("own")
    meshes, output = folder / "meshes", folder / "out"
    (meshes / "deep").mkdir(parents=True)
    vertices, faces = sheet()
    body = trimesh.Trimesh(vertices, faces, process=False)
    body.export(meshes / "soup.stl")
    body.export(meshes / "sheet.off")
    write_textured_obj(meshes / "textured.obj", vertices, faces)
    write_rich_ply(meshes / "rich.ply", vertices, faces, order=">")
    write_rich_ply(meshes / "deep" / "text.ply", vertices, faces, text=True)
    scene = trimesh.Scene()
    scene.add_geometry(body, node_name="a", transform=placed()[0])
    scene.add_geometry(
        body.copy(), node_name="b", parent_node_name="a", transform=np.linalg.inv(placed()[0]) @ placed()[1]
    )
    scene.export(meshes / "nodes.glb")
    both = np.concatenate([trimesh.transform_points(vertices, matrix) for matrix in placed()])
    trimesh.Trimesh(both, np.concatenate([faces, faces + len(vertices)]), process=False).export(meshes / "joined.off")
    (meshes / "bad.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n")
    flags = ["--units=mm", "--up=y", "--probabilities", "--step=best"]
    with pytest.raises(UserError) as error:
        run(f"--workdir={workdir}", f"--mesh={meshes}", f"--output={output}", *flags)
    return types.SimpleNamespace(meshes=meshes, output=output, error=str(error.value), vertices=vertices, faces=faces)


def table(path) -> np.ndarray:
    return plyfile.PlyData.read(path)["vertex"].data


def places(path) -> np.ndarray:
    rows = table(path)
    return np.stack([rows[axis] for axis in "xyz"], 1)


NAMES = ("soup", "sheet", "textured", "rich", "deep/text", "nodes", "joined")


def test_one_bad_file_does_not_stop_the_others(predicted):
    assert predicted.error.startswith("1 of 8 meshes could not be read")
    endings = (".ply", ".labels.ply", ".html", ".png", ".probabilities.npz")
    found = {path.relative_to(predicted.output).as_posix() for path in predicted.output.rglob("*.*")}
    assert found == {name + ending for name in NAMES for ending in endings}


def test_coordinates_are_those_of_the_file_exactly(predicted):
    vertices, faces = predicted.vertices, predicted.faces
    half = len(vertices) // 2
    expected = {
        "soup": vertices[faces].reshape(-1, 3),
        "sheet": vertices,
        "rich": vertices,
        "deep/text": vertices,
        "textured": np.concatenate([[[9] * 3], vertices[:half], [[900, 40, 900]], vertices[half:], [[1000, 900, 5]]]),
        "joined": np.concatenate([trimesh.transform_points(vertices, matrix) for matrix in placed()]),
    }
    for name, there in expected.items():
        for ending in (".ply", ".labels.ply"):
            np.testing.assert_array_equal(places(predicted.output / (name + ending)), there)


def test_labels_and_probabilities_agree(predicted):
    for name in NAMES:
        rows = table(predicted.output / f"{name}.ply")
        with np.load(predicted.output / f"{name}.probabilities.npz") as file:
            chance, ids = file["probabilities"], file["ids"]
            assert file["names"].tolist() == ["low", "middle", "high"]
        assert chance.shape == (len(rows), 3)
        np.testing.assert_allclose(chance.sum(1), 1, atol=1e-5)
        np.testing.assert_array_equal(rows["label"], ids[chance.argmax(1)])
        np.testing.assert_array_equal(rows["label"], table(predicted.output / f"{name}.labels.ply")["label"])
        np.testing.assert_array_equal(rows["probability"], chance.max(1))
        colors = np.array([color for _, color in CLASSES])[chance.argmax(1)]
        np.testing.assert_array_equal(np.stack([rows[c] for c in ("red", "green", "blue")], 1), colors)


def test_a_texture_gives_its_colours_to_the_vertices(predicted):
    """Red left of x = 900, blue right of it, grey where no face is."""
    rows = table(predicted.output / "textured.ply")
    colors = np.stack([rows[f"input_{c}"] for c in ("red", "green", "blue")], 1)
    lone = np.isin(np.arange(len(rows)), [0, 1 + len(predicted.vertices) // 2, len(rows) - 1])
    np.testing.assert_array_equal(colors[lone], np.full((3, 3), 128))
    expected = np.where(rows["x"][:, None] > 900, [10, 10, 250], [250, 10, 10])
    np.testing.assert_array_equal(colors[~lone], expected[~lone])


def test_a_glb_of_two_nodes_gets_what_the_joined_mesh_gets(predicted):
    order = [np.lexsort(places(predicted.output / f"{name}.ply").round(2).T) for name in ("nodes", "joined")]
    nodes, joined = (table(predicted.output / f"{name}.ply")[rows] for name, rows in zip(("nodes", "joined"), order))
    assert len(nodes) == len(joined) == 2 * len(predicted.vertices)
    np.testing.assert_allclose(*(np.stack([rows[axis] for axis in "xyz"], 1) for rows in (nodes, joined)), atol=0.01)
    assert (nodes["label"] == joined["label"]).mean() > 0.97  # float32 matrices: a vertex may change its voxel


@pytest.mark.parametrize("name", ["rich", "deep/text"])
def test_properties_of_a_ply_are_kept_bit_for_bit_and_in_order(predicted, name):
    before = plyfile.PlyData.read(predicted.meshes / f"{name}.ply")
    after = plyfile.PlyData.read(predicted.output / f"{name}.ply")
    renamed = {name: f"input_{name}" for name in ("red", "green", "blue", "alpha", "label")}
    kept = [renamed.get(p.name, p.name) for p in before["vertex"].properties]
    added = ["red", "green", "blue", "label", "probability"]
    assert [p.name for p in after["vertex"].properties] == kept + added
    for p, new in zip(before["vertex"].properties, kept):
        old = before["vertex"][p.name]
        assert after["vertex"][new].dtype == old.dtype.newbyteorder("<")
        assert after["vertex"][new].tobytes() == old.astype(old.dtype.newbyteorder("<")).tobytes()
    assert [p.name for p in after["face"].properties] == ["vertex_indices", "material"]
    np.testing.assert_array_equal(after["face"]["material"], before["face"]["material"])
    for old, new in zip(before["face"]["vertex_indices"], after["face"]["vertex_indices"], strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_predicted_file_can_be_predicted_again(predicted, workdir, tmp_path):
    run(
        f"--workdir={workdir}",
        f"--mesh={predicted.output / 'rich.ply'}",
        f"--output={tmp_path}",
        "--units=mm",
        "--up=y",
    )
    names = table(tmp_path / "rich.ply").dtype.names
    assert len(set(names)) == len(names)
    assert {"input_red", "input_input_red", "input_label", "input_input_label", "input_probability"} <= set(names)


def test_results_inside_the_folder_of_meshes_are_not_labelled_again(workdir, tmp_path):
    vertices, faces = sheet()
    trimesh.Trimesh(vertices, faces, process=False).export(tmp_path / "a.off")
    for _ in range(2):
        run(f"--workdir={workdir}", f"--mesh={tmp_path}", f"--output={tmp_path / 'out'}", "--units=mm", "--up=y")
    assert {path.name for path in (tmp_path / "out").rglob("*")} == {"a.ply", "a.labels.ply", "a.html", "a.png"}
    (tmp_path / "a.off").unlink()
    with pytest.raises(UserError, match="all meshes are in --output"):
        run(f"--workdir={workdir}", f"--mesh={tmp_path}", f"--output={tmp_path / 'out'}")


def write_strips(path, vertices):
    """The sheet as triangle strips in 32-bit PLY, its texture red left of x = 900 and blue right of it."""
    Image.fromarray(np.array([[[250, 10, 10], [10, 10, 250]]], np.uint8)).save(path.with_suffix(".png"))
    places = np.stack([np.where(vertices[:, 0] > 900, 0.75, 0.25), np.full(len(vertices), 0.5)], 1)
    lines = ["ply", "format ascii 1.0", f"comment TextureFile {path.stem}.png", f"element vertex {len(vertices)}"]
    lines += [f"property float {name}" for name in ("x", "y", "z", "s", "t")]
    lines += ["element tristrips 1", "property list int int vertex_indices", "end_header"]
    lines += [" ".join(f"{x:g}" for x in row) for row in np.concatenate([vertices, places], 1)]
    row = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    strips = [np.append(np.stack([row[k], row[k + 1]], 1).ravel(), -1) for k in range(SIDE - 1)]
    corners = np.concatenate(strips)
    lines.append(" ".join(map(str, [len(corners), *corners])))
    path.write_text("\n".join(lines) + "\n")


def test_strips_come_out_as_triangles_and_textures_as_colours(workdir, tmp_path):
    vertices, faces = sheet()
    write_strips(tmp_path / "strips.ply", vertices)
    mesh = read_mesh(tmp_path / "strips.ply", "mm", "y")
    np.testing.assert_array_equal(mesh.colors, np.where(vertices[:, :1] > 900, [10, 10, 250], [250, 10, 10]))
    run(
        f"--workdir={workdir}",
        f"--mesh={tmp_path / 'strips.ply'}",
        f"--output={tmp_path / 'out'}",
        "--units=mm",
        "--up=y",
    )
    for ending in (".ply", ".labels.ply"):
        path = tmp_path / "out" / f"strips{ending}"
        np.testing.assert_array_equal(places(path), vertices)
        assert [element.name for element in plyfile.PlyData.read(path).elements] == ["vertex", "face"]
        triangles = np.stack(list(plyfile.PlyData.read(path)["face"]["vertex_indices"]))
        np.testing.assert_array_equal(triangles, mesh.faces)
        assert len(triangles) == len(faces)


def test_two_formats_of_one_name_fail_and_the_others_are_predicted(workdir, tmp_path, caplog):
    vertices, faces = sheet()
    body = trimesh.Trimesh(vertices, faces, process=False)
    (tmp_path / "in").mkdir()
    for name in ("a.off", "a.obj", "._b.off"):
        body.export(tmp_path / "in" / name)
    (tmp_path / "elsewhere").mkdir()
    body.export(tmp_path / "elsewhere" / "b.off")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    flags = [f"--mesh={tmp_path / 'in'}", f"--output={tmp_path / 'out'}", "--units=mm", "--up=y"]
    with caplog.at_level("INFO"), pytest.raises(UserError, match="1 of 2 meshes could not be read; the others are in"):
        run(f"--workdir={workdir}", *flags)
    assert f"the name a also belongs to {tmp_path / 'in' / 'a.off'}. Keep or rename one of them" in caplog.text
    assert "skipped, hidden or of the system: 1 (._b.off)" in caplog.text
    assert sorted(path.name for path in (tmp_path / "out" / "linked").iterdir()) == [
        "b.html",
        "b.labels.ply",
        "b.ply",
        "b.png",
    ]


def test_labels_are_read_from_the_property_that_the_training_data_had(workdir, tmp_path, monkeypatch):
    vertices, faces = sheet()
    rows = np.empty(len(vertices), [("x", "f8"), ("y", "f8"), ("z", "f8"), ("NYU40", "i4")])
    rows["x"], rows["y"], rows["z"], rows["NYU40"] = *vertices.T, np.resize(IDS, len(vertices))
    polygons = np.empty(len(faces), [("vertex_indices", "i4", (3,))])
    polygons["vertex_indices"] = faces
    elements = [plyfile.PlyElement.describe(rows, "vertex"), plyfile.PlyElement.describe(polygons, "face")]
    plyfile.PlyData(elements).write(tmp_path / "a.ply")
    trained = load_run(workdir, "best")
    predictor = Predictor(trained._replace(params={**trained.params, "label_property": "NYU40"}))
    monkeypatch.setattr(commands.predict, "load", lambda *_, **__: predictor)
    seen = []
    monkeypatch.setattr(
        commands.predict, "write_prediction", lambda stem, mesh, *_, **more: seen.append(mesh.labels) or []
    )
    run(f"--workdir={workdir}", f"--mesh={tmp_path / 'a.ply'}", f"--output={tmp_path / 'out'}", "--units=mm", "--up=y")
    np.testing.assert_array_equal(seen[0], rows["NYU40"])


def test_step_last_and_best(workdir):
    assert {step: load_run(workdir, step).step for step in ("best", "last", 7)} == {"best": 7, "last": 9, 7: 7}


def test_a_folder_shares_compiled_sizes(workdir, predicted):
    """Meshes much like each other in size are not compiled for one by one."""
    predictor = load(workdir, "best")
    for name in ("rich.ply", "sheet.off", "textured.obj", "deep/text.ply"):
        mesh = read_mesh(predicted.meshes / name, "mm", "y")
        prediction = predictor.predict(mesh)
        written = table(predicted.output / f"{name.rpartition('.')[0]}.labels.ply")["label"]
        np.testing.assert_array_equal(IDS[prediction.classes], written)
    assert len(predictor._known) == 1


def test_time_and_memory_are_told_before_the_passes(workdir, predicted, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("trainlib.store.programs.read", lambda *_: None)  # no stored program: it is compiled
    with caplog.at_level("INFO"):
        flags = ["--units=mm", "--up=y", "--max_voxels=200", "--votes=2"]
        run(f"--workdir={workdir}", f"--mesh={predicted.meshes / 'sheet.off'}", f"--output={tmp_path}", *flags)
    text = caplog.text
    order = [
        "1 mesh, 0.0 MiB",
        "Network: step 9 of",
        "sheet.off: 400 vertices, ",
        "overlapping tiles",
        "Compiling a pass of",
    ]
    order += ["sheet.off: expected: ", " passes, ", "GiB in all, roughly "]
    found = [text.index(part) for part in order]
    assert found == sorted(found)


def test_labels_that_say_nothing_are_not_shown_as_truth(predicted):
    mesh = read_mesh(predicted.meshes / "sheet.off", "mm", "y")
    label_map = LabelMap(tuple(IDS.tolist()), *zip(*CLASSES))
    classes, probability = np.zeros(400, np.int32), np.zeros(400, np.float32)
    mesh.labels = np.zeros(400, np.int32)
    assert list(prediction_layers(mesh, classes, probability, label_map)) == ["prediction", "confidence"]
    assert class_legend(mesh, classes, label_map) == [("low", (200, 40, 40), 400)]
    mesh.labels[7] = 70
    layers = prediction_layers(mesh, classes, probability, label_map)
    assert set(layer_keys(layers)) == {"errors", "confidence"}
    assert class_legend(mesh, classes, label_map)[-1] == ("unlabelled", UNLABELLED, 399)

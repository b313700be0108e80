"""The mains on small scenes: resume equals uninterrupted, compilations, evaluation and prediction agree."""

import dataclasses
import importlib.util
import json
import pathlib
import shutil

import jax
import numpy as np
import plyfile
import pytest

from preprocess.formats.writer import write_labels_ply
from preprocess.labels.label_map import LabelMap, scannet20, write_label_map
from preprocess.mesh.mesh import Mesh
from preprocess.scene.scene_file import write_scene
from trainlib.core.errors import Stopped, UserError
from vmnet_jax import predict
from vmnet_jax.commands import train
from vmnet_jax.commands.evaluate import evaluate
from vmnet_jax.learn.step import make_train_step
from vmnet_jax.prediction.files import write_prediction
from vmnet_jax.prediction.predictor import load

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 6


def load_config(name: str, words: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(words)


@pytest.fixture(scope="module")
def config(scene_folder):
    config = load_config("vmnet_meshes", "smoke")
    config.scenes = str(scene_folder)
    config.batch_size = jax.local_device_count()
    config.num_steps = STEPS
    config.save_every = 3
    return config


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """(workdir, final state, shapes for which the step was traced) of an uninterrupted run."""
    workdir = tmp_path_factory.mktemp("run")
    traced = []

    def make_counting_step(*arguments):
        step = make_train_step(*arguments)

        def counting(state, batch):
            traced.append(batch.features.shape)
            return step(state, batch)

        return counting

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "make_train_step", make_counting_step)
        state = train.train_and_evaluate(config, workdir)
    return workdir, state, traced


@pytest.fixture(scope="module")
def predictor(finished):
    """The network after the last step; what it compiles serves all tests."""
    return load(finished[0])


@pytest.fixture(scope="module")
def evaluated(finished):
    """(result, confusion) of an evaluation with one vote."""
    return evaluate(finished[0])


def test_one_compilation_of_the_step_a_bucket(finished, config):
    traced = finished[2]
    assert 1 <= len(traced) == len(set(traced)) <= config.max_buckets


def test_the_run_left_what_evaluation_needs(finished):
    workdir, state, _ = finished
    assert int(state.step) == STEPS
    present = {p.name for p in workdir.iterdir()}
    assert {"config.json", "checkpoints", "metrics.jsonl", "label_map.csv", "preprocessing.json"} <= present
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, STEPS + 1))
    assert all(np.isfinite(line["gradient_norm"]) for line in lines if "loss" in line)
    assert 0 <= lines[-1]["val/mean_iou"] <= 1


def test_resumed_equals_uninterrupted_bit_for_bit(finished, config, tmp_path, monkeypatch):
    """Stopped after step 3 as by a signal, then run again: every array of the final state is the same."""
    real = train.StopRequest

    class StopAfterThree(real):
        asked = 0

        @property
        def requested(self):
            self.asked += 1
            return self.asked > 4

    monkeypatch.setattr(train, "StopRequest", StopAfterThree)
    with pytest.raises(Stopped):
        train.train_and_evaluate(config, tmp_path)
    monkeypatch.setattr(train, "StopRequest", real)
    kept = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    assert 0 < kept[-1] < STEPS
    resumed = train.train_and_evaluate(config, tmp_path)
    for a, b in zip(jax.tree.leaves(finished[1]), jax.tree.leaves(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    drop_time = lambda path: [  # noqa: E731
        {k: v for k, v in json.loads(line).items() if k != "time"} for line in path.read_text().splitlines()
    ]
    assert drop_time(tmp_path / "metrics.jsonl") == drop_time(finished[0] / "metrics.jsonl")


def test_a_finished_run_is_not_trained_further(finished, config):
    again = train.train_and_evaluate(config, finished[0])
    np.testing.assert_array_equal(again.step, finished[1].step)


def test_evaluation_counts_every_labelled_vertex_and_predict_agrees(finished, evaluated, predictor, scenes):
    workdir, (result, table) = finished[0], evaluated
    seen = [scene for scene in scenes if scene.name in result["scenes"]]
    assert table.sum() == sum((s.labels >= 0).sum() for s in seen) > 0
    assert [c["name"] for c in result["classes"]] == ["low", "middle", "high"]
    report = workdir / "eval" / f"step_{STEPS}_val_votes_1"
    written = {"report.json", "confusion.csv", "confusion.png", "contact_sheet.png", "pages"}
    assert {p.name for p in report.iterdir()} == written
    assert {p.stem for p in (report / "pages").iterdir()} == set(result["scenes"])
    assert [one["name"] for one in result["by_scene"]] == result["scenes"]
    assert sum(one["vertices"] for one in result["by_scene"]) == table.sum()
    own = np.zeros((3, 3), np.int64)
    for scene in seen:
        classes = predictor.predict(mesh_of(scene)).classes
        labelled = scene.labels >= 0
        np.add.at(own, (classes[labelled], scene.labels[labelled]), 1)
    np.testing.assert_array_equal(own, table)


def test_votes_see_other_placements_but_count_the_same(finished, evaluated, predictor, scenes):
    one, (_, three) = evaluated[1], evaluate(finished[0], votes=3)
    np.testing.assert_array_equal(one.sum(0), three.sum(0))
    mesh = mesh_of(scenes[1])
    single, voted = (predictor.predict(mesh, votes).scores for votes in (1, 3))
    assert not np.allclose(3 * single, voted, rtol=1e-3)


def test_predictions_follow_a_permutation_of_the_vertices(predictor, scenes):
    """A voxel takes the colour of its first vertex, so the scores change a little, but each stays with its vertex."""
    mesh = mesh_of(scenes[1])
    order = np.random.default_rng(0).permutation(len(mesh.vertices))
    rank = np.argsort(order).astype(np.int32)
    moved = Mesh(mesh.vertices[order], rank[mesh.faces], mesh.colors[order], mesh.normals[order])
    first, second = predictor.predict(mesh).scores, predictor.predict(moved).scores
    assert np.abs(second - first[order]).mean() < 0.3 * np.abs(second - first).mean()


def test_prediction_files_have_the_vertices_in_order(finished, scenes, tmp_path):
    predictor = load(finished[0], "best")
    mesh = mesh_of(scenes[1])
    prediction = predictor.predict(mesh)
    write_prediction(tmp_path / "sheet", mesh, prediction, predictor.label_map, units="mm", up="y")
    assert {p.name for p in tmp_path.iterdir()} == {"sheet.ply", "sheet.labels.ply", "sheet.html", "sheet.png"}
    labels = plyfile.PlyData.read(tmp_path / "sheet.labels.ply")["vertex"]
    np.testing.assert_array_equal(labels["label"], np.array([3, 7, 9])[prediction.classes])
    in_file = mesh.vertices[:, [0, 2, 1]] * [1000, 1000, -1000]
    np.testing.assert_allclose(np.stack([labels[a] for a in "xyz"], 1), in_file)
    colored = plyfile.PlyData.read(tmp_path / "sheet.ply")["vertex"]
    np.testing.assert_allclose(colored["probability"], prediction.probability)
    assert ((prediction.probability >= 1 / 3) & (prediction.probability <= 1)).all()


def test_prediction_goes_on_after_a_mesh_that_cannot_be_read(finished, predictor, scenes, tmp_path, capsys):
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    mesh = mesh_of(scenes[1])
    ids = np.zeros(len(mesh.vertices), int)
    write_labels_ply(meshes / "whole.ply", mesh.vertices, mesh.faces, ids, mesh.colors)
    (meshes / "cut.ply").write_bytes((meshes / "whole.ply").read_bytes()[:4000])
    arguments = ["--workdir", str(finished[0]), "--mesh", str(meshes), "--output", str(tmp_path / "out")]
    with pytest.raises(UserError, match="1 of 2 meshes"):
        predict.main(predict.make_parser().parse_args(arguments))
    assert "cut.ply" in capsys.readouterr().err
    assert (tmp_path / "out" / "whole.labels.ply").is_file()
    with pytest.raises(UserError, match="would be overwritten"):
        predict.main(predict.make_parser().parse_args([*arguments[:-1], str(meshes)]))
    with pytest.raises(UserError, match="votes is 0"):
        predictor.predict(mesh, votes=0)


def test_what_is_wrong_with_config_or_data_is_said_before_training_and_binds_nothing(config, scenes, tmp_path):
    def attempt(**changes):
        other = config.copy_and_resolve_references()
        other.update(changes)
        train.train_and_evaluate(other, tmp_path / "run")

    with pytest.raises(UserError, match="batch_size is 0"):
        attempt(batch_size=0)
    with pytest.raises(UserError, match=r"label_map\.csv"):
        attempt(scenes=str(tmp_path / "nowhere"))
    bare = tmp_path / "bare"
    bare.mkdir()
    write_label_map(bare / "label_map.csv", scannet20())
    for scene in scenes[:2]:
        write_scene(bare / f"{scene.name}.scene.npz", dataclasses.replace(scene, labels=None, labels_l0=None))
    with pytest.raises(UserError, match=r"no vertex of sheet_\d has a label"):
        attempt(scenes=str(bare))
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((2.0,), r"class_weights has 1 weights, but .*label_map\.csv has 3 classes"),
        ((1.0, 1.0, 1.0, 1.0), r"class_weights has 4 weights, but .*label_map\.csv has 3 classes"),
        ((1.0, float("nan"), 1.0), r"class_weights is \(1\.0, nan, 1\.0\)"),
        ((1.0, -1.0, 1.0), r"class_weights is \(1\.0, -1\.0, 1\.0\)"),
        ((0.0, 0.0, 0.0), "one is above 0"),
    ],
)
def test_class_weights_that_are_not_one_for_each_class_are_refused_before_training(config, tmp_path, weights, said):
    other = config.copy_and_resolve_references()
    other.class_weights = weights
    with pytest.raises(UserError, match=said):
        train.train_and_evaluate(other, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_label_map_of_one_class_is_refused_before_training(config, scenes, tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    write_label_map(folder / "label_map.csv", LabelMap((1,), ("class 1",), ((0, 0, 0),)))
    for scene in scenes[:2]:
        labels, labels_l0 = (np.minimum(part, 0) for part in (scene.labels, scene.labels_l0))
        params = {**scene.params, "label_ids": [1]}
        one = dataclasses.replace(scene, labels=labels, labels_l0=labels_l0, params=params)
        write_scene(folder / f"{scene.name}.scene.npz", one)
    other = config.copy_and_resolve_references()
    other.scenes = str(folder)
    with pytest.raises(UserError, match=r"label_map\.csv has one class, 'class 1'"):
        train.train_and_evaluate(other, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_figures_by_scene_keep_their_names_where_lists_repeat_them(finished, scenes, tmp_path):
    """With names twice in a list, and with all scenes where one is on both lists."""
    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    settings = json.loads((workdir / "config.json").read_text())
    names = [scene.name for scene in scenes]
    for key, listed in (("train_list", names[:2]), ("val_list", [names[3], names[3], names[1], names[2], names[3]])):
        settings[key] = str(tmp_path / f"{key}.txt")
        pathlib.Path(settings[key]).write_text("\n".join(listed))
    (workdir / "config.json").write_text(json.dumps(settings))
    labelled = {scene.name: int((scene.labels >= 0).sum()) for scene in scenes}
    for split, expected in (("val", [names[3], names[1], names[2]]), ("all", names[:4])):
        result, table = evaluate(workdir, split=split, pages=0)
        assert result["scenes"] == expected
        assert [(one["name"], one["vertices"]) for one in result["by_scene"]] == [(n, labelled[n]) for n in expected]
        assert table.sum() == sum(labelled[name] for name in expected)


def mesh_of(scene) -> Mesh:
    return Mesh(scene.vertices, scene.faces, scene.colors, scene.normals)

"""The mains on a few digits and a tiny network: resuming, what a run leaves, what evaluation and table read."""

import importlib.util
import json
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from sdclr_jax.commands import train
from sdclr_jax.commands.evaluate import evaluate
from sdclr_jax.data.datasets import load_dataset
from sdclr_jax.data.image_files import ImageFiles
from sdclr_jax.learn import build
from sdclr_jax.learn.masks import sparsity_report
from sdclr_jax.report.evaluation import FEATURES, format_report
from trainlib.core.errors import Stopped, UserError
from trainlib.run import loop
from trainlib.run.loop import is_due
from trainlib.run.signals import StopRequest

ROOT = pathlib.Path(__file__).parents[2]
STEPS_PER_EPOCH, EPOCHS = 3, 3
STEPS = STEPS_PER_EPOCH * EPOCHS


def load_config(name: str, words: str = ""):
    spec = importlib.util.spec_from_file_location(name, ROOT / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(words)


def small_config(words: str = "smoke"):
    """Forty digits in batches of 16, the last one of 8; four devices of four images each."""
    config = load_config("sdclr_digits_lt", words)
    config.train_limit, config.batch_size, config.epochs = 40, 16, EPOCHS
    config.projection_size = 16
    return config


@pytest.fixture(scope="module", autouse=True)
def _tiny_networks(tiny_net):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "ContrastiveNet", tiny_net)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(workdir, final state) of an uninterrupted run of SDCLR."""
    workdir = tmp_path_factory.mktemp("sdclr")
    return workdir, train.train_and_evaluate(small_config(), workdir)


def records(workdir):
    """Lines of metrics.jsonl without their time."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def test_the_run_left_its_curves(finished):
    workdir, state = finished
    assert int(state.step) == STEPS
    lines = records(workdir)
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    assert list(losses) == list(range(1, STEPS + 1))
    assert all(0 < loss < 2 * np.log(2 * 16) for loss in losses.values())
    refreshed = [line for line in lines if "mask/sparsity" in line]
    assert [line["step"] for line in refreshed] == [1, 4, 7]
    assert all(line["mask/sparsity"] == pytest.approx(0.9, abs=1e-3) for line in refreshed)
    assert refreshed[0]["mask/changed"] == pytest.approx(0.9, abs=1e-3), "from masks that keep everything"
    assert 0 < refreshed[1]["mask/changed"] < 0.9
    layers = sparsity_report(state.masks)[:-1]
    assert [name for name in refreshed[-1] if name.startswith("mask/sparsity/")] == [
        f"mask/sparsity/{layer.path}" for layer in layers
    ]
    written = [refreshed[-1][f"mask/sparsity/{layer.path}"] for layer in layers]
    np.testing.assert_allclose(written, [layer.sparsity for layer in layers], rtol=1e-6)
    shares = [line for line in lines if "forgotten/many" in line]
    assert [line["epoch"] for line in shares] == [1, 2, 3]
    for line in shares:
        for most in ("forgotten", "forgotten_hundredth", "present"):
            assert sum(line[f"{most}/{group}"] for group in ("many", "medium", "few")) == pytest.approx(1)
        assert {line[f"forgotten_hundredth/{group}"] for group in ("many", "medium", "few")} == {0, 1}, (
            "one of 40 images"
        )


def test_masks_are_those_of_the_last_epochs_first_weights(finished):
    """Not those of the final weights: they stay while the weights move."""
    state = finished[1]
    mask = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.masks)])
    final = train.make_refresh(0.9, 0.0, STEPS_PER_EPOCH)(state, None)[0].masks
    now = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(final)])
    assert (mask != now).any()
    assert abs((~mask).mean() - 0.9) < 1e-3


def as_files(images, folder):
    """The same images as PNG files of one size, a canvas each."""
    folder.mkdir()
    paths = [f"{k}.png" for k in range(len(images))]
    for path, image in zip(paths, images):
        Image.fromarray(image).save(folder / path)
    side = images.shape[1]
    return ImageFiles(folder, paths, origin=str, canvas=side, resize=side, size=side, threads=2)


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory):
    """The digits of `small_config` as files."""
    data, folder = load_dataset(small_config()), tmp_path_factory.mktemp("digits")
    files = as_files(data.images, folder / "train")
    return data._replace(images=files, test_images=as_files(data.test_images, folder / "test"))


@pytest.mark.parametrize("source", ["resident", "streamed"])
def test_resumed_inside_an_epoch_equals_uninterrupted_bit_for_bit(finished, digit_files, tmp_path, monkeypatch, source):
    """Stopped after step 5 of 9 as by a signal, the second of epoch 1; then run again. Images that come from files, a
    batch at a time, give the same bits as those that lie on the device."""
    done, dataset = [0], digit_files if source == "streamed" else None
    monkeypatch.setattr(loop, "is_due", lambda step, *rest: done.append(step) or is_due(step, *rest))
    stop_after_five = type("Stop", (StopRequest,), {"requested": property(lambda self: done[-1] == 5)})
    monkeypatch.setattr(train, "StopRequest", stop_after_five)
    with pytest.raises(Stopped, match="after step 5"):
        train.train_and_evaluate(small_config(), tmp_path, dataset)
    monkeypatch.setattr(train, "StopRequest", StopRequest)
    resumed = train.train_and_evaluate(small_config(), tmp_path, dataset)
    for a, b in zip(jax.tree.leaves(finished[1]), jax.tree.leaves(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert records(tmp_path) == records(finished[0])


def test_simclr_is_the_same_main_without_masks_here_on_arrays_of_ones_own(tmp_path):
    """The config's data set is not looked at when another one is given."""
    data = load_dataset(small_config())
    config = small_config("simclr,smoke")
    config.dataset, config.max_steps = "mine", 2
    state = train.train_and_evaluate(config, tmp_path, data._replace(pretrain=data.few))
    assert int(state.step) == 2
    assert state.masks == {}
    assert not [line for line in records(tmp_path) if "mask/sparsity" in line or "forgotten/many" in line]
    names = {jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state.params)}
    assert not [name for name in names if "scale_1" in name], "one branch has one set of BatchNorm"

    known = data.full[np.unique(data.labels[data.full], return_index=True)[1]]
    own = data._replace(test_images=data.images[known], test_labels=data.labels[known])
    report = evaluate(tmp_path, protocols=("knn",), dataset=own)
    assert report["step"] == 2
    assert report["knn"]["all"] > 0.4, "training images are near themselves"
    with pytest.raises(ValueError, match="list 'few' needs indices"):
        train.train_and_evaluate(config, tmp_path / "other", data._replace(few=np.array([-1])))


def test_wrong_names_in_a_config_are_refused(tmp_path):
    for key, value in {"dataset": "mnist", "dtype": "float8", "optimizer": "sgdd"}.items():
        config = small_config()
        config[key] = value
        with pytest.raises(UserError, match=rf"config\.{key} is '{value}', known are "):
            train.train_and_evaluate(config, tmp_path / key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch_size", 0),
        ("epochs", 0),
        ("keep_checkpoints", -1),
        ("prune_fraction", 1.5),
        ("prune_random_fraction", 0.95),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_made(tmp_path, key, value):
    config = small_config()
    config[key] = value
    with pytest.raises(UserError, match=str(value)):
        train.train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_trained_further(finished):
    again = train.train_and_evaluate(small_config(), finished[0])
    np.testing.assert_array_equal(again.step, finished[1].step)


@pytest.mark.parametrize(
    "name",
    [
        "sdclr_digits_lt",
        "sdclr_cifar10_lt",
        "sdclr_cifar100_lt",
        "sdclr_folder",
        "sdclr_imagenet100_lt",
        "sdclr_imagenet_lt",
    ],
)
def test_every_config_has_its_words(name):
    assert load_config(name).prune_fraction > 0
    split = "" if "imagenet" in name else ",split=3"
    simclr = load_config(name, f"simclr,balanced,smoke{split}")
    assert (simclr.prune_fraction, simclr.balanced, simclr.split) == (0, True, 3 if split else 1)
    with pytest.raises(UserError, match="not known"):
        load_config(name, "sdclr,tiny")


def test_evaluation_reports_every_protocol(finished):
    workdir = finished[0]
    report = evaluate(workdir, limit=100)
    assert report == json.loads((workdir / "eval" / f"step_{STEPS}" / "report.json").read_text())
    data = load_dataset(small_config())
    assert report["class_counts"] == data.class_counts.tolist()
    with np.load(workdir / "eval" / f"step_{STEPS}" / FEATURES) as kept:
        np.testing.assert_array_equal(kept["labels"], data.test_labels)
        assert len(kept["features"]) == len(data.test_labels)
        assert kept["features"].std() > 0
    assert [report[name]["train_images"] for name in ("full", "few", "knn")] == [100, 60, 100]
    ranks = np.argsort(report["class_counts"])
    for protocol in ("full", "few", "knn"):
        entry, classes = report[protocol], np.array(report[protocol]["classes"])
        assert ((classes >= 0) & (classes <= 1)).all()
        np.testing.assert_allclose(40 * classes, np.round(40 * classes), atol=1e-9, err_msg="40 test images a class")
        groups = [classes[ranks[6:]].mean(), classes[ranks[3:6]].mean(), classes[ranks[:3]].mean()]
        np.testing.assert_allclose([entry["many"], entry["medium"], entry["few"]], groups)
        np.testing.assert_allclose([entry["std"], entry["all"]], [np.std(groups), classes.mean()])
    assert report["knn"]["all"] > 0.2, "twice of chance even for a network that has hardly learned"
    only = evaluate(workdir, protocols=("knn",), limit=100)
    assert only["knn"] == report["knn"]
    assert "full" not in only
    file = workdir / "eval" / f"step_{STEPS}" / "report.json"
    assert json.loads(file.read_text()) == report, "protocols of an earlier evaluation stay"
    fewer = evaluate(workdir, protocols=("knn",), limit=10)
    assert fewer["knn"]["neighbours"] == fewer["knn"]["train_images"] == 10
    assert json.loads(file.read_text()) == fewer, "figures of different limits are not mixed"
    for limit in (-5, 9):
        with pytest.raises(UserError, match=f"limit is {limit}; it must be 0, for all, or at least the 10 classes"):
            evaluate(workdir, limit=limit)
    with pytest.raises(UserError, match="protocols half are not known"):
        evaluate(workdir, protocols=("half",))


def test_evaluation_of_files_is_that_of_arrays_and_goes_on_without_a_list(finished, digit_files, caplog):
    with_arrays = evaluate(finished[0], protocols=("few", "knn"), limit=100)
    absent = {"full": "there is no list train.txt"}
    report = evaluate(finished[0], limit=100, dataset=digit_files._replace(absent=absent, full=np.zeros(0, np.int64)))
    assert "full is skipped: there is no list train.txt" in caplog.text
    assert "knn is skipped: there is no list train.txt" in caplog.text
    assert report["few"] == with_arrays["few"]
    assert {"full", "knn"}.isdisjoint(report)
    assert evaluate(finished[0], protocols=("knn",), limit=100, dataset=digit_files)["knn"] == with_arrays["knn"]
    with pytest.raises(UserError, match=r"nothing to evaluate: knn is skipped: no images"):
        evaluate(finished[0], protocols=("knn",), dataset=digit_files._replace(absent={"test": "no images"}))


def write_folders(root, counts):
    """Grey noise of 8 x 8, `count` images in each folder; "" is the root."""
    rng = np.random.default_rng(0)
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(root / folder / f"{k}.png")
    return root


def folder_config(root, words="smoke"):
    config = load_config("sdclr_folder", words)
    config.update({"data_path": str(root), "view_size": 8, "test_resize": 9, "canvas": 8, "projection_size": 16})
    config.update({"epochs": 1, "max_steps": 1, "train_limit": 0})
    return config


def test_images_without_classes_are_trained_on_and_not_evaluated(tmp_path, caplog):
    """33 images in batches of 16: the last batch has one, which is said at the start."""
    caplog.set_level("INFO")
    config = folder_config(write_folders(tmp_path / "photos", {"": 33}))
    config.batch_size = 16
    assert int(train.train_and_evaluate(config, tmp_path / "run").step) == 1
    assert "Training images: 33 images, no classes; steps of an epoch: 3" in caplog.text
    assert "The last batch of each epoch has 1 image (33 images in batches of 16)" in caplog.text
    assert not [line for line in records(tmp_path / "run") if "forgotten/many" in line]
    message = r"nothing to evaluate: full, few, knn are skipped: .*photos has no class folders; evaluation needs"
    with pytest.raises(UserError, match=message):
        evaluate(tmp_path / "run")


def test_two_small_classes_are_trained_and_evaluated_by_name(tmp_path, caplog):
    """Fewer images than a batch and than neighbours; no groups, and figures that rest on few images."""
    caplog.set_level("INFO")
    photos = write_folders(tmp_path / "photos", {"cat": 12, "dog": 6})
    train.train_and_evaluate(folder_config(photos), tmp_path / "run")
    assert "Training images: 13 images of 2 classes (cat 9, dog 4); steps of an epoch: 1" in caplog.text
    assert "Batches of all 13 images, fewer than config.batch_size = 32" in caplog.text
    report = evaluate(tmp_path / "run")
    assert "no class is in Many, Medium, Few: 2 classes make no three groups" in caplog.text
    assert "All rests on 3 test images (cat 2, dog 1): one of them is up to 50.0 points" in caplog.text
    assert "training images differ from the run's" not in caplog.text
    file = next(tmp_path.glob("run/eval/*/report.json"))
    assert json.loads(file.read_text(), parse_constant=pytest.fail) == report
    assert (report["class_names"], report["class_counts"], report["test_counts"]) == (["cat", "dog"], [9, 4], [2, 1])
    assert report["knn"]["neighbours"] == 13
    for protocol in ("full", "few", "knn"):
        assert [report[protocol][name] for name in ("many", "medium", "few", "std")] == [None] * 4
        assert report[protocol]["all"] == pytest.approx(np.mean(report[protocol]["classes"]))
    text = format_report(report)
    assert "--" in text.splitlines()[1]
    assert text.splitlines()[-2].split()[:3] == ["cat", "9", "2"]

    write_folders(photos, {"cat": 15})
    evaluate(tmp_path / "run", protocols=("knn",))
    assert "differ from the run's: it saw 13, the data set has 15. Images that are tested here may have" in caplog.text


def test_a_class_without_a_test_image_counts_in_no_figure(tmp_path, caplog):
    counts = {f"train/{name}": 6 for name in ("ant", "bee", "cat")} | {"test/ant": 3, "test/bee": 2}
    config = folder_config(write_folders(tmp_path / "photos", counts), "simclr,smoke")
    train.train_and_evaluate(config, tmp_path / "run")
    assert "1 class (cat) without a test image" in caplog.text
    report = evaluate(tmp_path / "run", protocols=("knn",))
    assert report["knn"]["classes"][2] is None
    assert report["knn"]["all"] == pytest.approx(np.mean(report["knn"]["classes"][:2]))
    assert [report["groups"][name] for name, share in report["knn"].items() if share is None] == [["cat"]]


def test_one_image_cannot_be_compared(tmp_path):
    config = folder_config(write_folders(tmp_path / "photos", {"": 1}))
    with pytest.raises(UserError, match="1 image to train on; contrastive learning compares images"):
        train.train_and_evaluate(config, tmp_path / "run")
    write_folders(tmp_path / "photos", {"": 3})
    config.batch_size = 1
    with pytest.raises(UserError, match=r"config\.batch_size is 1; images are compared in a batch"):
        train.train_and_evaluate(config, tmp_path / "other")

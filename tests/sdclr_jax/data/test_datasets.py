"""Digits, CIFAR's binary files, the order of examples, padded evaluation, and the forgetting scores."""

import hashlib
import io
import sys
import tarfile

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from sdclr_jax.data import cifar, tfds_builders
from sdclr_jax.data.batches import epoch_order, map_rows, steps_per_epoch
from sdclr_jax.data.datasets import check_dataset, load_dataset
from sdclr_jax.data.longtail import cifar_lists
from sdclr_jax.learn.masks import full_masks, magnitude_masks
from sdclr_jax.probe.balancedness import Groups
from sdclr_jax.probe.forgetting import group_shares, make_forgetting, most_forgotten
from trainlib.core.errors import UserError
from trainlib.run import parallel


def config(**changes):
    keys = {"dataset": "digits", "data_path": "", "lists": "", "split": 1, "balanced": False, "train_limit": 0}
    return ConfigDict(keys | changes)


def test_digits_have_disjoint_parts_and_a_balanced_test():
    data = load_dataset(config())
    assert data.images.shape == (1797, 8, 8, 3)
    assert (data.images.dtype, data.images.max()) == (np.uint8, 255)
    assert set(np.bincount(data.test_labels)) == {40}
    assert sorted(data.class_counts) == [6, 8, 11, 16, 22, 31, 44, 61, 86, 120]
    assert len(set(data.val) | set(data.full)) == len(data.val) + len(data.full) == 1797 - 400
    seen = {image.tobytes() for image in data.images[data.full]}
    assert np.mean([image.tobytes() in seen for image in data.test_images]) < 0.01, "test images are not trained on"
    assert set(data.few) <= set(data.pretrain) <= set(data.full)
    balanced = load_dataset(config(balanced=True))
    assert set(np.bincount(balanced.labels[balanced.pretrain])) == {len(data.pretrain) // 10}
    np.testing.assert_array_equal(balanced.long_tail, data.long_tail)
    assert (load_dataset(config(split=2)).class_counts != data.class_counts).any()
    limited = load_dataset(config(train_limit=50))
    assert len(limited.pretrain) == 50
    assert set(limited.pretrain) <= set(data.pretrain)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("images", np.zeros((1797, 8, 8, 3), np.float32), r"images are float32 of shape \(1797, 8, 8, 3\); need uint8"),
        ("images", np.zeros((1797, 8, 8), np.uint8), r"shape \(1797, 8, 8\)"),
        ("labels", np.zeros(5, np.int32), r"labels of shape \(5,\)"),
        ("test_labels", np.full(400, 10), r"test_labels of .* 10 \.\. 10; need one of 0 \.\. 9 for each of 400"),
        ("test_labels", np.arange(400, dtype=np.int32) % 9, r"no image of the classes \[9\]"),
        ("test_images", np.zeros((400, 9, 9, 3), np.uint8), r"images are \(8, 8, 3\), test images \(9, 9, 3\)"),
        ("few", np.array([0, 1797]), r"list 'few' needs indices in 0 \.\. 1796"),
        ("val", np.array([], np.int64), "list 'val'"),
        ("labels", np.full(1797, -2, np.int32), r"labels of .* -2 \.\. -2"),
        ("class_names", ["zero", "one"], "2 class names for 10 classes"),
    ],
)
def test_arrays_of_ones_own_are_checked(field, value, message):
    data = load_dataset(config())
    assert check_dataset(data) is data
    with pytest.raises(ValueError, match=message):
        check_dataset(data._replace(**{field: value}))


def test_images_without_a_class_may_be_trained_on_alone():
    data = load_dataset(config())
    labels = data.labels.copy()
    labels[data.val[0]] = -1
    with pytest.raises(ValueError, match=r"list 'val' has images without a class \(label -1\); only 'pretrain' may"):
        check_dataset(data._replace(labels=labels))
    trained = data._replace(labels=labels, val=data.val[1:], pretrain=np.append(data.pretrain, data.val[0]))
    assert check_dataset(trained).class_counts.tolist() == data.class_counts.tolist()


def test_classes_that_are_known_to_be_untested_are_allowed():
    data = load_dataset(config())
    kept = data.test_labels != 3
    part = data._replace(test_images=data.test_images[kept], test_labels=data.test_labels[kept])
    with pytest.raises(ValueError, match=r"no image of the classes \[3\]"):
        check_dataset(part)
    check_dataset(part._replace(untested=(3,)))


def write_release(folder, name, per_file, seed=0):
    """A small release of random images; returns its folder, its archive, and what the arrays must be."""
    release, rng = cifar.RELEASES[name], np.random.default_rng(seed)
    inner = folder / release.folder
    inner.mkdir(parents=True)
    arrays = {"train": ([], []), "test": ([], [])}
    for part in arrays:
        for file in getattr(release, part):
            images = rng.integers(0, 256, (per_file, 32, 32, 3), np.uint8)
            labels = rng.permutation(np.arange(per_file) % release.num_classes).astype(np.uint8)
            coarse = [labels[:, None] // 5] * (release.label_bytes - 1)
            record = np.concatenate([*coarse, labels[:, None], images.transpose(0, 3, 1, 2).reshape(per_file, -1)], 1)
            (inner / file).write_bytes(record.tobytes())
            arrays[part][0].append(images)
            arrays[part][1].append(labels)
    archive = folder / "release.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(inner, release.folder)
    return inner, archive, [np.concatenate(a) for part in ("train", "test") for a in arrays[part]]


def trust(monkeypatch, name, inner, archive):
    """Makes the checksums of the small release the official ones."""
    release = cifar.RELEASES[name]
    sums = {file: hashlib.sha256((inner / file).read_bytes()).hexdigest() for file in release.sha256}
    changed = release._replace(archive_md5=hashlib.md5(archive.read_bytes()).hexdigest(), sha256=sums)
    monkeypatch.setitem(cifar.RELEASES, name, changed)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_from_archive_and_folder(tmp_path, monkeypatch, name):
    inner, archive, expected = write_release(tmp_path, name, 100)
    with pytest.raises(ValueError, match=r"md5 .* the official archive has"):
        cifar.read_cifar(name, archive)
    trust(monkeypatch, name, inner, archive)
    for actual, wanted in zip(cifar.read_cifar(name, archive), expected):
        np.testing.assert_array_equal(actual, wanted)
    if name == "cifar100":
        with pytest.raises(ValueError, match=r"cifar-100-binary\.tar\.gz, whose checksum"):
            cifar.read_cifar(name, inner)
        return
    for path in (inner, tmp_path):
        for actual, wanted in zip(cifar.read_cifar(name, path), expected):
            np.testing.assert_array_equal(actual, wanted)
    damaged = bytearray((inner / "data_batch_3.bin").read_bytes())
    damaged[1000] ^= 1
    (inner / "data_batch_3.bin").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"data_batch_3\.bin: sha256"):
        cifar.read_cifar(name, inner)
    (inner / "data_batch_2.bin").unlink()
    with pytest.raises(ValueError, match=r"has no data_batch_2\.bin"):
        cifar.read_cifar(name, inner)


@pytest.mark.parametrize(
    ("name", "files", "found"),
    [
        ("cifar10", ["cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/batches.meta"], "cifar-10-batches-py"),
        ("cifar10", ["data_batch_1", "batches.meta"], "source"),
        ("cifar10", ["cifar-10-python.tar.gz"], "cifar-10-python.tar.gz"),
        ("cifar10", ["cifar-10-batches-mat/data_batch_1.mat"], "cifar-10-batches-mat"),
        ("cifar100", ["cifar-100-python/train", "cifar-100-python/meta"], "cifar-100-python"),
        ("cifar100", ["cifar-100-python.tar.gz"], "cifar-100-python.tar.gz"),
        ("cifar100", ["train", "test", "meta"], "source"),
    ],
)
def test_cifar_as_torchvision_has_it_is_named(tmp_path, name, files, found):
    source = tmp_path / "source"
    for file in files:
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).write_bytes(b"x")
    archive, version = cifar.RELEASES[name].archive, "Matlab" if "mat" in found else "python"
    message = rf"{found} is the {version} version, which is not read\. Take the binary version, {archive}"
    with pytest.raises(ValueError, match=message):
        cifar.read_cifar(name, source)
    if files[0].endswith(".gz"):
        with pytest.raises(ValueError, match=message):
            cifar.read_cifar(name, source / files[0])
    with pytest.raises(ValueError, match=rf"there is no .*nowhere; config\.data_path names .*{archive}"):
        cifar.read_cifar(name, tmp_path / "nowhere")


def test_the_archive_of_the_other_cifar_is_named(tmp_path, monkeypatch):
    inner, archive, _ = write_release(tmp_path, "cifar100", 100)
    trust(monkeypatch, "cifar100", inner, archive)
    with pytest.raises(ValueError, match=r"release\.tar\.gz is the archive of cifar100"):
        cifar.read_cifar("cifar10", archive)


def test_a_truncated_record_is_refused():
    with pytest.raises(ValueError, match="3074 bytes are not a whole number of records of 3073"):
        cifar.parse_records(b"\0" * 3074, 1)


def test_cifar_with_the_authors_lists_and_with_drawn_ones(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10, dtype=np.int32), 1000)
    arrays = (np.zeros((10_000, 1, 1, 3), np.uint8), labels, np.zeros((10, 1, 1, 3), np.uint8), labels[::1000])
    monkeypatch.setattr("sdclr_jax.data.datasets.read_cifar", lambda *_: arrays)
    drawn = load_dataset(config(dataset="cifar10", data_path="x"))
    assert sorted(drawn.class_counts)[::9] == [5, 500]
    assert (len(drawn.val), len(drawn.full), len(drawn.few)) == (5000, 5000, 50)
    names = {"split2_D_i": 30, "split2_D_b": 20, "split2_S_b": 10, "trainIdxList": 100, "valIdxList": 40}
    lists = {name: np.sort(rng.permutation(10_000)[:count]) for name, count in names.items()}
    for name, indices in lists.items():
        np.save(tmp_path / f"{name}.npy", indices)
    read = load_dataset(config(dataset="cifar10", data_path="x", lists=str(tmp_path), split=2, balanced=True))
    expected = [lists[name] for name in ("split2_D_b", "split2_D_i", "trainIdxList", "split2_S_b", "valIdxList")]
    for actual, wanted in zip((read.pretrain, read.long_tail, read.full, read.few, read.val), expected):
        np.testing.assert_array_equal(actual, wanted)
    assert drawn.names[:2] == ["airplane", "automobile"]
    with pytest.raises(UserError, match=r"config\.data_path"):
        load_dataset(config(dataset="cifar10"))


def test_an_epoch_sees_every_image_once_on_any_number_of_devices():
    """37 images in batches of 10: four steps, the last of 7; three devices get four rows each."""
    one = epoch_order(37, 10, 1, seed=5, epoch=2)
    three = epoch_order(37, 10, 3, seed=5, epoch=2)
    assert one.examples.shape == (1, 4, 10)
    assert three.examples.shape == (3, 4, 4)
    for order in (one, three):
        assert sorted(order.examples[order.rows]) == list(range(37))
    for step in range(4):
        np.testing.assert_array_equal(
            three.examples[:, step][three.rows[:, step]], one.examples[:, step][one.rows[:, step]]
        )
    assert (epoch_order(37, 10, 1, 5, 3).examples != one.examples).any()
    dropped = epoch_order(37, 10, 1, 5, 2, drop_last=True)
    np.testing.assert_array_equal(dropped.examples, one.examples[:, :3])
    with pytest.raises(ValueError, match="37 images make no whole batch of 40"):
        steps_per_epoch(37, 40, True)


@pytest.mark.parametrize("count", [1, 5, 16, 19])
def test_map_rows_keeps_order_and_drops_padding(count):
    double = parallel.pmap_step(lambda scale, x: scale * x, in_axes=(None, 0), out_axes=0)
    x = np.arange(3.0 * count, dtype=np.float32).reshape(count, 3)
    result = map_rows(double, (parallel.to_devices(np.float32(2)),), (x,), batch_size=8)
    np.testing.assert_array_equal(result, 2 * x)


def test_forgetting_by_hand_and_on_a_network(tiny_net):
    assert most_forgotten(np.array([0.1, 0.5, 0.5, 0.2]), 0.5).tolist() == [1, 2]
    assert len(most_forgotten(np.arange(11.0), 0.1)) == 2
    groups = Groups(np.array([2, 3]), np.array([0]), np.array([1]))
    assert group_shares(np.array([0, 1, 2, 3, 3]), groups) == pytest.approx({"many": 0.6, "medium": 0.2, "few": 0.2})

    model = tiny_net()
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    variables = model.init(jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))
    params, stats = variables["params"], variables["batch_stats"]
    score = jax.jit(make_forgetting(model))
    np.testing.assert_allclose(score(params, stats, full_masks(params), images), 0, atol=1e-6)
    pruned = score(params, stats, magnitude_masks(params, 0.9), images)
    assert ((pruned > 1e-3) & (pruned <= 2)).all()


def test_archive_members_outside_are_not_touched(tmp_path, monkeypatch):
    """Only the known names are read, into memory: a hostile path in the archive writes nothing."""
    inner, archive, _ = write_release(tmp_path / "a", "cifar10", 10)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(inner, "cifar-10-batches-bin")
        tar.addfile(tarfile.TarInfo("../evil"), io.BytesIO())
    trust(monkeypatch, "cifar10", inner, archive)
    before = sorted(tmp_path.rglob("*"))
    cifar.read_cifar("cifar10", archive)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_a_tfds_builder_keeps_every_byte_and_needs_no_tensorflow(tmp_path, monkeypatch, name):
    inner, archive, expected = write_release(tmp_path / "source", name, 100)
    archive = archive.rename(archive.parent / cifar.RELEASES[name].archive)
    trust(monkeypatch, name, inner, archive)
    rng, prefix, lists = np.random.default_rng(1), {"cifar10": "", "cifar100": "cifar100_"}[name], {}
    kinds = [f"split{split}_{kind}" for split in (1, 2, 3, 4, 5) for kind in ("D_i", "D_b", "S_b")]
    for place, kind in enumerate(("trainIdxList", "valIdxList", *kinds)):
        lists[kind] = np.sort(rng.permutation(len(expected[1]))[: 20 + place])
        np.save(archive.parent / f"{prefix}{kind}.npy", lists[kind])

    folder = tfds_builders.prepare_cifar(name, tmp_path / "source", tmp_path / "out")
    source = tfds.builder_from_directory(str(folder)).as_data_source("train")
    example = source[7]
    np.testing.assert_array_equal(example["image"], expected[0][7])
    assert (example["id"], example["label"]) == (7, expected[1][7])
    read = load_dataset(config(dataset="tfds", data_path=str(folder), split=3))
    for actual, wanted in zip(read, expected):
        np.testing.assert_array_equal(actual, wanted)
    names = ("split3_D_i", "split3_D_i", "trainIdxList", "split3_S_b", "valIdxList")
    for actual, wanted in zip(read[4:9], names):
        np.testing.assert_array_equal(actual, lists[wanted])
    assert "tensorflow" not in sys.modules
    with pytest.raises(UserError, match=r"has no dataset_info\.json"):
        load_dataset(config(dataset="tfds", data_path=str(tmp_path)))
    with pytest.raises(UserError, match="has no split 6"):
        load_dataset(config(dataset="tfds", data_path=str(folder), split=6))


def test_a_tfds_builder_draws_the_lists_that_training_draws(tmp_path):
    labels = np.repeat(np.arange(10, dtype=np.int32), 1000)
    lists = tfds_builders.make_lists("cifar10", labels, tmp_path)
    drawn = cifar_lists("cifar10", labels, None, 4)
    for name, wanted in zip(("split4_D_i", "split4_D_b", "split4_S_b"), drawn.long_tail):
        np.testing.assert_array_equal(lists[name], wanted)
    np.testing.assert_array_equal(lists["val"], drawn.val)
    assert len(lists) == 17

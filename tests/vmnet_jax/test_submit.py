"""Submissions to the ScanNet benchmark: what is written passes the check, and every fault is found and named."""

import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from preprocess.labels.label_map import LabelMap, scannet20
from trainlib.core.errors import UserError
from vmnet_jax import submit
from vmnet_jax.data.scenes import SceneFolder
from vmnet_jax.prediction.submission import write_submission
from vmnet_jax.prediction.submission_check import check_submission

NAMES = ("sheet_0", "sheet_3")


class RandomPredictor:
    """Classes at random, the same for each scene of a size."""

    scenes_per_batch = 1

    def __init__(self, label_map, params):
        self.label_map, self.run, self.seen = label_map, SimpleNamespace(params=params), []

    def predict_scenes(self, scenes, votes):
        self.seen.append([scene.name for scene in scenes])
        return [SimpleNamespace(classes=self.classes(scene)) for scene in scenes]

    def classes(self, scene):
        rng = np.random.default_rng(len(scene.vertices))
        return rng.integers(0, len(self.label_map.ids), len(scene.vertices))


@pytest.fixture
def read(scene_folder):
    return SceneFolder(scene_folder, cache_gib=0)


@pytest.fixture
def counts(read):
    return {name: len(read(name).vertices) for name in NAMES}


@pytest.fixture
def params(read):
    return read(NAMES[0]).params


def test_the_command_checks_a_zip(scene_folder, read, params, tmp_path, capsys):
    write_submission(RandomPredictor(scannet20(), params), read, NAMES, tmp_path / "zip.zip")
    (tmp_path / "list.txt").write_text("sheet_3\nsheet_0\n")
    words = [f"--check={tmp_path / 'zip.zip'}", f"--scenes={scene_folder}", f"--list={tmp_path / 'list.txt'}"]
    submit.main(submit.make_parser().parse_args(words))
    assert capsys.readouterr().out == f"{tmp_path / 'zip.zip'}: valid, 2 scenes\n"
    (tmp_path / "list.txt").write_text("sheet_3\nsheet_1\n")
    with pytest.raises(UserError, match=r"1 scenes of the list are missing: sheet_1\.txt"):
        submit.main(submit.make_parser().parse_args(words))


def test_a_written_zip_has_an_id_for_every_vertex_at_its_top(read, params, counts, tmp_path):
    predictor = RandomPredictor(scannet20(), params)
    write_submission(predictor, read, NAMES, tmp_path / "out" / "zip.zip")
    with zipfile.ZipFile(tmp_path / "out" / "zip.zip") as archive:
        assert sorted(archive.namelist()) == ["sheet_0.txt", "sheet_3.txt"]
        ids = np.array(archive.read("sheet_3.txt").split(), int)
    expected = np.asarray(scannet20().ids)[predictor.classes(read("sheet_3"))]
    np.testing.assert_array_equal(ids, expected)
    check_submission(tmp_path / "out" / "zip.zip", counts)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["zip.zip"]


@pytest.mark.parametrize(
    ("size", "parts"), [(1, [["sheet_0"], ["sheet_3"], ["sheet_1"]]), (2, [["sheet_0", "sheet_3"], ["sheet_1"]])]
)
def test_scenes_are_seen_in_batches_of_the_given_size(read, params, tmp_path, size, parts):
    predictor = RandomPredictor(scannet20(), params)
    predictor.scenes_per_batch = size
    write_submission(predictor, read, (*NAMES, "sheet_1"), tmp_path / "zip.zip")
    assert predictor.seen == parts


@pytest.mark.parametrize(("key", "value"), [("voxel_size", 0.3), ("cells", [0.3, 0.6]), ("units", "mm"), ("up", "y")])
def test_18_scenes_of_other_preprocessing_than_the_networks_are_refused(read, params, tmp_path, key, value):
    """With the keys that differ, as evaluation refuses them; nothing is written."""
    predictor = RandomPredictor(scannet20(), {**params, key: value})
    with pytest.raises(UserError, match=f"sheet_0 was preprocessed with other parameters.*{key}: "):
        write_submission(predictor, read, NAMES, tmp_path / "zip.zip")
    assert not list(tmp_path.iterdir())


def test_the_labels_of_test_scenes_may_follow_another_map(read, params, tmp_path):
    """A submission reads none of them."""
    other = {**params, "label_ids": [1, 2], "level0_labels": "other"}
    write_submission(RandomPredictor(scannet20(), other), read, NAMES, tmp_path / "zip.zip")
    assert (tmp_path / "zip.zip").is_file()


def test_15_a_missing_scene_refuses_and_leaves_nothing(read, params, tmp_path):
    with pytest.raises(UserError, match=r"1 of 2 listed scenes are not in .*: sheet_9"):
        write_submission(RandomPredictor(scannet20(), params), read, ("sheet_0", "sheet_9"), tmp_path / "zip.zip")
    assert not list(tmp_path.iterdir())


def test_an_older_zip_stays_where_a_scene_fails(read, params, tmp_path):
    class FailsOnTheSecond(RandomPredictor):
        def predict_scenes(self, scenes, votes):
            if self.seen:
                raise OSError("the disk is gone")
            return super().predict_scenes(scenes, votes)

    (tmp_path / "zip.zip").write_text("older")
    (tmp_path / ".zip.zip.1.partial").write_text("of a killed process")
    with pytest.raises(OSError, match="the disk is gone"):
        write_submission(FailsOnTheSecond(scannet20(), params), read, NAMES, tmp_path / "zip.zip")
    assert (tmp_path / "zip.zip").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["zip.zip"]


def test_ids_of_another_data_set_are_refused(read, params, tmp_path):
    foreign = LabelMap((1, 13), ("wall", "blinds"), ((0, 0, 0), (9, 9, 9)))
    with pytest.raises(UserError, match=r"ids \[13\]"):
        write_submission(RandomPredictor(foreign, params), read, NAMES, tmp_path / "zip.zip")


def with_entries(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"sheet_3.txt": None}, "1 scenes of the list are missing: sheet_3.txt"),
        ({"more.txt": "1\n"}, "1 entries are none of the list's: more.txt"),
        ({"root/sheet_0.txt": "1\n"}, "entries in folders.*root/sheet_0.txt"),
        ({"sheet_0.txt": "1\n2\n"}, r"sheet_0.txt: 2 lines for \d+ vertices"),
        ({"sheet_0.txt": "1\n13\n"}, "sheet_0.txt, line 2: '13' is none of"),
        ({"sheet_0.txt": "1\n-1\n"}, "line 2: '-1' is none of"),
        ({"sheet_0.txt": "1 0.5\n"}, "line 2: '0.5' is none of"),
        ({"sheet_0.txt": "0\n"}, "line 1: '0' is none of"),
    ],
)
def test_every_fault_is_named(counts, tmp_path, change, finding):
    entries = {f"{name}.txt": "1\n" * count for name, count in counts.items()}
    check_submission(with_entries(tmp_path / "good.zip", entries), counts)
    entries = {name: text for name, text in (entries | change).items() if text is not None}
    with pytest.raises(UserError, match=finding):
        check_submission(with_entries(tmp_path / "bad.zip", entries), counts)


def test_no_zip_at_all(counts, tmp_path):
    (tmp_path / "x.zip").write_text("no")
    with pytest.raises(UserError, match="no readable zip"):
        check_submission(tmp_path / "x.zip", counts)

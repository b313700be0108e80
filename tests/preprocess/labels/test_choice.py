"""What `--label_map` and `--unlabelled` make of ids, and what they say about it."""

import re

import numpy as np
import pytest

from preprocess import check, scenes
from preprocess.labels.label_map import LabelMap, read_label_map
from preprocess.mesh.mesh import MeshError
from preprocess.scene.scene_file import read_header, read_scene

HEADER = "id,name,red,green,blue\n"


@pytest.fixture
def run(tmp_path, capsys, write_ply, make_sphere):
    """run(command, ids, *flags) -> (status, stdout + stderr) for a mesh whose labels are `ids`, repeated."""
    vertices, faces = make_sphere(2)

    def run(command, ids, *flags):
        path = tmp_path / "in" / "m.ply"
        path.parent.mkdir(exist_ok=True)
        write_ply(path, vertices, faces)
        np.save(path.with_name("m.labels.npy"), np.resize(ids, len(vertices)))
        more = [f"--input={path.parent}", f"--output={tmp_path / 'out'}", "--cells=0.1,0.2", "--workers=0"]
        status = scenes.main([*more, *flags]) if command == "scenes" else check.main([str(path), *flags])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return status, printed.out + printed.err

    return run


BOTH = pytest.mark.parametrize("command", ["check", "scenes"])


@BOTH
def test_auto_counts_what_it_takes_as_unlabelled(run, command):
    status, printed = run(command, [0, 1, 2], "--label_map=auto")
    assert status == 0
    taken = "--label_map auto: 54 of 162 labels have id 0, which is taken as unlabelled; give --unlabelled=ID or"
    assert taken in printed
    assert "unlabelled;" not in run(command, [1, 2], "--label_map=auto")[1]
    printed = run(command, [7, 1, 7, 0], "--label_map=auto", "--unlabelled=7")[1]
    assert "--label_map auto: 81 of 162 labels have id 7, which is taken as unlabelled" in printed


@BOTH
@pytest.mark.parametrize(("ids", "flags"), [([0, 1], []), ([5], []), ([-1, 3], ["--unlabelled=none"])])
def test_a_map_of_one_class_is_refused(run, command, ids, flags):
    status, printed = run(command, ids, "--label_map=auto", *flags)
    assert status == 1
    assert f"error: --label_map auto: the labels have one class, {max(ids)}, and a network needs" in printed
    assert ("81 of 162 labels have id 0, which is taken as unlabelled" in printed.lower()) == (ids == [0, 1])


@BOTH
def test_a_csv_of_one_class_is_refused(run, command, tmp_path):
    (tmp_path / "one.csv").write_text(HEADER + "1,wall,0,0,0\n")
    status, printed = run(command, [0, 1], f"--label_map={tmp_path / 'one.csv'}")
    assert status == 1
    assert "one.csv: the label map has one class, 1 (wall). A network needs at least two" in printed


def test_no_id_is_unlabelled(run, tmp_path):
    assert run("scenes", [0, 1], "--label_map=auto", "--unlabelled=none")[0] == 0
    scene = read_scene(tmp_path / "out" / "m.scene.npz")
    np.testing.assert_array_equal(scene.labels, np.resize([0, 1], 162))
    assert read_label_map(tmp_path / "out" / "label_map.csv").ids == (0, 1)
    assert scene.params["unlabelled"] is None


def test_another_id_is_unlabelled(run, tmp_path):
    for map_ in ("auto", str(tmp_path / "own.csv")):
        (tmp_path / "own.csv").write_text(HEADER + "0,wall,0,0,0\n1,floor,0,0,0\n")
        status, printed = run("scenes", [0, 1, 255], f"--label_map={map_}", "--unlabelled=255")
        assert status == 0
        assert "outside the label map" not in printed
        scene = read_scene(tmp_path / "out" / "m.scene.npz")
        np.testing.assert_array_equal(scene.labels, np.resize([0, 1, -1], 162))
        assert scene.params["unlabelled"] == 255


def test_the_default_is_not_written_so_that_older_scenes_stay_up_to_date(run, tmp_path):
    run("scenes", [1, 2])
    assert not {"unlabelled", "label_property"} & read_header(tmp_path / "out" / "m.scene.npz").params.keys()
    assert "1 up to date" in run("scenes", [1, 2])[1]
    assert "1 built" in run("scenes", [1, 2], "--unlabelled=99")[1]


@BOTH
def test_a_class_of_the_map_is_never_unlabelled(run, command, tmp_path):
    (tmp_path / "own.csv").write_text(HEADER + "0,wall,0,0,0\n7,floor,0,0,0\n")
    status, printed = run(command, [0, 7], f"--label_map={tmp_path / 'own.csv'}")
    assert status == 0
    assert "id 0 is a class of the label map, so it does not mean unlabelled" in printed
    status, printed = run(command, [0, 7], f"--label_map={tmp_path / 'own.csv'}", "--unlabelled=7")
    assert status == 1
    assert "--unlabelled=7: the label map has the id as a class, 'floor'" in printed


@BOTH
@pytest.mark.parametrize("flags", [["--label_map=auto"], []])
def test_ids_with_instances_in_the_upper_bits(run, command, flags):
    status, printed = run(command, [70000, 70001, 2**31 + 5], *flags)
    assert status == 1
    if flags:
        assert "162 of 162 labels have ids above 65535: 70000, 70001, 2147483653, the first in " in printed
        assert "m.ply. Where the upper 16 bits number the instances, as in SemanticKITTI" in printed
    elif command == "check":
        assert "Ids are 0 to 65535. Where the upper 16 bits number the instances, as in SemanticKITTI" in printed


@BOTH
def test_ids_that_often_mean_ignore(run, command):
    status, printed = run(command, [-1, 1, 2], "--label_map=auto")
    assert status == 0
    assert "54 of 162 labels have negative ids and are not classes: -1" in printed
    assert "outside the label map" not in printed
    for ids in ([1, 2, 255], [1, 2, 65535]):
        status, printed = run(command, ids, "--label_map=auto")
        assert status == 0
        assert f"id {ids[2]} (54 of 162 labels) is taken as a class; give --unlabelled={ids[2]} if it" in printed
        printed = run(command, ids, "--label_map=auto", f"--unlabelled={ids[2]}")[1]
        assert f"54 of 162 labels have id {ids[2]}, which is taken as unlabelled" in printed
    assert "is taken as a class" not in run(command, np.arange(256), "--label_map=auto")[1]


def test_minus_one_is_unlabelled_with_every_map(run):
    printed = run("scenes", [-1, 3], "--unlabelled=none")[1]
    assert "outside the label map" not in printed
    printed = run("check", [-1])[1]
    assert "labels -1 (162, unlabelled)" in printed
    assert "warning: all labels are -1, which means unlabelled" in printed


def test_all_labels_are_unlabelled(run):
    for command in ("check", "scenes"):
        status, printed = run(command, [0], "--label_map=auto")
        assert status == 1
        assert "no labelled vertex in any mesh; 162 of 162 labels have id 0, which is taken as unlabelled" in printed


def test_unreadable_labels_are_named_by_auto(run, tmp_path):
    status, printed = run("check", [0.5], "--label_map=auto")
    assert status == 1
    assert "the labels of 1 of 1 meshes cannot be read, the first: " in printed
    assert "m.labels.npy: row 0 is 0.5" in printed


@pytest.mark.parametrize("word", ["x", "1.5", ""])
def test_wrong_words(run, word, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("check", [1, 2], f"--unlabelled={word}")
    assert f"{word!r} is neither a whole number nor none" in capsys.readouterr().err


def test_classes_without_id():
    label_map = LabelMap((0, 1), ("a", "b"), ((0, 0, 0), (1, 1, 1)), None)
    np.testing.assert_array_equal(label_map.to_ids(np.array([1, 0])), [1, 0])
    with pytest.raises(ValueError, match="1 vertices have no class, and no id means unlabelled"):
        label_map.to_ids(np.array([1, -1]))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_label_maps_of_every_encoding(tmp_path, encoding):
    (tmp_path / "map.csv").write_bytes((HEADER + "1,Küche,0,0,0\r\n2,b,0,0,0\r\n , , , , \r\n").encode(encoding))
    assert read_label_map(tmp_path / "map.csv").names == ("Küche", "b")


def test_a_table_that_is_no_csv(tmp_path):
    (tmp_path / "map.csv").write_text(f'{HEADER}1,"{"x" * 140000}",0,0,0\n')
    with pytest.raises(MeshError, match=re.escape("not a CSV file (field larger than field limit")):
        read_label_map(tmp_path / "map.csv")

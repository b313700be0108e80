"""Help, wrong flags and missing files answer before a library that takes seconds is imported, in every main."""

import json
import pathlib
import subprocess
import sys

import pytest

from tests.golden.flags import PROGRAMS, TRAINING

ROOT = pathlib.Path(__file__).parents[1]
MAINS = (*PROGRAMS, *TRAINING)
NO_RUN = "nowhere/run is not the workdir of a run: it has no config.json"
NO_MAP = "nowhere: no label_map.csv. Make the folder with python -m preprocess.scenes."
NO_WEIGHTS = "nowhere.pt: cannot be read: No such file or directory"
NO_CONFIG = "there is no config file configs/nowhere.py"

# (program, its arguments, the end of its standard error or a part of it); {} is a folder with `run`, an unfinished
# VMNet run, `images`, an SDCLR run, `mesh.ply` and `map/label_map.csv`, and nothing else.
MISSING = (
    ("preprocess.check", "{}/nowhere", "nowhere: there is no such file or folder. Look for a misspelling."),
    ("preprocess.check", "{}/mesh.ply --label_map={}/nowhere.csv", "nowhere.csv: there is no such file"),
    ("preprocess.rooms", "--output=/proc/nowhere --count=1 --seed=0", "--output /proc/nowhere: cannot write there"),
    ("preprocess.scenes", "--input={}/nowhere --output={}/out", "nowhere: there is no such file or folder"),
    ("preprocess.scenes", "--input={} --output={}/out --split={}/nowhere.txt", "nowhere.txt: there is no such file"),
    ("sdclr_jax.convert", "{}/nowhere.pt --workdir={}/new", NO_WEIGHTS),
    ("sdclr_jax.convert", "--to-torch={}/new.pt --workdir={}/nowhere/run", NO_RUN),
    ("sdclr_jax.convert", "--workdir={}/new", "give either a checkpoint to read, or --to-torch=FILE to write"),
    ("sdclr_jax.curve", "{}/nowhere/run", "has no record of forgetting (tenth)"),
    ("sdclr_jax.curve", "{}/nowhere/run --kind=training", "has no record of a loss in metrics.jsonl"),
    ("sdclr_jax.curve", "{}/nowhere/run --kind=features", NO_RUN),
    ("sdclr_jax.evaluate", "--workdir={}/nowhere/run", NO_RUN),
    ("sdclr_jax.evaluate", "--workdir={}/images --protocols=all", "protocols all are not known"),
    ("sdclr_jax.evaluate", "--workdir={}/images", "there is no {}/nowhere; config.data_path names"),
    ("sdclr_jax.exemplars", "--run {}/nowhere/run --output={}/out", NO_RUN),
    ("sdclr_jax.grad_cam", "{}/images {}/nowhere/run", "there is no {}/nowhere; config.data_path names"),
    ("sdclr_jax.grad_cam", "{}/nowhere/run", NO_RUN),
    ("sdclr_jax.study", "--config=configs/nowhere.py", NO_CONFIG),
    ("sdclr_jax.table", "{}/nowhere/run --output={}/out", NO_RUN),
    ("sdclr_jax.table", "{}/images --output={}/out", "has no report; run python -m sdclr_jax.evaluate --workdir="),
    ("sdclr_jax.tfds_prepare", "--dataset=cifar10 --source={} --output=/proc/nowhere", "/proc/nowhere: cannot write"),
    ("sdclr_jax.tfds_prepare", "--dataset=cifar10 --source={}/nowhere --output={}/out", "no such folder, or an empty"),
    ("sdclr_jax.train", "--config=configs/nowhere.py --workdir={}/new", NO_CONFIG),
    (
        "sdclr_jax.train",
        "--config=configs/sdclr_cifar10_lt.py --config.data_path={}/nowhere --workdir={}/new",
        "there is no {}/nowhere; config.data_path names",
    ),
    (
        "sdclr_jax.train",
        "--config=configs/sdclr_folder.py --config.data_path={}/nowhere --workdir={}/new",
        "which is not a folder",
    ),
    (
        "sdclr_jax.train",
        "--config=configs/sdclr_cifar10_lt.py --config.dataset=tfds --config.data_path={} --workdir={}/new",
        "is not a prepared data set: it has no dataset_info.json",
    ),
    ("sdclr_jax.train", "--config=configs/vmnet_rooms.py --workdir={}/new", "the config is not of sdclr_jax"),
    ("vmnet_jax.baseline", "--workdir={}/nowhere/run", NO_RUN),
    ("vmnet_jax.baseline", "--workdir={}/run", NO_MAP),
    ("vmnet_jax.convert", "{}/nowhere.pt --workdir={}/new", NO_WEIGHTS),
    ("vmnet_jax.convert", "{}/mesh.ply --workdir={}/new --config=configs/nowhere.py", NO_CONFIG),
    ("vmnet_jax.convert", "--to-torch={}/new.pt --workdir={}/nowhere/run", NO_RUN),
    ("vmnet_jax.curve", "{}/nowhere/run", "has no record of a loss in metrics.jsonl"),
    ("vmnet_jax.evaluate", "--workdir={}/nowhere/run", NO_RUN),
    ("vmnet_jax.evaluate", "--workdir={}/run", NO_MAP),
    ("vmnet_jax.evaluate", "--workdir={}/run --scenes={}/nowhere", NO_MAP),
    ("vmnet_jax.exemplars", "--workdir={}/nowhere/run --output={}/out", NO_RUN),
    ("vmnet_jax.exemplars", "--workdir={}/run --output={}/out --sparsities=half", "is not a list of numbers"),
    (
        "vmnet_jax.predict",
        "--workdir={}/run --mesh={}/nowhere.ply --output={}/out",
        "nowhere.ply: there is no such file",
    ),
    ("vmnet_jax.predict", "--workdir={}/run --mesh={}/map --output={}/out", "map: no mesh found"),
    ("vmnet_jax.predict", "--workdir={}/run --mesh={}/mesh.ply --output={}", "--output is the folder of the meshes"),
    ("vmnet_jax.predict", "--workdir={}/nowhere/run --mesh={}/mesh.ply --output={}/out", NO_RUN),
    ("vmnet_jax.study", "--config=configs/nowhere.py", NO_CONFIG),
    ("vmnet_jax.submit", "--scenes={}/nowhere --list={}/list.txt --check={}/a.zip", NO_MAP),
    ("vmnet_jax.submit", "--scenes={}/map --list={}/list.txt --check={}/a.zip", "list.txt: there is no such list file"),
    ("vmnet_jax.submit", "--scenes={}/map --list={}/list.txt", "give --workdir and --output to write a submission"),
    ("vmnet_jax.tfds_prepare", "--scenes={}/map --data_dir={}/out", "map: no scene files (*.scene.npz) with label_map"),
    ("vmnet_jax.train", "--config=configs/nowhere.py --workdir={}/new", NO_CONFIG),
    ("vmnet_jax.train", "--config=configs/vmnet_rooms.py --config.scenes={}/nowhere --workdir={}/new", NO_MAP),
    (
        "vmnet_jax.train",
        "--config=configs/vmnet_rooms.py --config.scenes={}/map --config.train_list={}/list.txt --workdir={}/new",
        "list.txt: there is no such list file",
    ),
    ("vmnet_jax.train", "--config=configs/sdclr_folder.py --workdir={}/new", "the config is not of vmnet_jax"),
)
# Commands that draw what they read; they need Matplotlib and nothing else that takes seconds.
DRAWING = (
    ("sdclr_jax.curve", "{}/images --kind=training --output={}/sdclr.png"),
    ("sdclr_jax.table", "{}/evaluated --output={}/table"),
    ("vmnet_jax.curve", "{}/run --output={}/vmnet.png"),
)


def write_run(folder, config, report=None):
    """A workdir as a training leaves it, without checkpoints, and with the report of an evaluation."""
    (folder / "eval" / "step_4").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text('{"step": 1, "time": 0, "loss": 2.0}\n{"step": 2, "time": 1, "loss": 1.0}\n')
    if report:
        (folder / "eval" / "step_4" / "report.json").write_text(json.dumps(report))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    (folder / "map").mkdir()
    (folder / "map" / "label_map.csv").touch()
    (folder / "mesh.ply").touch()
    write_run(folder / "run", {"scenes": str(folder / "nowhere"), "train_list": "", "val_list": ""})
    images = {"dataset": "cifar10", "data_path": str(folder / "nowhere"), "epochs": 4, "prune_fraction": 0.9}
    images |= {"balanced": False, "head_layers": 2, "split": 1, "seed": 0, "groups": "rank"}
    write_run(folder / "images", images)
    shares = {"many": 0.8, "medium": 0.7, "few": 0.6, "std": 0.1, "all": 0.7, "classes": [0.8, 0.7, 0.6]}
    write_run(folder / "evaluated", images, {"step": 4, "limit": 0, "full": shares})
    return folder


@pytest.fixture(scope="module")
def results(folder):
    """{(program, arguments): result}: see `tests.started`."""
    cases = [(program, flag, ()) for program in MAINS for flag in ("--help", "--wrong_flag=1")]
    cases += [(program, arguments, ()) for program, arguments, _ in MISSING]
    cases += [(program, arguments, ("matplotlib",)) for program, arguments in DRAWING]
    cases += [("trainlib.run.devices", "", ())]
    asked = [(program, words.replace("{}", str(folder)).split(), allowed) for program, words, allowed in cases]
    command = [sys.executable, "-m", "tests.started"]
    done = subprocess.run(
        command, input=json.dumps(asked), cwd=ROOT, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr
    return dict(zip([case[:2] for case in cases], json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("program", MAINS)
def test_help(results, program):
    result = results[program, "--help"]
    assert result["imported"] == []
    assert result["code"] == 0, result["err"]
    assert f"python -m {program}" in result["out"]


@pytest.mark.parametrize("program", MAINS)
def test_a_wrong_flag(results, program):
    result = results[program, "--wrong_flag=1"]
    assert result["imported"] == []
    assert result["code"] == 2, result["err"]
    assert "wrong_flag" in result["err"]


@pytest.mark.parametrize(("program", "arguments", "message"), MISSING)
def test_what_is_missing(results, folder, program, arguments, message):
    result = results[program, arguments]
    assert result["imported"] == []
    assert result["code"] in (1, 2), result["err"]
    assert message.replace("{}", str(folder)) in result["err"]
    assert "Traceback" not in result["err"]


def test_every_main_that_reads_files_has_a_missing_one():
    assert {program for program, *_ in MISSING} == {program for program in MAINS if "benchmarks" not in program}


@pytest.mark.parametrize(("program", "arguments"), DRAWING)
def test_what_reads_results_needs_matplotlib_alone(results, program, arguments):
    result = results[program, arguments]
    assert result["imported"] == []
    assert result["code"] == 0, result["err"]


def test_an_import_that_takes_seconds_is_found(results):
    result = results["trainlib.run.devices", ""]
    (found,) = result["imported"]
    assert found.startswith("jax in ")
    assert "devices.py, line " in found

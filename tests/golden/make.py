"""Makes the golden files in `stored/` again: `python -m tests.golden.make [NAME ...]`, from the repository's root.

Names are those of MAKERS; without a name all are made. A golden file is what the program gave at one time. Where a
change of output is intended, remake the file that shows it, read its `git diff`, and commit it with that change.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile

from tests.golden import configs, exports, flags, lost_tests, predictions, resume, scenes
from tests.golden.files import FOLDER, machine, pack, pack_contents, unpack, write_json


def make_configs() -> None:
    """configs.json"""
    write_json("configs.json", configs.collect())


def make_flags() -> None:
    """flags.txt"""
    (FOLDER / "flags.txt").write_text(flags.collect(), encoding="utf-8")


def make_scenes() -> None:
    """scenes.zip"""
    with tempfile.TemporaryDirectory() as folder:
        pack(scenes.build(pathlib.Path(folder)), "scenes.zip")


def make_resumed() -> None:
    """vmnet.zip, sdclr.zip: runs stopped in the middle; resumed.json: what they end with. After `scenes`."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        unpack("scenes.zip", folder / "scenes")
        whole = resume.in_process(folder, 1)
        for run in resume.TRAIN:
            shutil.rmtree(folder / run)
        resume.in_process(folder, 1, "--stop")
        for run in resume.TRAIN:
            for events in (folder / run).glob("events.*"):
                events.unlink()
            pack(folder / run, f"{run}.zip")
    ends = {}
    for devices in resume.DEVICES:
        with tempfile.TemporaryDirectory() as name:
            ends[str(devices)] = resume.resume(pathlib.Path(name), devices)
    if ends["1"] != whole:
        sys.exit("the resumed runs differ from the uninterrupted ones")
    write_json("resumed.json", {"machine": machine(), "ends": ends})


def make_exports() -> None:
    """exports.json. After `resumed`."""
    with tempfile.TemporaryDirectory() as folder:
        write_json("exports.json", exports.collect(pathlib.Path(folder)))


def make_predictions() -> None:
    """predictions.zip"""
    with tempfile.TemporaryDirectory() as folder:
        pack_contents(predictions.collect(pathlib.Path(folder)), "predictions.zip")


def make_test_ids() -> None:
    """test_ids.txt"""
    lost_tests.IDS.write_text("".join(f"{identifier}\n" for identifier in lost_tests.collected()), encoding="utf-8")


MAKERS = {
    "configs": make_configs,
    "flags": make_flags,
    "scenes": make_scenes,
    "resumed": make_resumed,
    "exports": make_exports,
    "predictions": make_predictions,
    "test_ids": make_test_ids,
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.make", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MAKERS))
    names = parser.parse_args().names
    if unknown := set(names) - MAKERS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    for name in names or MAKERS:
        MAKERS[name]()
        print(f"made: {name}")


if __name__ == "__main__":
    main()

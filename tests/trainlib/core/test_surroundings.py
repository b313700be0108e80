"""Terminals, pipes, logs, outputs and settings as strangers have them; the programs here need no JAX."""

import errno
import math
import os
import pathlib
import stat
import subprocess
import sys

import pytest
from ml_collections import ConfigDict

from trainlib.core import caches, progress
from trainlib.core.config import BELOW_ONE, COUNT, POSITIVE, check_settings, parse_words, require_config_file
from trainlib.core.errors import UsageError, UserError
from trainlib.core.outputs import require_file, require_folder
from trainlib.core.progress import LINES, ItemProgress

ROOT = pathlib.Path(__file__).parents[3]

PROGRAM = """
import argparse, sys
from trainlib.core import cli
from trainlib.core.errors import UsageError, UserError

def main():
    parser = argparse.ArgumentParser(prog="program")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--max_voxels", type=int, default=0)
    flags = cli.parse(parser)
    for _ in range(flags.max_voxels):
        print(flags.workdir)
    return {"broken": 1, "stopped": 75}.get(flags.workdir, 0)

cli.run(main)
"""


def run(*arguments, shell=None, **environment):
    """Runs the program above; `shell` is a redirection or a pipe behind it."""
    settings = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""} | environment
    command = [sys.executable, "-c", PROGRAM, *arguments]
    if shell is not None:
        command = ["bash", "-c", f'"$@" {shell}', "bash", *command]
    return subprocess.run(command, env=settings, capture_output=True, check=False)


def test_what_an_ascii_terminal_cannot_show_is_escaped():
    for environment in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}):
        done = run("--workdir=ベ±", "--max_voxels=1", **environment)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.isascii()
        assert b"\\" in done.stdout
    assert run("--workdir=ベ±", "--max_voxels=1", PYTHONIOENCODING="ascii").stdout == b"\\u30d9\\xb1\n"


@pytest.mark.parametrize(("workdir", "code"), [("a", 0), ("broken", 1), ("stopped", 75)])
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_nothing(workdir, code, closed):
    done = run(f"--workdir={workdir}", "--max_voxels=2", shell=closed)
    assert done.returncode == code
    assert done.stderr == b""
    assert done.stdout == (b"" if ">&-" in closed.replace("2>&-", "") else f"{workdir}\n{workdir}\n".encode())


def test_a_reader_that_leaves_ends_the_program_quietly():
    done = run("--workdir=a", "--max_voxels=1000000", shell="| head -1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stdout, done.stderr) == (141, b"a\n", b"")


def test_a_program_that_was_done_keeps_its_exit_code_when_the_reader_left():
    for workdir, code in (("a", 0), ("broken", 1)):
        done = run(f"--workdir={workdir}", "--max_voxels=1", shell="| true; exit ${PIPESTATUS[0]}")
        assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.parametrize(("leaving", "code"), [("'no room'", 141), ("''", 141), ("3", 3), ("None", 0)])
def test_a_program_that_leaves_by_itself_with_nobody_to_read_why(leaving, code):
    program = f"import sys; from trainlib.core import cli; cli.run(lambda: sys.exit({leaving}))"
    shell = '{ sleep 0.5; "$@"; } 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}'
    done = subprocess.run(["bash", "-c", shell, "bash", sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == code


def test_a_full_standard_output_is_an_error():
    done = run("--workdir=a", "--max_voxels=1", shell="> /dev/full")
    assert done.returncode == 1
    assert done.stderr == f"error: cannot write to the standard output: {os.strerror(errno.ENOSPC)}\n".encode()


@pytest.mark.parametrize("flag", ["--workdri=a", "-workdir=a", "--work=a", "--Workdir"])
def test_an_unknown_or_abbreviated_flag_names_the_nearest(flag):
    done = run(flag)
    assert done.returncode == 2
    assert f"unknown flag {flag.partition('=')[0]}; did you mean '--workdir'?".encode() in done.stderr


def test_what_follows_a_double_dash_is_no_flag():
    done = run("--workdir=a", "--", "--workdri")
    assert b"unrecognized arguments:" in done.stderr
    assert b"unknown flag" not in done.stderr


def test_config_words_and_files_name_the_nearest(tmp_path):
    with pytest.raises(
        UsageError, match=r"'simcrl' is not known; known: sdclr\|simclr, smoke; did you mean 'simclr'\?"
    ):
        parse_words("simcrl", {"method": ("sdclr", "simclr"), "smoke": False})
    with pytest.raises(UsageError, match=r"did you mean 'sdclr_folder.py'\?; there are .*vmnet_rooms.py"):
        require_config_file(ROOT / "configs" / "sdclr_foldr.py")
    with pytest.raises(UsageError, match=r"no config file /nowhere/x.py.*; there are .*vmnet_rooms.py"):
        require_config_file(pathlib.Path("/nowhere/x.py"))
    (tmp_path / "_mine.py").touch()
    with pytest.raises(UsageError, match=r"did you mean '_mine.py'\?; there are .*_mine.py"):
        require_config_file(tmp_path / "mine.py")


def test_a_log_has_few_lines_and_no_bars(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PAUSE_S", 0.0)
    for total in (3, 48, 1000):
        with ItemProgress(total, "file", label="reading") as counted:
            for _ in range(total):
                counted.advance()
        lines = capsys.readouterr().err.splitlines(keepends=True)
        assert min(total, LINES) == len(lines)
        assert lines[-1].startswith(f"reading: file {total} of {total}, ")
        assert not any("\r" in line for line in lines)


def test_short_work_logs_no_progress(capsys):
    with ItemProgress(100, "file") as counted:
        counted.advance()
        counted.write("shown")
        counted.write("failed", error=True)
    assert capsys.readouterr() == ("shown\n", "failed\n")


def test_outputs_are_made_and_tried(tmp_path):
    assert require_folder(tmp_path / "a" / "b").is_dir()
    assert require_file(tmp_path / "c" / "x.png", endings=("png", "pdf")).parent.is_dir()
    assert not list((tmp_path / "c").iterdir())
    with pytest.raises(UserError, match=r"--output /proc/nowhere: cannot write there: "):
        require_folder("/proc/nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is a file, not a folder"):
        require_folder(tmp_path / "file" / "inside")
    with pytest.raises(UserError, match="that is a folder"):
        require_file(tmp_path)


def test_an_ending_is_checked_first():
    with pytest.raises(UserError, match=r"x.xyz: the name must end in .pdf or .png"):
        require_file("/proc/nowhere/x.xyz", endings=("png", "pdf"))


@pytest.mark.parametrize(
    ("value", "allowed", "message"),
    [
        (20.0, BELOW_ONE, "config.key is 20.0, it must be between 0 and 1, not 1"),
        (-0.2, BELOW_ONE, "config.key is -0.2, it must be between 0 and 1, not 1"),
        (math.nan, POSITIVE, "config.key is nan, it must be a finite number"),
        (math.inf, POSITIVE, "config.key is inf, it must be a finite number"),
        (0.0, POSITIVE, "config.key is 0.0, it must be above 0"),
        (0, COUNT, "config.key is 0, it must be at least 1"),
        ((8, 0), COUNT, r"config.key is \(8, 0\), all numbers must be at least 1"),
        ("8", COUNT, "config.key is '8', it must be a number"),
    ],
)
def test_a_setting_out_of_its_range_is_named(value, allowed, message):
    with pytest.raises(UserError, match=message):
        check_settings(ConfigDict({"key": value}), {"key": allowed})


def test_a_setting_without_a_range_must_be_finite_and_a_choice_known():
    check_settings(ConfigDict({"new": 1.0, "word": "a", "yes": True, "words": ()}), {})
    with pytest.raises(UserError, match=r"config\.new is nan"):
        check_settings(ConfigDict({"new": math.nan}), {})
    with pytest.raises(UserError, match=r"config.model is 'vmnt', known are vmnet, dcm; did you mean 'vmnet'\?"):
        check_settings(ConfigDict({"model": "vmnt"}), {}, {"model": ("vmnet", "dcm")})


def test_the_private_folder_is_of_this_user_alone(tmp_path, monkeypatch):
    bases = [tmp_path / name for name in ("link", "open", "good")]
    for base, name in zip(bases, ("TMPDIR", "TEMP", "TMP")):
        base.mkdir()
        monkeypatch.setenv(name, str(base))
    folder = f"{caches.NAME}-{os.geteuid()}"
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (bases[0] / folder).symlink_to(tmp_path / "elsewhere")
    (bases[1] / folder).mkdir()
    (bases[1] / folder).chmod(0o777)
    found = caches.private_folder()
    assert found == bases[2] / folder
    assert stat.S_IMODE(found.stat().st_mode) == 0o700


def test_a_user_without_a_home_has_no_cache_folder(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert caches.user_cache() is None

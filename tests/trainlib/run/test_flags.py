"""Config words, the command line and the exit codes."""

import pathlib
import sys

import pytest
from absl import flags as absl_flags

from trainlib.core import cli
from trainlib.core.config import parse_words
from trainlib.core.errors import Stopped, UsageError, UserError
from trainlib.run import flags

KNOWN = {"method": ("simclr", "sdclr"), "list": ("longtail", "balanced"), "split": 1, "scale": 0.5, "smoke": False}

CONFIG = """
import ml_collections
from trainlib.core.config import parse_words

def get_config(argument=None):
    words = parse_words(argument, {"split": 1, "smoke": False})
    return ml_collections.ConfigDict({"platform": "any", "learning_rate": 0.1, "widths": (8, 16), **words})
"""


def test_words_set_what_they_name_and_leave_the_rest():
    assert parse_words(None, KNOWN) == {
        "method": "simclr",
        "list": "longtail",
        "split": 1,
        "scale": 0.5,
        "smoke": False,
    }
    words = parse_words("sdclr, split=3,smoke,scale=2", KNOWN)
    assert words == {"method": "sdclr", "list": "longtail", "split": 3, "scale": 2.0, "smoke": True}
    assert isinstance(words["scale"], float)


@pytest.mark.parametrize(
    "argument", ["simclr2", "smoke=1", "split", "method=sdclr", "sdclr=1", "method", "=", "smoke,x"]
)
def test_an_unknown_word_is_refused_with_the_known_ones(argument):
    with pytest.raises(
        UsageError, match=r"known; known: simclr\|sdclr, longtail\|balanced, split=<int>, scale=<float>"
    ):
        parse_words(argument, KNOWN)


def test_wrong_values_and_repeated_words_are_refused():
    with pytest.raises(UsageError, match=r"'1\.5' needs a value of type int"):
        parse_words("split=1.5", KNOWN)
    with pytest.raises(UsageError, match="sets 'method' a second time"):
        parse_words("simclr,sdclr", KNOWN)


# The loader of ml_collections still calls load_module.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture
def program(monkeypatch, tmp_path, capsys):
    """program(main, *arguments) -> (exit code, standard error), as a process of its own would give them."""
    config_file = tmp_path / "experiment.py"
    config_file.write_text(CONFIG)

    def run(main, *arguments, config=f"{config_file}"):
        monkeypatch.setattr(flags, "FLAGS", absl_flags.FlagValues())
        monkeypatch.setattr(cli, "set_up_logging", lambda: None)
        given = [f"--config={config}"] if config else []
        with pytest.raises(SystemExit) as left:
            flags.run_main(main, ["program", *given, *arguments])
        return left.value.code, capsys.readouterr().err

    run.config_file = config_file
    return run


def test_main_gets_config_and_workdir(program):
    seen = []

    def main(config, workdir):
        seen.append((config.to_dict(), workdir, flags.allowed_changes(), flags.strict()))

    arguments = ["--config.learning_rate=1", "--config.widths=(4,)", "--workdir=runs/a", "--allow_change=a,b.c"]
    code, _ = program(main, *arguments, "--strict", config=f"{program.config_file}:split=2,smoke")
    assert code == 0
    expected = {"platform": "any", "learning_rate": 1.0, "widths": (4,), "split": 2, "smoke": True}
    assert seen == [(expected, pathlib.Path("runs/a"), ("a", "b.c"), True)]


def test_outside_a_main_nothing_is_allowed_and_nothing_strict():
    assert flags.allowed_changes() == ()
    assert flags.strict() is False


def never(config, workdir):
    raise AssertionError("main ran")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir=w", "--config.learning_rat=1"], "learning_rat"),
        (["--workdir=w", "--config.learning_rate=fast"], "fast"),
        (["--workdir=w", "--config.split=0.1"], "0.1"),
        (["--workdir=w", "--speed=3"], "speed"),
        (["--workdir=w", "scan.ply"], "not understood: scan.ply"),
        ([], "--workdir=DIR is needed"),
        (["--workdir=w", "--coordinator=a:1", "--process_id=0"], "all of --coordinator=HOST:PORT --num_processes=N"),
        (["--workdir=w", "--num_processes=2"], "all of --coordinator=HOST:PORT --num_processes=N"),
        (["--workdir=w", "--coordinator=7000", "--num_processes=2", "--process_id=0"], "is not HOST:PORT"),
        (["--workdir=w", "--coordinator=a:1", "--num_processes=2", "--process_id=2"], "not one of 0 .. 1"),
        (["--workdir=w", "--distributed", "--process_id=2"], "for clusters that JAX knows"),
    ],
)
def test_a_wrong_command_line_is_2(program, arguments, message):
    code, error = program(never, *arguments)
    assert code == 2
    assert message in error
    assert "Traceback" not in error


def test_a_wrong_config_argument_is_2(program):
    code, error = program(never, "--workdir=w", config=f"{program.config_file}:fast")
    assert (code, error) == (2, "error: config argument 'fast' is not known; known: split=<int>, smoke\n")
    code, error = program(never, "--workdir=w", config="configs/none.py")
    assert code == 2
    assert error.startswith("error: there is no config file configs/none.py; there are ")
    assert "sdclr_folder.py" in error
    code, error = program(never, "--workdir=w", config=None)
    assert (code, error) == (2, "error: --config=configs/NAME.py is needed\n")


@pytest.mark.parametrize("kind", [UserError, ValueError, OSError])
def test_a_users_error_is_1_and_one_message(program, kind):
    def main(config, workdir):
        raise kind("scene0001: no faces")

    code, error = program(main, "--workdir=w")
    assert code == 1
    assert error.startswith("error: scene0001: no faces\n")
    assert "Traceback" not in error
    code, error = program(main, "--workdir=w", "--debug")
    assert code == 1
    assert "Traceback" in error
    assert "in main" in error


def test_a_bug_is_not_hidden(program):
    def main(config, workdir):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        program(main, "--workdir=w")


@pytest.mark.parametrize("reason", [Stopped("stopped after step 3, which is saved"), KeyboardInterrupt()])
def test_a_stopped_run_is_75(program, reason, caplog):
    def main(config, workdir):
        raise reason

    code, _ = program(main, "--workdir=w")
    assert code == 75
    assert "run the same command again" in caplog.text


def test_help_is_0_and_names_the_flags(program, capsys, monkeypatch):
    monkeypatch.setattr(flags, "FLAGS", absl_flags.FlagValues())
    with pytest.raises(SystemExit) as left:
        flags.run_main(never, ["program", "--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert all(f"--{name}" in out or f"--[no]{name}" in out for name in ("config", "workdir", "allow_change", "strict"))
    assert (sys.modules["__main__"].__doc__ or "").strip() in out

"""Mains in forked processes in which no library that takes seconds to import can be imported.

Reads a JSON list of [program, arguments, allowed libraries] from the standard input and writes a JSON list of
{"code", "out", "err", "imported"}. Each program runs in a child of this process, which has imported nothing but what
every main needs.
"""

import importlib
import json
import os
import pathlib
import runpy
import sys
import tempfile
import traceback

HEAVY = (
    "chex",
    "flax",
    "jax",
    "jaxlib",
    "matplotlib",
    "numba",
    "optax",
    "orbax",
    "scipy",
    "sklearn",
    "tensorflow_datasets",
    "tensorstore",
    "trimesh",
)


class Refuse:
    """Refuses the libraries, and keeps which of them were asked for, with the file and line that did."""

    def __init__(self, libraries):
        self.libraries, self.imported = libraries, []

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.libraries:
            callers = [frame for frame in traceback.extract_stack() if "importlib" not in frame.filename]
            self.imported.append(f"{name} in {callers[-2].filename}, line {callers[-2].lineno}")
            raise ImportError(f"{name} takes seconds to import", name=name)


def run(program, arguments, allowed):
    """The child: runs the program as `python -m` does; returns its exit code and what it tried to import."""
    refuse = Refuse({*HEAVY} - {*allowed})
    sys.meta_path.insert(0, refuse)
    sys.argv = [program, *arguments]
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as leaving:
        code = leaving.code or 0
    except ImportError:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code, refuse.imported


def start(program, arguments, allowed):
    """One program in a child; its result."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: pathlib.Path(folder, name) for name in ("out", "err", "result")}
        child = os.fork()
        if not child:
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(files[name], os.O_WRONLY | os.O_CREAT), number)
            status = 1
            try:
                files["result"].write_text(json.dumps(run(program, arguments, allowed)))
                status = 0
            finally:
                os._exit(status)
        os.waitpid(child, 0)
        code, imported = json.loads(files["result"].read_text()) if files["result"].exists() else (None, [])
        return {"code": code, "out": files["out"].read_text(), "err": files["err"].read_text(), "imported": imported}


if __name__ == "__main__":
    for library in ("ml_collections.config_flags", "numpy", "PIL.Image", "tensorboardX"):
        importlib.import_module(library)
    print(json.dumps([start(*case) for case in json.load(sys.stdin)]))

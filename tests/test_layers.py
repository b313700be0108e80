"""Who imports whom (docs/layout.md), by folder, read from the source; each rule finds a planted violation."""

import ast
import collections
import functools
import graphlib
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("kernels", "preprocess", "sdclr_jax", "trainlib", "vmnet_jax")
GUARDED = (*PACKAGES, "benchmarks", "configs")
OURS = (*GUARDED, "tests")

# Folder or module -> what it may import of ours. The longest entry that fits a module counts.
ALLOWED = {
    "kernels": ("kernels",),
    "kernels.host": ("kernels.host", "kernels.lazy"),
    "trainlib": ("trainlib",),
    "trainlib.core": ("trainlib.core",),
    "preprocess": ("preprocess", "kernels.host", "kernels.lazy", "trainlib.core"),
    "vmnet_jax": ("vmnet_jax", "kernels", "trainlib", "preprocess"),
    "vmnet_jax.model": ("vmnet_jax.model", "kernels.device", "kernels.host.tables", "trainlib.core"),
    "vmnet_jax.learn.losses": ("vmnet_jax.model",),
    "vmnet_jax.learn.metrics": (),
    "vmnet_jax.learn.optim": (),
    "vmnet_jax.learn.step": ("vmnet_jax.learn", "vmnet_jax.model", "trainlib.run.parallel"),
    "vmnet_jax.viewer": (
        "vmnet_jax.viewer",
        "kernels.host",
        "preprocess.labels.label_map",
        "preprocess.mesh.mesh",
        "trainlib.core",
    ),
    "sdclr_jax": ("sdclr_jax", "kernels.device", "kernels.lazy", "trainlib"),
    "sdclr_jax.model": ("sdclr_jax.model", "kernels.device", "trainlib.core"),
    "sdclr_jax.views": ("sdclr_jax.views",),
    "sdclr_jax.learn.losses": (),
    "sdclr_jax.learn.masks": ("trainlib.analysis.pruning", "sdclr_jax.model"),
    "sdclr_jax.learn.optim": (),
    "sdclr_jax.learn.step": ("sdclr_jax.learn", "sdclr_jax.model", "sdclr_jax.views", "trainlib.run.parallel"),
    "configs": ("trainlib.core", "sdclr_jax.default_config", "vmnet_jax.default_config"),
    "benchmarks": ("benchmarks", "kernels", "preprocess", "sdclr_jax", "trainlib", "vmnet_jax"),
    "benchmarks.peer": ("benchmarks.peer", "benchmarks.harness.worker"),
}
# Files of these folders compute from arrays: no other folder of the two systems but data, report, viewer and
# prediction, and the mains, names a path or opens a file.
NO_PATHS = (
    "kernels.device",
    "kernels.host",
    "sdclr_jax.learn",
    "sdclr_jax.model",
    "sdclr_jax.probe",
    "sdclr_jax.views",
    "vmnet_jax.learn",
    "vmnet_jax.model",
)
OPENS_PATHS = (
    "kernels.host.jit",  # a checksum
    "sdclr_jax.learn.restore",
    "vmnet_jax.learn.fine_tuning",
    "vmnet_jax.learn.restore",
)  # a checksum, checkpoints
NO_JAX = ("kernels.host", "kernels.lazy", "preprocess", "trainlib.core")
# Folders whose files are commands and what these share; every other file has a room.
MAINS = {
    "vmnet_jax": "baseline convert curve default_config evaluate exemplars predict settings study submit tfds_prepare "
    "train",
    "sdclr_jax": "convert curve default_config evaluate exemplars grad_cam settings study table tfds_prepare train",
    "preprocess": "check rooms scenes",
    "kernels": "lazy",
    "trainlib": "",
}
MOST_ARGUMENTS = 5  # positional ones; one more in compiled code, which knows no keywords
COMPILED = {"compiled", "instruction", "njit"}  # decorators
MOST_FILES = 15  # of one folder, next to its __init__.py


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def modules():
    """Dotted name -> syntax tree of every module of the packages and of configs/ and benchmarks/."""
    paths = [path for folder in GUARDED for path in (ROOT / folder).rglob("*.py")]
    return {name_of(path): ast.parse(path.read_text(), str(path)) for path in paths}


def imports(tree):
    """Dotted names that a module imports; `from a import b` counts as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name, *packages):
    return any(name == package or name.startswith(package + ".") for package in packages)


def import_graph(trees):
    """Module -> the modules of `trees` that it imports, inside functions and for type checkers too."""
    graph = {}
    for module, tree in trees.items():
        owners = {name if name in trees else name.rpartition(".")[0] for name in imports(tree)}
        graph[module] = owners & trees.keys()
    return graph


def import_cycle(trees):
    """The modules of one import cycle, the first one again at the end; [] if there is none."""
    try:
        graphlib.TopologicalSorter(import_graph(trees)).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def importers(trees, *packages):
    """Modules that import one of `packages` or something inside."""
    return {module for module, tree in trees.items() if any(is_within(name, *packages) for name in imports(tree))}


def identifiers(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")


def forbidden_imports(trees):
    for module, tree in trees.items():
        rule = max((folder for folder in ALLOWED if is_within(module, folder)), key=len)
        for name in imports(tree):
            if name.split(".")[0] in OURS and not is_within(name, *ALLOWED[rule]):
                yield f"{module} imports {name}"


def imports_of_jax(trees):
    wrong = importers(trees, "jax", "jaxlib", "flax", "optax")
    return [f"{module} imports JAX" for module in wrong if is_within(module, *NO_JAX)]


def paths_where_arrays_are_computed(trees):
    for module, tree in trees.items():
        if is_within(module, *NO_PATHS) and module not in OPENS_PATHS:
            found = {name.split(".")[0] for name in imports(tree)} & {"pathlib", "shutil", "tempfile", "zipfile"}
            opens = any(isinstance(n, ast.Call) and getattr(n.func, "id", "") == "open" for n in ast.walk(tree))
            yield from (f"{module} uses {name}" for name in [*found, *(["open"] if opens else [])])


def files_without_a_room(trees):
    for module in trees:
        package, _, name = module.partition(".")
        is_room = any(is_within(other, module) for other in trees if other != module)
        if package in MAINS and name and "." not in name and not is_room and name not in MAINS[package].split():
            yield f"{module} has no room"


def crowded_folders(trees):
    folders = collections.Counter(module.rpartition(".")[0] for module in trees if "." in module)
    packages = {module for module in trees if any(is_within(other, module) for other in trees if other != module)}
    for package in packages:
        folders[package.rpartition(".")[0]] -= 1
    return [f"{folder} has {count} files" for folder, count in folders.items() if count > MOST_FILES]


def several_homes(trees):
    """pmap and Orbax each have one home."""
    for module, tree in trees.items():
        if "pmap" in identifiers(tree) and module != "trainlib.run.parallel":
            yield f"{module} uses pmap"
    yield from (f"{m} imports Orbax" for m in importers(trees, "orbax") - {"trainlib.store.checkpoints"})
    yield from (f"{m} imports a config" for m in importers(trees, "configs"))
    yield from (f"{m} needs TensorFlow" for m in importers(trees, "tensorflow", "clu"))


def functions_of_many_arguments(trees):
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                most = MOST_ARGUMENTS + bool(
                    COMPILED & {name for part in node.decorator_list for name in identifiers(part)}
                )
                names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
                if len(names) - (names[:1] in (["self"], ["cls"])) > most:
                    yield f"{module}.{node.name} has more than {most} positional arguments"


RULES = (
    forbidden_imports,
    imports_of_jax,
    paths_where_arrays_are_computed,
    files_without_a_room,
    crowded_folders,
    functions_of_many_arguments,
    several_homes,
)
PLANTED = [
    (forbidden_imports, "kernels.device.new", "from trainlib.core.text import decode"),
    (forbidden_imports, "kernels.host.mesh.new", "import kernels.device.blocks"),
    (forbidden_imports, "trainlib.core.new", "from trainlib.run import flags"),
    (forbidden_imports, "trainlib.run.new", "import preprocess"),
    (forbidden_imports, "preprocess.mesh.new", "def f():\n    from trainlib.run import flags"),
    (forbidden_imports, "vmnet_jax.data.new", "import sdclr_jax.views.crop"),
    (forbidden_imports, "vmnet_jax.model.new", "from vmnet_jax.data import scenes"),
    (forbidden_imports, "vmnet_jax.learn.losses", "from vmnet_jax.data import scenes"),
    (forbidden_imports, "vmnet_jax.viewer.new", "from vmnet_jax.prediction import files"),
    (forbidden_imports, "sdclr_jax.report.new", "from vmnet_jax import train"),
    (forbidden_imports, "sdclr_jax.views.new", "from sdclr_jax.data import datasets"),
    (forbidden_imports, "configs.new", "from vmnet_jax.train import train_and_evaluate"),
    (forbidden_imports, "benchmarks.peer.new", "import kernels.host"),
    (imports_of_jax, "kernels.host.voxel.new", "import jax.numpy as jnp"),
    (imports_of_jax, "preprocess.scene.new", "from flax import linen"),
    (paths_where_arrays_are_computed, "sdclr_jax.model.new", "import pathlib"),
    (paths_where_arrays_are_computed, "vmnet_jax.learn.new", "def f(x):\n    return open(x)"),
    (files_without_a_room, "vmnet_jax.new", ""),
    (files_without_a_room, "trainlib.new", ""),
    (
        functions_of_many_arguments,
        "kernels.host.mesh.new",
        "@compiled(inline='always')\ndef f(a, b, c, d, e, g, h):\n    pass",
    ),
    (functions_of_many_arguments, "vmnet_jax.model.new", "class A:\n    def f(self, a, b, c, d, e, g):\n        pass"),
    (functions_of_many_arguments, "trainlib.run.new", "def f(a, b, c, d, e, g):\n    pass"),
    (several_homes, "sdclr_jax.learn.new", "import jax\nstep = jax.pmap(f)"),
    (several_homes, "vmnet_jax.learn.new", "import orbax.checkpoint"),
    (several_homes, "vmnet_jax.new", "from configs import vmnet_rooms"),
    (several_homes, "vmnet_jax.new", "import tensorflow as tf"),
]


def test_every_package_was_read():
    assert {name.split(".")[0] for name in modules()} >= set(GUARDED) - {"configs"}
    assert len(modules()) > 200


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule):
    assert list(rule(modules())) == []


@pytest.mark.parametrize(("rule", "module", "source"), PLANTED, ids=lambda part: getattr(part, "__name__", str(part)))
def test_a_planted_violation_is_found(rule, module, source):
    (found,) = {*rule(modules() | {module: ast.parse(source)})} - {*rule(modules())}
    assert module in found


def test_a_sixteenth_file_is_found():
    more = {f"vmnet_jax.viewer.new_{index}": ast.parse("") for index in range(MOST_FILES)}
    (found,) = {*crowded_folders(modules() | more)} - {*crowded_folders(modules())}
    assert found.startswith("vmnet_jax.viewer has ")


def test_the_core_needs_the_standard_library_alone_to_import():
    core = [name for name in modules() if is_within(name, "trainlib.core")]
    code = f"import sys, {', '.join(core)}; print(sorted({{'jax', 'numpy', 'PIL'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert len(core) > 2
    assert done.stdout == "[]\n", done.stderr


def test_no_imports_go_in_a_circle():
    assert import_cycle(modules()) == []


def test_a_circle_through_a_function_and_one_for_type_checkers_are_found():
    sources = {
        "a.b": "def f():\n    from a.c import g\n",
        "a.c": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import d\n",
        "a.d": "import a.b\n",
        "a.e": "from a.b import f\n",
    }
    assert sorted(set(import_cycle({name: ast.parse(text) for name, text in sources.items()}))) == ["a.b", "a.c", "a.d"]
    del sources["a.d"]
    assert import_cycle({name: ast.parse(text) for name, text in sources.items()}) == []


def test_no_test_imports_tensorflow():
    for path in (ROOT / "tests").rglob("*.py"):
        names = list(imports(ast.parse(path.read_text(), str(path))))
        assert not [name for name in names if is_within(name, "tensorflow")], path


IMPORT_ALL = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
host, rest = (argument.split(",") for argument in sys.argv[1:])
for name in host:
    importlib.import_module(name)
assert "jax" not in sys.modules, "preprocessing imports JAX"
for name in rest:
    importlib.import_module(name)
"""


def test_the_packages_import_without_tensorflow_without_a_gpu_and_preprocessing_without_jax():
    names = [name for name in modules() if name.split(".")[0] in PACKAGES and not name.endswith("__main__")]
    host = [name for name in names if is_within(name, *NO_JAX)]
    rest = [name for name in names if name not in host]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", IMPORT_ALL, ",".join(host), ",".join(rest)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Who imports whom (docs/layout.md), read from the source, and that no package needs TensorFlow."""

import ast
import functools
import graphlib
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("kernels", "preprocess", "sdclr_jax", "trainlib", "vmnet_jax")
OURS = (*PACKAGES, "benchmarks", "configs", "tests")

ALLOWED = {
    "kernels": ("kernels",),
    "preprocess": ("preprocess", "kernels.host", "trainlib.core"),
    "trainlib": ("trainlib",),
    "trainlib.core": ("trainlib.core",),
    "vmnet_jax": ("vmnet_jax", "kernels", "trainlib", "preprocess"),
    "sdclr_jax": ("sdclr_jax", "kernels.device", "trainlib"),
    "configs": ("configs", "trainlib.run.flags"),
}

# Files that compute from arrays: they know nothing of files, datasets and loops.
PURE_WORDS = (
    "model",
    "layer",
    "loss",
    "metric",
    "augment",
    "resnet",
    "head",
    "norm",
    "prune",
    "mask",
    "optim",
    "views",
)
EDGE = ("data", "train", "evaluate", "predict")


@functools.cache
def modules():
    """Dotted name -> syntax tree of every module of the packages and of configs/ and benchmarks/."""
    paths = [path for folder in (*PACKAGES, "configs", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    return {name_of(path): ast.parse(path.read_text(), str(path)) for path in paths}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree):
    """Dotted names that a module imports; `from a import b` counts as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name, package):
    return name == package or name.startswith(package + ".")


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


def importers(*packages):
    """Modules that import one of `packages` or something inside."""
    return {
        module for module, tree in modules().items() if any(is_within(n, p) for n in imports(tree) for p in packages)
    }


def identifiers(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")


def test_every_package_was_read():
    assert {name.split(".")[0] for name in modules()} >= set(PACKAGES)


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_it_may(package):
    wrong = [
        f"{module} imports {name}"
        for module, tree in modules().items()
        if is_within(module, package)
        for name in imports(tree)
        if name.split(".")[0] in OURS and not any(is_within(name, allowed) for allowed in ALLOWED[package])
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["kernels.host", "preprocess", "trainlib.core"])
def test_host_code_does_not_import_jax(package):
    assert not {module for module in importers("jax", "jaxlib", "flax", "optax") if is_within(module, package)}


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


def test_nobody_imports_the_configs():
    assert not importers("configs")


def test_files_that_compute_know_no_data_and_no_loops():
    wrong = [
        f"{module} imports {name}"
        for module, tree in modules().items()
        for package in ("vmnet_jax", "sdclr_jax")
        if is_within(module, package) and any(word in module.split(".")[-1] for word in PURE_WORDS)
        for name in imports(tree)
        if any(is_within(name, f"{package}.{edge}") for edge in EDGE)
    ]
    assert not wrong


def test_one_place_for_devices_and_one_for_checkpoints():
    assert {module for module, tree in modules().items() if "pmap" in identifiers(tree)} == {"trainlib.run.parallel"}
    assert importers("orbax") == {"trainlib.run.checkpoints"}


def test_no_file_of_the_project_imports_tensorflow():
    assert not importers("tensorflow", "clu")
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
    host = [name for name in names if any(is_within(name, p) for p in ("preprocess", "kernels.host", "trainlib.core"))]
    rest = [name for name in names if name not in host]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", IMPORT_ALL, ",".join(host), ",".join(rest)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

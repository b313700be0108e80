"""The pages: links lead somewhere, Python blocks parse and import what is there, examples of extending run."""

import ast
import dataclasses
import doctest
import importlib
import pathlib
import re
import sys
import types

import jax
import numpy as np
import pytest

from kernels.host.tables import Rings
from sdclr_jax.learn.masks import is_backbone_conv
from sdclr_jax.model.norm import BranchNorm, ForwardMode
from trainlib.analysis.pruning import prunable_leaves
from trainlib.core.config import load_config_file
from vmnet_jax.data.batching import empty_batch
from vmnet_jax.data.sample import VertexInputs

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks/RESULTS.md"]
)
IDS = [path.relative_to(ROOT).as_posix() for path in PAGES]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`|<!--.*?-->", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path: pathlib.Path) -> set[str]:
    """Of the headings, as Git hosts and MkDocs make them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def python_blocks(path: pathlib.Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.M)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_pages_that_are_named_exist(path):
    for name in re.findall(r"\bdocs/[\w/]+\.\w+", without_code(path.read_text())):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_python_blocks_import_what_is_there(path):
    for block in python_blocks(path):
        code = "\n".join(e.source for e in doctest.DocTestParser().get_examples(block)) if ">>>" in block else block
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert not [alias.name for alias in node.names if not hasattr(module, alias.name)]


def test_every_page_is_in_the_navigation():
    listed = re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    outside = {"CHANGELOG.md", "benchmarks/RESULTS.md"}
    assert {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} == {
        name for name in listed if not name.startswith("reference/") and name not in outside
    }
    packages = {
        re.split(r"[.`]", line[3:])[0] for line in (ROOT / "docs/api.md").read_text().splitlines() if line[:3] == "| `"
    }
    assert {name for name in listed if name.startswith("reference/")} == {f"reference/{p}.md" for p in packages}


def test_the_library_example_runs_and_is_that_of_the_readme():
    (block,) = python_blocks(ROOT / "docs" / "index.md")
    assert block in python_blocks(ROOT / "README.md")
    space = {}
    exec(block, space)
    out, real = np.asarray(space["out"]), len(space["voxels"].coords)
    assert out.shape == (5120, 16)
    assert (out[:real] >= 3).all()
    assert not out[real:].any()


@pytest.fixture(scope="module")
def extending():
    """The Python blocks of docs/extending.md."""
    return python_blocks(ROOT / "docs" / "extending.md")


def run_block(block: str, name: str, monkeypatch) -> types.ModuleType:
    """A block as a module of its own, as Flax wants it."""
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(block, name, "exec"), module.__dict__)
    return module


def test_a_config(extending, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "rooms_narrow.py").write_text(extending[0])
    config = load_config_file(f"{tmp_path}/rooms_narrow.py:seed=2")
    assert (config.seed, config.widths[0], config.num_steps) == (2, 16, 500)
    assert load_config_file(f"{tmp_path}/rooms_narrow.py:smoke").num_steps == 4


def test_a_network_for_meshes(extending, monkeypatch):
    network = run_block(extending[1], "ring_mean", monkeypatch).RingMean(num_classes=4)
    batch, none = empty_batch(3, VertexInputs()), np.zeros(1, np.int32)
    width = batch.vertex_features.shape[1]
    ring = np.array([[1], [0], [2]], np.int32)  # two vertices side by side and a row of padding
    rings = Rings(ring, np.array([[1], [0], [2]], np.int32), none + 2, none + 2, none + 2)
    features = np.zeros((3, width), np.float32)
    features[:2] = [[1], [2]]
    batch = dataclasses.replace(
        batch,
        vertex_features=features,
        rings=(rings, *batch.rings[1:]),
        keep=(np.array([True, True, False, False]), *batch.keep[1:]),
        vertex_scene=(np.array([0, 0, 1], np.int32), *batch.vertex_scene[1:]),
    )
    scores, variables = network.init_with_output(jax.random.key(0), batch, False)
    assert scores.voxel is None
    assert scores.vertex.shape == (3, 4)
    assert not np.asarray(scores.vertex[2]).any()
    assert np.asarray(scores.vertex[0] != scores.vertex[1]).any()
    cut = dataclasses.replace(batch, keep=(np.zeros(4, bool), *batch.keep[1:]))
    assert np.asarray(network.apply(variables, cut, False).vertex != scores.vertex).any()


def test_a_backbone(extending, monkeypatch):
    module = run_block(extending[2], "small_net", monkeypatch)

    def norm(name):
        return BranchNorm(2, 2, name=name)

    images = np.random.default_rng(0).uniform(size=(2, 16, 16, 3)).astype(np.float32)
    features, variables = module.SmallNet(norm).init_with_output(jax.random.key(0), images, ForwardMode())
    assert features.shape == (2, 64)
    assert len(prunable_leaves({"backbone": variables["params"]}, is_backbone_conv)) == 3

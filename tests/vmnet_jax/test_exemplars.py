"""What pruning makes a network forget: the report against loops, the pages' colours, the command on small scenes."""

import importlib.util
import json
import pathlib

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from preprocess.scene.params import HierarchyParams
from tests.pixels import count_by_panel
from trainlib.analysis.plots import line_style
from trainlib.analysis.pruned_networks import pruned_params
from trainlib.analysis.pruning_sweep import PruningSweep
from trainlib.core.errors import UserError
from vmnet_jax.commands.exemplars import is_prunable, run_exemplars
from vmnet_jax.data.scenes import SceneFolder
from vmnet_jax.learn.build import build_state
from vmnet_jax.learn.restore import TrainedRun
from vmnet_jax.report.exemplar_report import (
    KEPT,
    LOST,
    OTHER,
    STILL_WRONG,
    WON,
    Forgotten,
    as_lines,
    change_colors,
    make_report,
)
from vmnet_jax.viewer.legend import UNLABELLED

ROOT = pathlib.Path(__file__).parents[2]
NAMES = ("low", "middle", "high", "absent")


def test_report_is_that_of_a_loop_over_vertices():
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 3, 400)
    dense = np.where(rng.random(400) < 0.7, np.maximum(truth, 0), rng.integers(0, 3, 400))
    pruned = np.stack([np.where(rng.random(400) < 0.6, dense, rng.integers(0, 3, 400)) for _ in range(3)])
    report = make_report(dense, [Forgotten(0.5, pruned)], truth, NAMES)
    level, lost, right = report["levels"][0], [0] * 4, [0] * 4
    gained = differing = labelled = 0
    for v in range(400):
        if truth[v] < 0:
            continue
        labelled += 1
        counts = [int((pruned[:, v] == k).sum()) for k in range(4)]
        modal = next(label for label in pruned[:, v] if counts[label] == max(counts))
        differing += modal != dense[v]
        right[truth[v]] += dense[v] == truth[v]
        lost[truth[v]] += dense[v] == truth[v] != modal
        gained += dense[v] != truth[v] == modal
    assert report["vertices"] == labelled
    assert level["exemplars"] == pytest.approx(differing / labelled)
    assert (level["forgotten"], level["gained"]) == pytest.approx((sum(lost) / labelled, gained / labelled))
    assert level["forgotten_by_class"] == pytest.approx([n / sum(lost) for n in lost])
    assert level["rates"][:3] == pytest.approx([n / of for n, of in zip(lost[:3], right[:3])])
    assert level["rates"][3] is None, "a class without a vertex has no rate"
    assert report["frequency"] == pytest.approx([(truth == k).sum() / labelled for k in range(4)])
    assert any("absent" in line and "--" in line for line in as_lines(report))


def test_colours_tell_the_six_cases_apart():
    truth, dense, pruned = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 0, 2], [1, 0, 0], [-1, 0, 1]]).T
    expected = [KEPT, LOST, WON, OTHER, STILL_WRONG, UNLABELLED]
    np.testing.assert_array_equal(change_colors(dense, pruned, truth), expected)
    assert len(set(expected)) == 6


@pytest.fixture(scope="module")
def run(scene_folder):
    """An untrained network whose classifier is drawn so large that the labels vary."""
    spec = importlib.util.spec_from_file_location("vmnet_meshes", ROOT / "configs" / "vmnet_meshes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config("smoke")
    config.scenes = str(scene_folder)
    folder = SceneFolder(scene_folder)
    preprocessing = folder.check_params(["sheet_0"])
    state = build_state(config, len(folder.label_map.names))
    head = state.params["geodesic"]["head"]
    kernel = np.random.default_rng(0).normal(0, 3, head["kernel"].shape).astype(np.float32)
    params = state.params | {"geodesic": state.params["geodesic"] | {"head": head | {"kernel": kernel}}}
    hierarchy = HierarchyParams.from_dict(preprocessing)
    variables = {"params": params, "batch_stats": state.batch_stats}
    return TrainedRun(config, folder.label_map, hierarchy, preprocessing, "m", variables, 7)


def test_masks_take_all_kernels_but_the_classifiers(run):
    params = run.variables["params"]
    flat = flatten_dict(params)
    assert not any(is_prunable(path) for path in flat if "head" in path or "norm" in path[-2] or path[-1] != "kernel")
    total = sum(leaf.size for path, leaf in flat.items() if is_prunable(path))
    (pruned,) = pruned_params(PruningSweep(masks=1), params, 0.5, jax.random.key(0), is_prunable)
    pruned = flatten_dict(pruned)
    zeros = sum((np.asarray(leaf) == 0).sum() for path, leaf in pruned.items() if is_prunable(path))
    assert zeros / total == pytest.approx(0.5, abs=1e-4)
    for path, leaf in flat.items():
        assert is_prunable(path) or np.array_equal(pruned[path], leaf)


def test_the_command_leaves_report_chart_and_pages(run, scenes, tmp_path, monkeypatch):
    monkeypatch.setattr("vmnet_jax.commands.exemplars.load_run", lambda workdir, step: run)
    workdir = tmp_path
    report = run_exemplars(workdir, tmp_path / "out", PruningSweep((0.9, 1e-9), masks=1), pages=1)
    assert report == json.loads((tmp_path / "out" / "exemplars.json").read_text())
    nothing, much = report["levels"]
    assert nothing["exemplars"] == nothing["forgotten"] == 0, "one weight of thousands changes no label"
    assert nothing["figures"] == report["dense"]
    assert much["exemplars"] > 0.02
    known = {scene.name: scene for scene in scenes}
    assert report["vertices"] == sum((known[name].labels >= 0).sum() for name in report["scenes"])
    pages = [page.name for page in (tmp_path / "out" / "pages").iterdir()]
    assert pages == [f"{report['scenes'][0]}.html"]
    shares = [count_by_panel(tmp_path / "out" / "by_class.png", line_style(k)["color"], 1, 2)[0, 0] for k in range(2)]
    assert shares[1] > 10_000 > 10 * shares[0], "bars of what much pruning forgets, none of what no pruning does"
    with pytest.raises(UserError, match=r"--shown is 0\.7; the sparsities are 0\.5"):
        run_exemplars(workdir, tmp_path / "out", PruningSweep((0.5,)), shown=0.7)
    with pytest.raises(UserError, match="masks 0"):
        run_exemplars(workdir, tmp_path / "out", PruningSweep(masks=0))

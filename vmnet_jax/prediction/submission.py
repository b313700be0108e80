"""The zip of a submission to the ScanNet benchmark (3D semantic label), written."""

import pathlib
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np

from preprocess.labels.label_map import scannet20
from trainlib.core.errors import UserError
from trainlib.core.files import atomic_file, remove_leftovers
from trainlib.core.outputs import require_file
from trainlib.core.progress import ItemProgress
from vmnet_jax.data.scenes import SceneFolder
from vmnet_jax.prediction.predictor import Predictor
from vmnet_jax.prediction.submission_check import check_submission, require_scenes


def write_submission(
    predictor: Predictor, scenes: SceneFolder, names: Sequence[str], output: str | pathlib.Path, votes: int = 8
) -> None:
    """Predicts the scenes and writes the checked zip.

    Args:
        predictor: of `vmnet_jax.load`; its label map must have NYU40 ids, as ScanNet's has.
        scenes: folder of the preprocessed test scenes.
        names: scenes of the benchmark's list.
        output: the zip; it appears whole and checked, or not at all.
        votes: random placements whose logits are summed.

    Raises:
        UserError: scenes that are missing or were preprocessed with other parameters than the network's, a label map of
            other ids, or what `check_submission` finds.
    """
    allowed = set(scannet20().ids)
    foreign = sorted(set(predictor.label_map.ids) - allowed)
    if foreign:
        raise UserError(f"the network's label map has the ids {foreign}, which are none of ScanNet's {sorted(allowed)}")
    require_scenes(scenes.path, scenes.names, names)
    scenes.check_params(names, predictor.run.params, labels=False)
    output = require_file(output)
    ids, counts = np.asarray(predictor.label_map.ids), {}
    remove_leftovers(output)
    with atomic_file(output) as file:
        zipped = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        with zipped as archive, ItemProgress(len(names), "scene") as progress:
            for name, classes in _classes(predictor, scenes, names, votes):
                counts[name] = len(classes)
                archive.writestr(f"{name}.txt", "".join(f"{i}\n" for i in ids[classes]))
                progress.advance()
        file.flush()
        check_submission(file.name, counts)


def _classes(
    predictor: Predictor, scenes: SceneFolder, names: Sequence[str], votes: int
) -> Iterator[tuple[str, np.ndarray]]:
    """(name, class int32 [V] of every vertex), reading N scenes at once if the network sees N together."""
    for start in range(0, len(names), predictor.scenes_per_batch):
        part = names[start : start + predictor.scenes_per_batch]
        predictions = predictor.predict_scenes([scenes(name) for name in part], votes)
        yield from ((name, found.classes) for name, found in zip(part, predictions, strict=True))

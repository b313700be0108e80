"""The zip of a submission to the ScanNet benchmark (3D semantic label), written and checked."""

import pathlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from preprocess.labels.label_map import scannet20
from trainlib.core.errors import UserError
from trainlib.core.files import atomic_file, remove_leftovers
from trainlib.core.outputs import require_file
from trainlib.core.progress import ItemProgress
from vmnet_jax.data.scenes import SceneFolder
from vmnet_jax.prediction.predictor import Predictor

_LISTED = 8


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
    require_scenes(scenes, names)
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


def require_scenes(scenes: SceneFolder, names: Sequence[str]) -> None:
    """Raises UserError if a folder lacks listed scenes."""
    missing = sorted(set(names).difference(scenes.names))
    if missing:
        raise UserError(
            f"{len(missing)} of {len(names)} listed scenes are not in {scenes.path}: {_some(missing)}. A submission "
            "needs them all: run python -m preprocess.scenes on their meshes."
        )


def check_submission(path: str | pathlib.Path, counts: Mapping[str, int]) -> None:
    """Checks a zip as the benchmark's server would.

    Args:
        path: the zip.
        counts: number of vertices by scene of the list.

    Raises:
        UserError: every finding: scenes missing or too many, folders, lines that are not an NYU40 id of the benchmark,
            wrong numbers of lines.
    """
    allowed = set(scannet20().ids)
    expected = {f"{name}.txt": count for name, count in counts.items()}
    found: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [info.filename for info in archive.infolist()]
            folders = [entry for entry in entries if "/" in entry or "\\" in entry]
            if folders:
                found.append(f"entries in folders, the files must be at the top: {_some(folders)}")
            missing = sorted(expected.keys() - set(entries))
            if missing:
                found.append(f"{len(missing)} scenes of the list are missing: {_some(missing)}")
            extra = sorted(set(entries) - expected.keys() - set(folders))
            if extra:
                found.append(f"{len(extra)} entries are none of the list's: {_some(extra)}")
            if len(set(entries)) < len(entries):
                found.append("an entry is repeated")
            for name, count in expected.items():
                if name in entries:
                    found += _findings(name, archive.read(name), count, allowed)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: no readable zip file: {error}") from error
    if found:
        raise UserError(f"{path}: not a valid submission:\n" + "\n".join(f"  {line}" for line in found))


def _findings(name: str, content: bytes, count: int, allowed: set[int]) -> list[str]:
    """What is wrong with one scene's file."""
    lines = content.split()
    found = [f"{name}: {len(lines)} lines for {count} vertices"] if len(lines) != count else []
    for number, line in enumerate(lines, 1):
        if not line.isdigit() or int(line) not in allowed:
            found.append(f"{name}, line {number}: {line.decode(errors='replace')!r} is none of {sorted(allowed)}")
            break
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (" ..." if len(names) > _LISTED else "")

"""The colours of a prediction: by class, by error, by confidence; and what they mean."""

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps

from preprocess.labels.label_map import LabelMap
from preprocess.mesh.mesh import Mesh

UNLABELLED = (90, 90, 90)
RIGHT, WRONG = (200, 200, 200), (210, 40, 40)


def prediction_layers(
    mesh: Mesh, classes: np.ndarray, probability: np.ndarray, label_map: LabelMap
) -> dict[str, np.ndarray]:
    """Name -> uint8 [V, 3]: input colour, prediction, ground truth, errors and confidence, as far as there are.

    Args:
        classes: int32 [V], predicted, indices into the label map.
        probability: float32 [V], of that class.
    """
    palette = np.asarray(label_map.colors, np.uint8)
    layers = {} if mesh.colors is None else {"input colour": mesh.colors}
    layers["prediction"] = palette[classes]
    truth = _truth(mesh, label_map)
    if truth is not None:
        labelled = (truth >= 0)[:, None]
        wrong = (truth != classes)[:, None]
        layers["ground truth"] = np.where(labelled, palette[truth], UNLABELLED).astype(np.uint8)
        layers["errors"] = np.where(labelled, np.where(wrong, WRONG, RIGHT), UNLABELLED).astype(np.uint8)
    layers["confidence"] = confidence_colors(probability)
    return layers


def layer_keys(layers: Mapping[str, np.ndarray]) -> dict[str, list[tuple[str, tuple[int, int, int]]]]:
    """(meaning, colour) for `layers` (uint8 [V, 3]) whose colours do not mean classes."""
    errors = [("right", RIGHT), ("wrong", WRONG), ("unlabelled", UNLABELLED)]
    shares = np.linspace(0, 1, 5)
    confidence = [(f"{100 * p:.0f} %", tuple(c.tolist())) for p, c in zip(shares, confidence_colors(shares))]
    keys = {"errors": errors, "confidence": confidence}
    return {name: keys[name] for name in layers if name in keys}


def confidence_colors(probability: np.ndarray) -> np.ndarray:
    """uint8 [V, 3] of probabilities [V]: dark blue at 0 to yellow at 1 (cividis: read by any colour vision)."""
    return colormaps["cividis"](np.clip(probability, 0, 1), bytes=True)[:, :3]


def class_legend(mesh: Mesh, classes: np.ndarray, label_map: LabelMap) -> list[tuple[str, tuple, int]]:
    """(name, colour, vertices predicted) of the classes that are predicted (int32 [V]) or true, most frequent first."""
    counts, truth = np.bincount(classes, minlength=len(label_map.names)), _truth(mesh, label_map)
    true = np.zeros(0, np.int32) if truth is None else truth
    found = [k for k in np.argsort(-counts, kind="stable") if counts[k] or k in true]
    legend = [(label_map.names[k], tuple(label_map.colors[k]), int(counts[k])) for k in found]
    unlabelled = int((true < 0).sum())
    return [*legend, ("unlabelled", UNLABELLED, unlabelled)] if unlabelled else legend


def _truth(mesh: Mesh, label_map: LabelMap) -> np.ndarray | None:
    """Classes int32 [V] of the mesh's labels, -1 unlabelled; None without any label of the map."""
    if mesh.labels is None:
        return None
    truth, _ = label_map.to_classes(mesh.labels)
    return truth if (truth >= 0).any() else None

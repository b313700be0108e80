"""The colours of a prediction: by class, by error, by confidence; and what they mean."""

from collections.abc import Mapping

import numpy as np

from preprocess.labels.label_map import LabelMap
from preprocess.mesh.mesh import Mesh

UNLABELLED = (90, 90, 90)
RIGHT, WRONG = (200, 200, 200), (210, 40, 40)
_CIVIDIS = bytes.fromhex(
    "00224d00234f00235000245200255400265500265700275900285b00285c00295e002a60002a62002b64002c66002c67002d69002e6b"
    "002f6d002f6f0030700030700031700031700432700833700b33700e347011356f14366f16366f18376f1a386f1c386e1d396e1f3a6e"
    "213b6e223b6e243c6e253d6d273d6d283e6d2a3f6d2b3f6d2c406d2e416c2f426c30426c31436c32446c34446c35456c36466c37466c"
    "38476c39486c3a486b3b496b3d4a6b3e4b6b3f4b6b404c6b414d6b424d6b434e6b444f6b454f6b46506b47516b48516b49526b4a536b"
    "4b546c4c546c4d556c4e566c4e566c4f576c50586c51586c52596c535a6c545a6c555b6d565c6d575d6d585d6d595e6d595f6d5a5f6d"
    "5b606e5c616e5d616e5e626e5f636e60646e61646f61656f62666f63666f64676f656870666970676970686a70686b71696b716a6c71"
    "6b6d716c6d726d6e726e6f726e70736f7073707173717273727374737374747475747575757575767676777776787876797877797977"
    "7a7a777b7b777c7b787d7c787e7d787f7d78807e78817f788280788380788481788582788583788683788784788885788986788a8678"
    "8b87788c88788d89788e89788f8a77908b77918c77928c77938d77948e77958f77968f779790769891769992769a93769b93769c9476"
    "9d95759e96759f9675a09775a19874a29974a39a74a49a74a59b73a69c73a79d73a89e73a99e72aa9f72aba072aca171ada271aea271"
    "afa370b0a470b1a570b2a66fb3a66fb4a76fb5a86eb6a96eb7aa6db8ab6db9ab6dbaac6cbbad6cbcae6bbdaf6bbeb06abfb06ac1b169"
    "c2b269c3b368c4b468c5b567c6b567c7b666c8b765c9b865cab964cbba64ccbb63cdbc62cebc62cfbd61d0be60d2bf60d3c05fd4c15e"
    "d5c25ed6c35dd7c35cd8c45bd9c55adac65adbc759dcc858dec957dfca56e0cb55e1cc54e2cc53e3cd52e4ce51e5cf50e6d04fe8d14e"
    "e9d24dead34cebd44becd54aedd648eed747efd846f1d944f2da43f3da42f4db40f5dc3ff6dd3df8de3bf9df3afae038fbe136fde234"
    "fde333fde534fde636fde737"
)
"""Red, green and blue of the 256 colours of cividis (Nunez, Anderton and Renslow, PLOS ONE 2018)."""


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
    shade = (256 * np.clip(probability, 0, 1)).astype(np.int64).clip(max=255)
    return np.frombuffer(_CIVIDIS, np.uint8).reshape(256, 3)[shade]


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

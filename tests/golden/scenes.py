"""Scene files that preprocessing makes of the sheets of `meshes`."""

import pathlib

from preprocess.scenes import main
from tests.golden.meshes import LABEL_MAP, height_field, ply_text

TRAIN, VAL = 4, 1


def build(folder: pathlib.Path) -> pathlib.Path:
    """Preprocesses TRAIN + VAL sheets; the folder with their scene files, train.txt, val.txt and label_map.csv."""
    source, output = folder / "meshes", folder / "scenes"
    source.mkdir()
    names = [f"sheet_{seed}" for seed in range(TRAIN + VAL)]
    for seed, name in enumerate(names):
        (source / f"{name}.ply").write_text(ply_text(height_field(seed)))
    label_map = folder / "label_map.csv"
    label_map.write_text(LABEL_MAP)
    sizes = ["--cells=0.12,0.25", "--voxel_size=0.1", "--ring_width=8"]
    flags = [f"--input={source}", f"--output={output}", f"--label_map={label_map}", "--workers=0"]
    if main([*flags, *sizes]):
        raise RuntimeError("the sheets were not preprocessed")
    (output / "train.txt").write_text("\n".join(names[:TRAIN]) + "\n")
    (output / "val.txt").write_text("\n".join(names[TRAIN:]) + "\n")
    return output

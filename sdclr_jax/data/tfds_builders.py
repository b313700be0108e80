"""CIFAR-10-LT and CIFAR-100-LT as TensorFlow Datasets builders that neither need nor use TensorFlow.

Importing this module registers `cifar_lt/cifar10` and `cifar_lt/cifar100`. What `python -m sdclr_jax.tfds_prepare` or
`prepare_cifar` has written is read by

    source = tfds.builder_from_directory(folder).as_data_source("train")
    source[7]["image"], source[7]["label"], source[7]["id"]  # uint8 [32, 32, 3], the 8th of the official array

The lists of the long tail are ids in `builder.info.metadata["lists"]`: "full", "val", "split1_D_i" and so on.
"""

import io
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from sdclr_jax.data.cifar import RELEASES, read_cifar, require_prepared
from sdclr_jax.data.longtail import KINDS, CifarLists, LongTail, cifar_lists
from trainlib.core.errors import UserError

SPLITS = (1, 2, 3, 4, 5)


class CifarLt(tfds.core.GeneratorBasedBuilder):
    """All images of CIFAR once, in the official order, and the lists of five long-tailed splits as ids."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = tuple(
        tfds.core.BuilderConfig(name=name, description=f"{name} with the lists of five long-tailed splits")
        for name in RELEASES
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    The official binary version from https://www.cs.toronto.edu/~kriz/cifar.html: cifar-10-binary.tar.gz, whole or
    unpacked, or cifar-100-binary.tar.gz. The authors' .npy lists may be next to it; without them lists are drawn.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=RELEASES[self.builder_config.name].num_classes),
            "id": tfds.features.Scalar(np.int64, doc="place in the official array of the split"),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="CIFAR with the lists of SDCLR (Jiang et al., ICML 2021): D_i, D_b, S_b, full and val.",
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        name, folder = self.builder_config.name, pathlib.Path(dl_manager.manual_dir)
        images, labels, test_images, test_labels = read_cifar(name, folder)
        self.info.metadata["lists"] = {key: ids.tolist() for key, ids in make_lists(name, labels, folder).items()}
        return {
            "train": self._generate_examples(images, labels),
            "test": self._generate_examples(test_images, test_labels),
        }

    def _generate_examples(self, images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, dict]]:
        """Key and features in order; images as PNG, so that no encoder of TensorFlow's is asked for."""
        for k, (image, label) in enumerate(zip(images, labels)):
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG")
            yield k, {"image": png.getvalue(), "label": int(label), "id": k}


def make_lists(name: str, labels: np.ndarray, folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Ids of `full` and `val` and of each split's `splitN_D_i`, `splitN_D_b` and `splitN_S_b`.

    Args:
        name: "cifar10" or "cifar100".
        labels: int [50000].
        folder: which may hold the authors' .npy lists; if not, lists are drawn.
    """
    given = folder if any(folder.glob("*IdxList.npy")) else None
    lists = {split: cifar_lists(name, labels, given, split) for split in SPLITS}
    named = {"full": lists[1].full, "val": lists[1].val}
    for split, drawn in lists.items():
        named |= {f"split{split}_{kind}": ids for kind, ids in zip(KINDS, drawn.long_tail)}
    return named


def prepare_cifar(name: str, source: str | pathlib.Path, output: str | pathlib.Path) -> pathlib.Path:
    """Writes `output`/cifar_lt/NAME/1.0.0 as array_record and returns that folder; an existing one stays.

    Args:
        name: "cifar10" or "cifar100".
        source: folder with the official files and perhaps the authors' lists.
        output: TensorFlow Datasets' `data_dir`.
    """
    builder = CifarLt(config=name, data_dir=str(output), file_format="array_record")
    manual = tfds.download.DownloadConfig(manual_dir=str(source))
    builder.download_and_prepare(download_config=manual, file_format="array_record")
    return pathlib.Path(builder.data_path)


def read_prepared(folder: str | pathlib.Path, split: int) -> tuple[tuple[np.ndarray, ...], CifarLists]:
    """A prepared folder as images, labels, test images, test labels (as `cifar.read_cifar` gives them) and lists.

    Images are uint8 [N, H, W, 3], labels int32 [N]. Raises UserError if the folder is not such a data set.
    """
    folder = require_prepared(folder)
    builder = tfds.builder_from_directory(str(folder))
    arrays = []
    for part in ("train", "test"):
        source = builder.as_data_source(part, decoders={"image": tfds.decode.SkipDecoding()})
        records = source.__getitems__(range(len(source)))
        arrays += [np.stack([np.asarray(Image.open(io.BytesIO(record["image"]))) for record in records])]
        arrays += [np.array([record["label"] for record in records], np.int32)]
    named = {name: np.array(ids, np.int64) for name, ids in builder.info.metadata["lists"].items()}
    if f"split{split}_{KINDS[0]}" not in named:
        raise UserError(f"{folder} has no split {split}; it has {', '.join(map(str, SPLITS))}")
    long_tail = LongTail(*(named[f"split{split}_{kind}"] for kind in KINDS))
    return tuple(arrays), CifarLists(long_tail, named["full"], named["val"])

"""CIFAR-10 and CIFAR-100 from the official binary files, each checked before it is used."""

import hashlib
import io
import pathlib
import tarfile
from typing import NamedTuple

import numpy as np

from trainlib.core.errors import UserError


class Release(NamedTuple):
    """An official binary release (https://www.cs.toronto.edu/~kriz/cifar.html).

    Attributes:
        train, test: names of the files in `folder` of the archive.
        sha256: file name -> checksum; empty where only the archive's is published.
        label_bytes: bytes before the pixels of each image; the last of them is the class.
        class_names: of the C classes, as in the release's list of labels.
    """

    archive: str
    archive_md5: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    sha256: dict[str, str]
    label_bytes: int
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)


_CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""

RELEASES = {
    "cifar10": Release(
        archive="cifar-10-binary.tar.gz",
        archive_md5="c32a1d4ab5d03f1284b67883e8d87530",
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{k}.bin" for k in range(1, 6)),
        test=("test_batch.bin",),
        sha256={
            "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
            "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        },
        label_bytes=1,
        class_names=tuple(_CIFAR10_NAMES.split()),
    ),
    "cifar100": Release(
        archive="cifar-100-binary.tar.gz",
        archive_md5="03b5dce01913d631647c71ecec9e9cb8",
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        sha256={},
        label_bytes=2,
        class_names=tuple(_CIFAR100_NAMES.split()),
    ),
}

SIDE = 32


def parse_records(raw: bytes, label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """The records of a binary file: labels, then 1,024 bytes each of red, green and blue.

    Returns:
        images uint8 [N, 32, 32, 3] and classes int32 [N], the last of the label bytes (CIFAR-100: the fine label).
    """
    size = label_bytes + 3 * SIDE * SIDE
    if not raw or len(raw) % size:
        raise ValueError(f"{len(raw)} bytes are not a whole number of records of {size} bytes")
    records = np.frombuffer(raw, np.uint8).reshape(-1, size)
    images = records[:, label_bytes:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, label_bytes - 1].astype(np.int32)


def require_release(name: str, path: str | pathlib.Path) -> pathlib.Path:
    """The place of a release's files. Raises ValueError if there is nothing."""
    release, path = RELEASES[name], pathlib.Path(path).expanduser()
    if not path.exists():
        raise ValueError(f"there is no {path}; config.data_path names {release.folder}/ or {release.archive}")
    return path


def require_prepared(folder: str | pathlib.Path) -> pathlib.Path:
    """The folder. Raises UserError if it is not a data set that `python -m sdclr_jax.tfds_prepare` has written."""
    folder = pathlib.Path(folder)
    if not (folder / "dataset_info.json").is_file():
        raise UserError(
            f"{folder} is not a prepared data set: it has no dataset_info.json. config.data_path names the folder that "
            "python -m sdclr_jax.tfds_prepare printed"
        )
    return folder


def read_cifar(name: str, path: str | pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Reads "cifar10" or "cifar100", in the order of the official arrays, which the authors' lists index.

    The path is the official .tar.gz, or for CIFAR-10 also the unpacked folder; or the folder that holds either.
    Raises ValueError if a file is missing or its checksum differs, or if it is the release for Python or Matlab.

    Returns:
        training images uint8 [50000, 32, 32, 3], labels int32 [50000], test images [10000, 32, 32, 3], labels [10000].
    """
    release, path = RELEASES[name], require_release(name, path)
    if (path / release.archive).is_file():
        path = path / release.archive
    elif not (path / release.folder).is_dir():
        _refuse_other_version(release, path)
    files = _archive_files(release, path) if path.is_file() else _folder_files(release, path)
    parts = [
        [parse_records(files[name], release.label_bytes) for name in part] for part in (release.train, release.test)
    ]
    return tuple(np.concatenate(arrays) for part in parts for arrays in zip(*part))


def _refuse_other_version(release: Release, path: pathlib.Path) -> None:
    """ValueError where a path is, or a folder holds, the release for Python (as torchvision keeps it) or for Matlab."""
    stem = release.archive.removesuffix("-binary.tar.gz")
    folders = {"python": (f"{stem}-batches-py", f"{stem}-python"), "Matlab": (f"{stem}-batches-mat", f"{stem}-matlab")}
    inside = {"python": ("data_batch_1", "batches.meta", "train", "meta"), "Matlab": ("data_batch_1.mat", "train.mat")}
    for version, names in folders.items():
        for found in (path, *(path / name for name in names), path / f"{names[1]}.tar.gz"):
            is_it = found.name.removesuffix(".gz").removesuffix(".tar") in names and found.exists()
            if is_it or (found.is_dir() and any((found / name).is_file() for name in inside[version])):
                raise ValueError(
                    f"{found} is the {version} version, which is not read. Take the binary version, {release.archive}, "
                    "from https://www.cs.toronto.edu/~kriz/cifar.html"
                )


def _archive_files(release: Release, path: pathlib.Path) -> dict[str, bytes]:
    data = path.read_bytes()
    found = hashlib.md5(data).hexdigest()
    if found != release.archive_md5:
        other = next((name for name, one in RELEASES.items() if one.archive_md5 == found), None)
        if other:
            raise ValueError(f"{path} is the archive of {other}; config.dataset needs {release.archive}")
        raise ValueError(
            f"{path}: md5 {found}, the official archive has {release.archive_md5}; take the binary version, "
            f"{release.archive}, and download it again if it is that"
        )
    names = (*release.train, *release.test)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {name: archive.extractfile(f"{release.folder}/{name}").read() for name in names}


def _folder_files(release: Release, path: pathlib.Path) -> dict[str, bytes]:
    if not release.sha256:
        raise ValueError(
            f"{path}: give the official archive {release.archive}, whose checksum is published, or the folder it is in"
        )
    folder = path / release.folder if (path / release.folder).is_dir() else path
    files = {}
    for name, expected in release.sha256.items():
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}; config.data_path names {release.folder}/ or its .tar.gz")
        files[name] = (folder / name).read_bytes()
        found = hashlib.sha256(files[name]).hexdigest()
        if found != expected:
            raise ValueError(f"{folder / name}: sha256 {found} instead of {expected}; the file is damaged")
    return files

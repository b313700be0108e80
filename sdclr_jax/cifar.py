"""CIFAR-10 and CIFAR-100 from the official binary files, each checked before it is used."""

import hashlib
import io
import pathlib
import tarfile
from typing import NamedTuple

import numpy as np


class Release(NamedTuple):
    """An official binary release (https://www.cs.toronto.edu/~kriz/cifar.html).

    Attributes:
      archive: its file name.
      archive_md5: of the archive, as the site gives it.
      folder: inside the archive.
      train, test: file names.
      sha256: file name -> checksum; empty where only the archive's is published.
      label_bytes: bytes before the pixels of each image; the last of them is the class.
      num_classes: C.
    """

    archive: str
    archive_md5: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    sha256: dict[str, str]
    label_bytes: int
    num_classes: int


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
        num_classes=10,
    ),
    "cifar100": Release(
        archive="cifar-100-binary.tar.gz",
        archive_md5="03b5dce01913d631647c71ecec9e9cb8",
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        sha256={},
        label_bytes=2,
        num_classes=100,
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
        raise ValueError(f"{len(raw)} bytes are no whole number of records of {size} bytes")
    records = np.frombuffer(raw, np.uint8).reshape(-1, size)
    images = records[:, label_bytes:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, label_bytes - 1].astype(np.int32)


def read_cifar(name: str, path: str | pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Reads a release, in the order of the official arrays, which the authors' lists index.

    Args:
      name: "cifar10" or "cifar100".
      path: the official .tar.gz, or for CIFAR-10 also the unpacked folder; or the folder that holds either.

    Returns:
      training images uint8 [50000, 32, 32, 3], labels int32 [50000], test images [10000, 32, 32, 3], labels [10000].

    Raises:
      ValueError: a file is missing or its checksum differs.
    """
    release, path = RELEASES[name], pathlib.Path(path)
    if (path / release.archive).is_file():
        path = path / release.archive
    read = _archive_files if path.is_file() else _folder_files
    files = read(release, path)
    parts = [parse_records(files[file], release.label_bytes) for file in (*release.train, *release.test)]
    split = len(release.train)
    return (
        *(np.concatenate(arrays) for arrays in zip(*parts[:split])),
        *(np.concatenate(arrays) for arrays in zip(*parts[split:])),
    )


def _archive_files(release: Release, path: pathlib.Path) -> dict[str, bytes]:
    data = path.read_bytes()
    found = hashlib.md5(data).hexdigest()
    if found != release.archive_md5:
        raise ValueError(
            f"{path}: md5 {found}, the official archive has {release.archive_md5}; take the binary version, and "
            "download it anew if it is that"
        )
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            name: archive.extractfile(f"{release.folder}/{name}").read() for name in (*release.train, *release.test)
        }


def _folder_files(release: Release, path: pathlib.Path) -> dict[str, bytes]:
    if not release.sha256:
        raise ValueError(f"{path}: give the official archive {release.archive}, whose checksum is published")
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

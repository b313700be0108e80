"""Row 29 at the doors of SDCLR: archives that reach outside, pickles, and index lists with objects. Nothing in them is
executed and nothing is written outside. The payload makes a folder."""

import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from sdclr_jax.data import cifar
from sdclr_jax.data.longtail import read_list

CONFIG = "--config=configs/sdclr_cifar10_lt.py:smoke"


class Payload:
    """Unpickling it makes the folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture
def trap(tmp_path):
    """The folder that no test may make; the payload works where it is let."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "proof")))
    assert (tmp_path / "proof").is_dir()
    yield tmp_path / "trap"
    assert not (tmp_path / "trap").exists()


def hostile_archive(path, trap):
    """The right name; members outside, links outside, pickles under the names of the data."""
    with tarfile.open(path, "w:gz") as tar:
        for name in (f"../{trap.name}", str(trap)):
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        for name in cifar.RELEASES["cifar10"].train[:2]:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member)
        content = pickle.dumps(Payload(trap))
        member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_3.bin")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return path


def test_29_an_archive_that_is_not_the_official_one_is_not_opened(run, tmp_path, trap):
    archive = hostile_archive(tmp_path / "cifar-10-binary.tar.gz", trap)
    code, program = run("sdclr_jax.train", CONFIG, f"--config.data_path={archive}", f"--workdir={tmp_path / 'run'}")
    assert code == 1
    assert f"error: {archive}: md5" in program.err
    assert "Traceback" not in program.err


def test_29_nor_does_its_content_reach_outside_if_the_checksum_were_right(tmp_path, trap, monkeypatch):
    """Links are not followed, nothing is unpacked, and a pickle is only bytes of the wrong number."""
    archive = hostile_archive(tmp_path / "cifar-10-binary.tar.gz", trap)
    release = cifar.RELEASES["cifar10"]
    monkeypatch.setattr(cifar.hashlib, "md5", lambda data: type("Sum", (), {"hexdigest": lambda: release.archive_md5}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((ValueError, KeyError)):
        cifar.read_cifar("cifar10", archive)
    assert sorted(tmp_path.rglob("*")) == before


def test_29_the_pickled_release_is_refused(run, tmp_path, trap):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "data_batch_2", "test_batch", "batches.meta", "data_batch_1.bin"):
        (folder / name).write_bytes(pickle.dumps(Payload(trap)))
    code, program = run("sdclr_jax.train", CONFIG, f"--config.data_path={folder}", f"--workdir={tmp_path / 'run'}")
    assert code == 1
    assert f"error: {folder} is the python version" in program.err


@pytest.mark.parametrize("kind", ["objects", "pickle"])
def test_29_a_list_with_objects_is_refused_by_name(tmp_path, trap, kind):
    path = tmp_path / "split1_D_i.npy"
    if kind == "objects":
        np.save(path, np.array([Payload(trap)], object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Payload(trap)))
    with pytest.raises(ValueError, match=r"split1_D_i\.npy") as refusal:
        read_list(path, 100)
    assert "allow_pickle" not in str(refusal.value)

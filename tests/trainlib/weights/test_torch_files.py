"""Weight files: the three formats, what is refused, and that nothing of a file is ever executed."""

import ast
import contextlib
import io
import json
import os
import pathlib
import pickle
import pickletools
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from trainlib.core.errors import UserError
from trainlib.weights.torch_files import STREAM_MAGIC, _state_dict_pickle, read_tensors, write_tensors
from trainlib.weights.torch_pickle import TensorView, UnsafePickle, read_pickle

RNG = np.random.default_rng(0)
TENSORS = {
    "a.weight": RNG.normal(size=(3, 4)).astype(np.float32),
    "a.bias": RNG.normal(size=4),
    "count": np.asarray(7, np.int64),
    "half": RNG.normal(size=(2, 1, 5)).astype(np.float16),
    "brain": np.arange(6, dtype=ml_dtypes.bfloat16).reshape(2, 3),
    "flags": np.array([True, False]),
    "none": np.zeros((0, 3), np.float32),
}


def assert_same(found, expected=TENSORS):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def stream(tensors, path):
    """The format before PyTorch 1.6: five pickles, then the storages."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2}}
    parts = [pickle.dumps(value, 2) for value in (STREAM_MAGIC, 1001, system)]
    parts += [_state_dict_pickle(tensors), pickle.dumps([str(k) for k in range(len(tensors))], 2)]
    for array in tensors.values():
        parts.append(struct.pack("<q", array.size) + array.tobytes())
    path.write_bytes(b"".join(parts))


def safetensors(tensors, path):
    kinds = {"f4": "F32", "f8": "F64", "i8": "I64", "f2": "F16", "b1": "BOOL", "V2": "BF16"}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        end = len(data) + array.nbytes
        header[name] = {
            "dtype": kinds[array.dtype.str[1:]],
            "shape": list(array.shape),
            "data_offsets": [len(data), end],
        }
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_written_files_come_back(tmp_path):
    write_tensors(tmp_path / "w.pt", TENSORS)
    assert_same(read_tensors(tmp_path / "w.pt"))


def test_the_older_stream(tmp_path):
    stream(TENSORS, tmp_path / "s.pt")
    assert_same(read_tensors(tmp_path / "s.pt"))


def test_safetensors(tmp_path):
    safetensors(TENSORS, tmp_path / "t.safetensors")
    assert_same(read_tensors(tmp_path / "t.safetensors"))


def test_the_prefix_of_distributed_training_is_dropped(tmp_path):
    write_tensors(tmp_path / "w.pt", {f"module.{name}": array for name, array in TENSORS.items()})
    assert_same(read_tensors(tmp_path / "w.pt"))


def test_pytorch_reads_and_writes_the_same(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    write_tensors(tmp_path / "w.pt", TENSORS)
    loaded = torch.load(tmp_path / "w.pt", weights_only=True)
    checkpoint = {"epoch": 3, "state_dict": loaded, "lr": [0.1]}
    for name, zipped in (("zip.pt", True), ("stream.pt", False)):
        torch.save(checkpoint, tmp_path / name, _use_new_zipfile_serialization=zipped)
        assert_same(read_tensors(tmp_path / name))


class Payload:
    """Would make a file if it were unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def zip_with(content, path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize("form", ["zip", "stream"])
def test_29_a_payload_is_refused_and_never_runs(tmp_path, protocol, form):
    mark, path = tmp_path / "ran", tmp_path / "bad.pt"
    content = pickle.dumps({"a": Payload(mark)}, protocol)
    if form == "zip":
        zip_with(content, path)
    else:
        path.write_bytes(pickle.dumps(STREAM_MAGIC, 2) + content)
    with pytest.raises(UserError, match=r"bad\.pt.*(mkdir|opcode)"):
        read_tensors(path)
    assert not mark.exists()
    pickle.loads(content)
    assert mark.exists(), "the payload is a real one"


def test_29_other_doors_of_a_pickle_are_shut(tmp_path):
    for content in (
        b"\x80\x02cbuiltins\neval\n(U\x011tR.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.".replace(b"_rebuild_tensor_v2", b"_import_dotted_name"),
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"(i__main__\nPayload\n.",
        b"\x80\x02ctorch\nFloatStorage\n)\x81.",
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00aK\x01sb}b.",
        pickle.dumps(object(), 2),
    ):
        zip_with(content, tmp_path / "x.pt")
        with pytest.raises(UserError):
            read_tensors(tmp_path / "x.pt")


def test_nothing_imports_the_unpickler():
    folder = pathlib.Path(__file__).parents[3] / "trainlib" / "weights"
    for name in ("torch_pickle.py", "torch_files.py"):
        for node in ast.walk(ast.parse((folder / name).read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle":
                assert node.attr.isupper(), f"{name} uses pickle.{node.attr}"


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (4, 4), (4, 1)),
        (9, (4,), (1,)),
        (-1, (4,), (1,)),
        (0, (1000000,), (0,)),
        (0, (4,), (-1,)),
        (0, (2,), (8, 1)),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(offset, shape, strides):
    view = TensorView(None, offset, shape, strides)
    with pytest.raises(UnsafePickle):
        view.read(np.zeros(12, np.float32))


def test_strided_views_are_read_as_they_lie():
    numbers = np.arange(12, dtype=np.float32)
    view = TensorView(None, 1, (3, 2), (1, 4))
    np.testing.assert_array_equal(view.read(numbers), numbers[1:9].reshape(2, 4)[:, :3].T)


def test_damage_anywhere_is_a_clear_error(tmp_path):
    write_tensors(tmp_path / "w.pt", TENSORS)
    whole, path = (tmp_path / "w.pt").read_bytes(), tmp_path / "d.pt"
    rng = np.random.default_rng(1)
    for trial in range(300):
        data = bytearray(whole)
        if trial % 3 == 0:
            data = data[: rng.integers(len(data))]
        else:
            for place in rng.integers(0, len(data), 1 + trial % 4):
                data[place] = rng.integers(256)
        path.write_bytes(data)
        with contextlib.suppress(UserError):
            read_tensors(path)


def test_deep_and_repeated_trees_end(tmp_path):
    pairs = (b"(h%ch%ctq%c" % (k, k, k + 1) for k in range(200))
    zip_with(b"\x80\x02(]q\x00" + b"".join(pairs) + b"t.", tmp_path / "x.pt")
    with pytest.raises(UserError, match="no named tensors"):
        read_tensors(tmp_path / "x.pt")
    deep = b"\x80\x02" + b"(" * 50_000 + b"t" * 50_000 + b"."
    zip_with(deep, tmp_path / "x.pt")
    with pytest.raises(UserError):
        read_tensors(tmp_path / "x.pt")


def test_other_files_are_named_as_such(tmp_path):
    for content in (b"", b"<html>", b"\x80\x02K\x01.", struct.pack("<Q", 50) + b'{"a": 1}'):
        (tmp_path / "x.pt").write_bytes(content)
        with pytest.raises(UserError, match=r"x\.pt: "):
            read_tensors(tmp_path / "x.pt")
    with pytest.raises(UserError, match="cannot be read"):
        read_tensors(tmp_path / "absent.pt")


def test_a_compressed_entry_is_refused(tmp_path):
    write_tensors(tmp_path / "w.pt", TENSORS)
    with (
        zipfile.ZipFile(tmp_path / "w.pt") as old,
        zipfile.ZipFile(tmp_path / "c.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(UserError, match="compressed"):
        read_tensors(tmp_path / "c.pt")


def test_pickles_of_plain_values_agree_with_python():
    for value in ({"a": [1, 2.5, None, True], "b": (1, (2,), "x" * 300)}, [], 10**30, -5, {"n": {}}):
        for protocol in range(5):
            content = pickle.dumps(value, protocol)
            assert read_pickle(content) == value, pickletools.dis(content, io.StringIO())

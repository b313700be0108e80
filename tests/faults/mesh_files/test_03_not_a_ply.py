"""Row 3: what is no PLY is called so, with its first bytes; line ends of Windows are accepted."""

import numpy as np
import pytest

from preprocess.formats.readers import read_mesh
from tests.faults.meshes import built, ply_bytes, run_check, run_scenes, sheet, write_mesh


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html><body>404", "not a PLY: begins with '<!DOCTYPE html><html><body>404'"),
        (b"", "not a PLY: the file is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1",
            "not a PLY: begins with 'version https://git-lfs",
        ),
    ],
    ids=["html", "empty", "lfs"],
)
def test_03_not_a_ply(tmp_path, capsys, content, message):
    write_mesh(tmp_path / "meshes" / "a.ply")
    path = tmp_path / "meshes" / "b.ply"
    path.write_bytes(content)
    for status, said in (run_scenes(capsys, path.parent)[:2], run_check(capsys, path.parent)):
        assert status == 1
        assert message in said
        assert "copy or export it again" in said
    assert built(path.parent) == ["a"]


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_03_other_line_ends_before_binary_data(tmp_path, capsys, newline):
    content = ply_bytes(*sheet(), colors=None)
    start = content.index(b"end_header\n") + 11
    path = tmp_path / "a.ply"
    path.write_bytes(content[:start].replace(b"\n", newline) + content[start:])
    assert run_check(capsys, path)[0] == 0
    np.testing.assert_array_equal(read_mesh(path).vertices, sheet()[0])


def test_03_predict(odd_predictions):
    _, code, program, _ = odd_predictions
    assert code == 1
    assert "03_html.ply: not a PLY: begins with '<html>'" in program.err

"""Row 2: a header that claims more than the file holds is refused before memory is taken for it."""

import re

import numpy as np

from tests.faults.meshes import ply_bytes, run_process, sheet

READ = """
import pathlib, resource, sys
from preprocess.mesh.mesh import MeshError
from preprocess.formats.readers import read_mesh
small, small_ascii, *paths = map(pathlib.Path, sys.argv[1:])
read_mesh(small), read_mesh(small_ascii)  # compiles
for path in paths:
    now = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = now + 4 * path.stat().st_size + 2**26
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        read_mesh(path)
    except MeshError as error:
        print("refused:", error)
"""


def lies() -> dict[str, tuple[bytes, str]]:
    """{file name: (content, what is said of it)}; the larger ones have 30 MB."""
    whole, ascii_ = ply_bytes(*sheet()), ply_bytes(*sheet(), text=True)
    vertices = re.sub(rb"element vertex \d+", b"element vertex 1000000000", whole)
    faces = re.sub(rb"element face \d+", b"element face 1000000000", ascii_)
    longest = whole.replace(b"list uchar int", b"list uint int")
    start = longest.index(b"end_header\n") + 11 + 225 * 12
    head = b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
    head += b"property float z\nelement face 30000000\nproperty list uchar uchar vertex_indices\nend_header\n"
    rows = np.zeros(30_000_000, np.uint8)
    rows[:2], rows[-1] = [1, 0], 255  # 29,999,998 lists without an item, and the last one runs over the end
    return {
        "vertices.ply": (vertices, "element 'vertex' declares 1000000000 rows, but the file has room for 649"),
        "faces.ply": (faces, "element 'face' declares 1000000000 rows"),
        "list.ply": (longest[:start] + b"\xff" * 4000, "element 'face' declares 392 rows, but the file has room for 0"),
        "lists.ply": (head + bytes(12) + rows.tobytes(), "element 'face' declares 30000000 rows"),
        "ascii.ply": (faces.replace(b"1000000000", b"2100000") + b"3 0 1 2222222\n" * 2_000_000, "room for 2000392"),
        "digits.ply": (whole.replace(b"vertex 225", b"vertex " + b"9" * 6000), "line 3 of the PLY header"),
        "off.off": (b"OFF\n1000000000 1000000000 0\n0 0 0\n", "1000000000 vertices and 1000000000 faces declared"),
        "stl.stl": (bytes(80) + b"\xff\xff\xff\xff" + bytes(500), "a binary STL with 4294967295 triangles"),
    }


def test_02_lying_header(tmp_path):
    (tmp_path / "small.ply").write_bytes(ply_bytes(*sheet()))
    (tmp_path / "small_ascii.ply").write_bytes(ply_bytes(*sheet(), text=True))
    files = lies()
    for name, (content, _) in files.items():
        (tmp_path / name).write_bytes(content)
    done = run_process(
        "-c", READ, tmp_path / "small.ply", tmp_path / "small_ascii.ply", *(tmp_path / name for name in files)
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout.splitlines()
    assert len(said) == len(files)
    for line, (name, (_, message)) in zip(said, files.items()):
        assert line.startswith(f"refused: {tmp_path / name}: ")
        assert message in line

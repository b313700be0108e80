"""Damaged PLY files by number, and the loop that reads them: `main(folder, first, last)`, as a module of its own

  python -m tests.faults.mesh_files.ply_mutations FOLDER FIRST LAST

The loop runs under a limit on its memory, 4 x the largest file + 64 MiB above what it has when it begins, and each file
has a second. It prints one line a finding ("case 17: ...") and, last, how many files were refused and how many read.
"""

import pathlib
import re
import resource
import signal
import sys
import time

import numpy as np

from preprocess.formats.readers import read_mesh
from preprocess.mesh.mesh import MeshError
from tests.faults.meshes import nyu_labels, ply_bytes, shades, sheet

EXTRA = 64 * 2**20
NUMBERS = (b"0", b"1", b"2", b"3", b"255", b"65536", b"4294967295", b"1000000000", b"-1", b"9" * 19, b"1e9", b"nan")
WORDS = (b"list", b"uchar", b"char", b"int", b"uint", b"float", b"double", b"short", b"vertex", b"face", b"x", b"label")
WORDS += (b"ascii", b"binary_little_endian", b"binary_big_endian", b"element", b"property", b"end_header", b"comment")


def originals() -> list[bytes]:
    """Intact files: ASCII and binary, triangles and polygons, with and without colours and labels."""
    vertices, faces = sheet(6)
    polygons = [*faces[:20].tolist(), [0, 6, 7, 1], [8, 14, 20, 21, 15]]
    colors, labels = shades(vertices), nyu_labels(vertices)
    files = []
    for text in (False, True):
        files += [ply_bytes(vertices, faces, colors, labels, text), ply_bytes(vertices, polygons, None, None, text)]
        files.append(ply_bytes(vertices, faces, colors.astype("f4") / 255, None, text, "f8"))
    return files


ORIGINALS = originals()


def flip(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    """Bits of up to four bytes."""
    for place in rng.integers(len(content), size=rng.integers(1, 5)):
        content[place] ^= 1 << int(rng.integers(8))
    return content


def cut(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    """Truncated anywhere."""
    return content[: int(rng.integers(len(content)))]


def edit_header(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    """A word of the header replaced, a line doubled, removed or moved."""
    lines = bytes(content[:start]).split(b"\n")
    row, kind = int(rng.integers(len(lines))), rng.integers(4)
    if kind == 0:
        words = lines[row].split(b" ")
        words[rng.integers(len(words))] = [*WORDS, *NUMBERS][rng.integers(len(WORDS) + len(NUMBERS))]
        lines[row] = b" ".join(words)
    elif kind == 1:
        lines.insert(int(rng.integers(len(lines))), lines[row])
    elif kind == 2:
        del lines[row]
    else:
        lines.insert(int(rng.integers(len(lines))), lines.pop(row))
    return bytearray(b"\n".join(lines)) + content[start:]


def edit_count(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    """Another number of vertices or faces."""
    name = (b"vertex", b"face")[rng.integers(2)]
    nearby = str(int(rng.integers(100))).encode()
    count = (*NUMBERS, nearby, nearby, nearby)[rng.integers(len(NUMBERS) + 3)]
    return bytearray(re.sub(rb"element " + name + rb" \d+", b"element " + name + b" " + count, bytes(content)))


def edit_list(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    """Bytes or words of the second half of the data, where the faces are, replaced: lengths and indices."""
    place = int(rng.integers(start + (len(content) - start) // 2, len(content)))
    if b"ascii" in content[:30]:
        stop = content.find(b" ", place + 1)
        content[content.rfind(b"\n", 0, place) + 1 : max(stop, place)] = NUMBERS[rng.integers(len(NUMBERS))]
    else:
        content[place : place + 4] = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1])).to_bytes(4, "little")
    return content


def insert(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    """Noise, or a copy of another part, put in between."""
    place, source = rng.integers(len(content), size=2)
    length = int(rng.integers(1, 40))
    content[place:place] = (rng.bytes(length), bytes(content[source : source + length]))[rng.integers(2)]
    return content


def change_digit(content: bytearray, start: int, rng: np.random.Generator) -> bytearray:
    """One byte of the first part of the data, where the vertices are: another digit, or any byte in binary files."""
    place = int(rng.integers(start, start + 1 + (len(content) - start) // 3))
    if place < len(content) and (b"ascii" not in content[:30] or content[place : place + 1].isdigit()):
        content[place] = int(rng.choice(bytearray(b"0123456789"))) if b"ascii" in content[:30] else rng.integers(256)
    return content


MUTATIONS = (change_digit, change_digit, flip, cut, edit_header, edit_count, edit_list, insert)


def mutated(case: int) -> bytes:
    """The damaged file of that number: one or two mutations of an intact one."""
    rng = np.random.default_rng(case)
    content = bytearray(ORIGINALS[case % len(ORIGINALS)])
    for _ in range(rng.integers(1, 3)):
        start = max(content.find(b"end_header\n") + 11, 11)
        if len(content) > start:
            content = MUTATIONS[rng.integers(len(MUTATIONS))](content, start, rng)
    return bytes(content)


def check_valid(mesh) -> str:
    """What is wrong with a mesh that was accepted; "" if nothing is."""
    count = len(mesh.vertices)
    if not np.isfinite(mesh.vertices).all() or not np.isfinite(mesh.normals).all():
        return "numbers that are not finite"
    if not len(mesh.faces) or mesh.faces.min() < 0 or mesh.faces.max() >= count:
        return "faces out of range"
    columns = [column for column in (mesh.normals, mesh.colors, mesh.labels) if column is not None]
    return "" if all(len(column) == count for column in columns) else "columns of other lengths"


def check_case(path: pathlib.Path, repair: bool) -> tuple[str, str]:
    """("refused" or "read", what is wrong) of one file."""
    try:
        wrong = check_valid(read_mesh(path, repair=repair))
        return "read", wrong
    except MeshError as error:
        clear = error.file == str(path) and error.cause and error.remedy.endswith(".")
        return "refused", "" if clear else f"an unclear message: {error}"


def main(folder: pathlib.Path, first: int, last: int) -> None:
    """Reads the cases first to last - 1."""
    path = folder / "a.ply"
    for content in ORIGINALS:  # compiles
        path.write_bytes(content)
        assert check_case(path, False) == ("read", "")
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + 4 * 2 * max(map(len, ORIGINALS)) + EXTRA
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("10 seconds")))
    counts = {"read": 0, "refused": 0}
    for case in range(first, last):
        path.write_bytes(mutated(case))
        begin = time.process_time()
        signal.alarm(10)
        try:
            kind, wrong = check_case(path, repair=bool(case & 64))
            counts[kind] += 1
        except Exception as error:  # every other one is a finding
            wrong = f"{type(error).__name__}: {error}"
        signal.alarm(0)
        if time.process_time() - begin > 1:
            wrong += f" {time.process_time() - begin:.1f} s"
        if wrong:
            print(f"case {case}: {wrong}")
    print(f"{counts['refused']} refused, {counts['read']} read")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

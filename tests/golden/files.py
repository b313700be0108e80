"""Golden files: where they are, how they are read and written, and the machine that they are compared on."""

import hashlib
import json
import os
import pathlib
import platform
import zipfile
from collections.abc import Mapping

import jax
import jaxlib
import numpy as np

FOLDER = pathlib.Path(__file__).parent / "stored"
ROOT = pathlib.Path(__file__).parents[2]


def read_json(name: str) -> dict:
    """The content of a golden JSON file."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def write_json(name: str, content: object) -> None:
    """Makes a golden JSON file."""
    (FOLDER / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def unpack(name: str, folder: pathlib.Path) -> None:
    """The files of a golden archive into a folder."""
    with zipfile.ZipFile(FOLDER / name) as archive:
        archive.extractall(folder)


def read_archive(name: str) -> dict[str, bytes]:
    """{file name: content} of a golden archive."""
    with zipfile.ZipFile(FOLDER / name) as archive:
        return {entry: archive.read(entry) for entry in archive.namelist()}


def pack(folder: pathlib.Path, name: str) -> None:
    """Makes a golden archive of all files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    pack_contents({str(path.relative_to(folder)): path.read_bytes() for path in files}, name)


def pack_contents(contents: Mapping[str, bytes], name: str) -> None:
    """Makes a golden archive of {file name: content}, without times: the same contents give the same bytes."""
    with zipfile.ZipFile(FOLDER / name, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, content in contents.items():
            archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)


def digest(array: np.ndarray) -> str:
    """The first 16 digits of the SHA-256 of an array's type, shape and bytes."""
    head = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def machine() -> dict[str, str]:
    """What the last bits of a result depend on: processor, its instructions, how many, and the libraries."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {
        "processor": facts.get("model name", platform.processor()),
        "instructions": hashlib.sha256(facts.get("flags", platform.machine()).encode()).hexdigest()[:16],
        "processors": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "libraries": f"jax {jax.__version__}, jaxlib {jaxlib.__version__}, numpy {np.__version__}",
    }

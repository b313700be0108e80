"""How far the coarse surfaces are from the input, against three simplifiers: python -m benchmarks.rows.distance

Three levels, each simplified from the one before, with optimal placement; the peers are given targets of faces until
they have the project's number of vertices. The figure is the mean distance of 100,000 points, drawn from the input by
area, to the coarse surface (found by Open3D for all sides alike). A peer that stays more than 2 % above the number of
vertices is shown, but not compared: its mesh is finer.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks import peers
from benchmarks.harness.command import main
from benchmarks.harness.pairs import BenchmarkError, Side, Workers
from benchmarks.harness.rows import start
from benchmarks.harness.tables import exchange
from benchmarks.harness.worker import Case
from benchmarks.rows.quadric import MESHES, RATIO, mesh_of
from kernels.host.simplify.decimate import decimate

LIBRARIES = ("numba", "numpy")
LEVELS = 3
PEERS = ("fast-simplification", "open3d", "pyfqmr")
SLACK = 0.02


@dataclass(frozen=True)
class DistanceRow:
    """A record for each level of one mesh; `ratio` is the best peer's distance over the project's, 1 is asked for."""

    mesh: str
    required: float = 1.0
    aim: float | None = None

    @property
    def name(self) -> str:
        """The name without the level."""
        return f"mean distance, optimal placement, {MESHES[self.mesh]}"

    def measure(self, workers: Workers, data: str, rounds: int | None = None) -> list[dict]:
        """One call of each side; nothing is timed."""
        if not peers.is_ready():
            raise BenchmarkError(f"{self.name}: the judge is missing; run python -m benchmarks.peers")
        sides = (
            Side("benchmarks.rows.distance", "levels", {"mesh": self.mesh}),
            Side("benchmarks.peer.distance", "distances", peer=True),
        )
        processes, versions, notes = start(workers, list(sides), data)
        found = processes[1].outputs()
        return [self._record(level, found, versions, notes) for level in range(LEVELS)]

    def _record(self, level: int, found: dict[str, np.ndarray], versions: dict, notes: dict) -> dict:
        millimetres = {who: float(1e3 * found[f"{who}.distance"][level]) for who in ("project", *PEERS)}
        vertices = {who: int(found[f"{who}.vertices"][level]) for who in ("project", *PEERS)}
        equal = [who for who in PEERS if vertices[who] <= (1 + SLACK) * vertices["project"]]
        best = min(equal or PEERS, key=millimetres.get)
        ratio = millimetres[best] / millimetres["project"]
        return {
            "row": f"{self.name}, level {level + 1}",
            "kind": "distance",
            "unit": "mm",
            "peer": f"{best}, best of {len(equal)} that reach the size" if equal else f"{best}, which stays finer",
            "rounds": 1,
            "quoted": False,
            "ours": millimetres["project"],
            "theirs": millimetres[best],
            "ratio": ratio,
            "required": self.required,
            "aim": self.aim,
            "met": ratio >= self.required if equal else None,
            "versions": versions,
            "notes": {**notes, "millimetres": millimetres, "vertices": vertices},
        }


ROWS = (DistanceRow("room"), DistanceRow("smooth"))


def levels(data: str, mesh: str) -> Case:
    """Three levels with optimal placement; the peers' side finds them, and the input, in a file."""
    vertices, faces = mesh_of(mesh, data)

    def call():
        arrays, current = {"vertices": vertices, "faces": faces}, (vertices, faces)
        for level in range(LEVELS):
            coarse = decimate(*current, round(RATIO * len(current[1])), placement="optimal")
            current = coarse.vertices, coarse.faces
            arrays |= {f"vertices.{level}": coarse.vertices, f"faces.{level}": coarse.faces}
        exchange("distance", **arrays)

    return Case(call, lambda _: {}, {"input_vertices": len(vertices), "input_faces": len(faces)})


if __name__ == "__main__":
    main(ROWS, __doc__)

"""One step of quadric edge collapse with its trace against fast-simplification: python -m benchmarks.rows.quadric"""

import numpy as np

from benchmarks.data import apartment, read_room, smooth_scan
from benchmarks.harness.command import main
from benchmarks.harness.pairs import BenchmarkError, Side
from benchmarks.harness.rows import Arrays, TimeRow
from benchmarks.harness.tables import exchange
from benchmarks.harness.worker import Case
from kernels.host.mesh.clustering import cluster_vertices
from kernels.host.simplify.decimate import decimate

LIBRARIES = ("numba", "numpy")
RATIO = 0.3
CELLS = (0.02, 0.04)
MESHES = {
    "room": "the room after clustering",
    "smooth": "a smooth scan",
    "apartment": "an apartment of a million vertices",
}


def mesh_of(name: str, data: str) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] and faces [F, 3] of an input; a scan's vertices at one place are welded."""
    if name == "smooth":
        return smooth_scan()
    if name == "apartment":
        scan = apartment()
        return scan.vertices, scan.faces
    room = read_room(data)
    vertices, faces = room.vertices, room.faces
    for cell in CELLS:
        vertices, faces, _ = cluster_vertices(vertices, faces, cell)
    return vertices, faces


def check(ours: Arrays, theirs: Arrays) -> dict:
    """Both reach the target to one part in a hundred, and the project's trace is total and surjective."""
    target = int(ours["target"])
    counts = {name: len(side["faces"]) for name, side in (("project", ours), ("peer", theirs))}
    if not all(count <= 1.01 * target for count in counts.values()):
        raise BenchmarkError(f"quadric step: {counts} faces, wanted {target}")
    if not np.array_equal(np.unique(ours["trace"]), np.arange(len(ours["vertices"]))):
        raise BenchmarkError("quadric step: the project's trace misses coarse vertices")
    lost = float((theirs["trace"] < 0).mean())
    return {"faces": counts, "target": target, "share_of_vertices_that_the_peer_does_not_trace": lost}


def _row(mesh: str, rounds: int) -> TimeRow:
    return TimeRow(
        f"quadric step to 30 % with trace, {MESHES[mesh]}",
        "fast-simplification with trace",
        Side("benchmarks.rows.quadric", "step", {"mesh": mesh}),
        Side("benchmarks.peer.quadric", "step", peer=True),
        1.5,
        2.0,
        quoted={"room": 0.244, "smooth": 0.343, "apartment": 5.79}[mesh],
        check=check,
        rounds=rounds,
    )


ROWS = (_row("room", 7), _row("smooth", 7), _row("apartment", 3))


def step(data: str, mesh: str) -> Case:
    """Half-edge placement, rounds."""
    vertices, faces = mesh_of(mesh, data)
    target = round(RATIO * len(faces))
    exchange("quadric", vertices=vertices, faces=faces, target=target)

    def outputs(coarse):
        return {"vertices": coarse.vertices, "faces": coarse.faces, "trace": coarse.trace, "target": np.array(target)}

    notes = {"vertices": len(vertices), "faces": len(faces)}
    return Case(lambda: decimate(vertices, faces, target), outputs, notes)


if __name__ == "__main__":
    main(ROWS, __doc__)

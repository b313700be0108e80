"""Three levels by each simplifier at the project's numbers of vertices, and the distances of all of them."""

from collections.abc import Callable

import fast_simplification
import numpy as np
import open3d
import pyfqmr

from benchmarks.harness.worker import Case, read_exchange
from benchmarks.peer.clustering import as_mesh

LIBRARIES = ("fast-simplification", "open3d", "pyfqmr")
LEVELS = 3
POINTS = 100_000
TRIES = 5
EXACT, SLACK = 0.005, 0.02
AGGRESSIVENESS = (3, 5, 7)
"""The first is the most careful; the others are for sizes that it does not reach."""

Surface = tuple[np.ndarray, np.ndarray]


def by_open3d(mesh: Surface, faces: int, _: int) -> Surface:
    """Quadric edge collapse with the default weight of boundaries; it knows no aggressiveness."""
    coarse = as_mesh(*mesh).simplify_quadric_decimation(faces)
    return np.asarray(coarse.vertices), np.asarray(coarse.triangles)


def by_pyfqmr(mesh: Surface, faces: int, aggressiveness: int) -> Surface:
    """Quadric edge collapse that takes bolder thresholds from round to round."""
    simplifier = pyfqmr.Simplify()
    simplifier.setMesh(*mesh)
    simplifier.simplify_mesh(target_count=faces, aggressiveness=aggressiveness, verbose=False)
    vertices, triangles, _ = simplifier.getMesh()
    return np.asarray(vertices, np.float64), np.asarray(triangles, np.int32)


SIMPLIFIERS: dict[str, Callable[[Surface, int, int], Surface]] = {
    "fast-simplification": lambda mesh, faces, agg: fast_simplification.simplify(*mesh, target_count=faces, agg=agg),
    "open3d": by_open3d,
    "pyfqmr": by_pyfqmr,
}
"""From a mesh, the number of faces to reach, and the aggressiveness, whose default is 7."""


def compact(mesh: Surface) -> Surface:
    """Drops the vertices that no face uses: they are not part of the surface and do not count."""
    used, faces = np.unique(mesh[1], return_inverse=True)
    return mesh[0][used], faces.reshape(-1, 3).astype(np.int32)


def to_size(simplify: Callable[[Surface, int, int], Surface], mesh: Surface, vertices: int) -> Surface:
    """The mesh nearest to the target number of vertices, by the most careful setting that comes near."""
    best = None
    for aggressiveness in AGGRESSIVENESS:
        target = 2 * vertices
        for _ in range(TRIES):
            coarse = compact(simplify(mesh, max(int(target), 4), aggressiveness))
            excess = len(coarse[0]) / vertices - 1
            if best is None or abs(excess) < abs(best[0]):
                best = excess, coarse
            if abs(excess) <= EXACT:
                return coarse
            if excess > 0 and len(coarse[1]) > 1.02 * target:
                break
            target = min(target / (1 + excess), len(mesh[1]))
        if best[0] <= SLACK:
            break
    return best[1]


def mean_distance(points: np.ndarray, mesh: Surface) -> float:
    """Mean distance of float64 points [N, 3] to a surface."""
    scene = open3d.t.geometry.RaycastingScene()
    centre = points.mean(0)
    scene.add_triangles((mesh[0] - centre).astype(np.float32), mesh[1].astype(np.uint32))
    return float(scene.compute_distance((points - centre).astype(np.float32)).numpy().mean())


def sample(mesh: Surface, rng: np.random.Generator) -> np.ndarray:
    """`POINTS` points float64 [POINTS, 3] on the faces, uniform by area."""
    corners = mesh[0][mesh[1]]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = corners[rng.choice(len(areas), POINTS, p=areas / areas.sum())]
    return np.einsum("nk,nkc->nc", rng.dirichlet((1, 1, 1), POINTS), chosen)


def distances(data: str) -> Case:
    """SIDE.distance and SIDE.vertices by level, for the project and every simplifier."""
    arrays = read_exchange("distance")

    def call():
        whole = arrays["vertices"], arrays["faces"]
        chains = {"project": [compact((arrays[f"vertices.{i}"], arrays[f"faces.{i}"])) for i in range(LEVELS)]}
        for name, simplify in SIMPLIFIERS.items():
            chain = [compact(whole)]
            for ours in chains["project"]:
                chain.append(to_size(simplify, chain[-1], len(ours[0])))
            chains[name] = chain[1:]
        points = sample(whole, np.random.default_rng(0))
        return {
            f"{name}.{what}": np.array([measure(mesh) for mesh in chain])
            for name, chain in chains.items()
            for what, measure in (("distance", lambda m: mean_distance(points, m)), ("vertices", lambda m: len(m[0])))
        }

    return Case(call, lambda found: found)

"""How often `--up=auto` is right: python -m benchmarks.up_axis MESHES [--workdir=DIR] [--fit]

MESHES is a folder of meshes with z up. Each counts in all six orientations, in which the estimate is the same but for
the names of the axes. --workdir: a trained network takes part where the surface is not sure. --fit: prints the weights
of the cues that fit these meshes, and how often they are right on parts that were kept out of the fit.
"""

import argparse

import numpy as np
from scipy.optimize import minimize

from preprocess.formats.files import find_meshes
from preprocess.formats.readers import read_mesh
from preprocess.mesh.up_axis import CUES, IMPLAUSIBLE, up_cues
from vmnet_jax.prediction.predictor import load
from vmnet_jax.prediction.upright import needs_network, with_network

PENALTY = 1e-3
FOLDS = 6


def fit_weights(cues: np.ndarray) -> np.ndarray:
    """Weights float64 [C] of a logit with a small quadratic penalty; `cues` float64 [N, 6, C], the first axis up."""
    scale = cues.reshape(-1, cues.shape[-1]).std(axis=0) + 1e-9
    scaled = cues / scale

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = scaled @ weights
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances = shifted / shifted.sum(axis=1, keepdims=True)
        slope = np.einsum("na,nac->nc", chances, scaled) - scaled[:, 0]
        return -np.log(chances[:, 0]).mean() + PENALTY * weights @ weights, slope.mean(axis=0) + 2 * PENALTY * weights

    return minimize(loss, np.zeros(cues.shape[-1]), jac=True).x / scale


def main(arguments: argparse.Namespace) -> None:
    """Prints shares, or weights."""
    meshes = [(path, read_mesh(path)) for path in find_meshes(arguments.meshes)]
    if arguments.fit:
        cues = np.array([up_cues(mesh.vertices, mesh.faces, mesh.colors)[0] for _, mesh in meshes])
        part = np.arange(len(cues)) * FOLDS // len(cues)
        right = [(cues[part == k] @ fit_weights(cues[part != k])).argmax(axis=1) == 0 for k in np.unique(part)]
        print("  ".join(f"{name} {weight:.1f}" for name, weight in zip(CUES, fit_weights(cues))))
        print(f"{np.concatenate(right).mean():.1%} right in {FOLDS} parts kept out of the fit")
        return
    predictor = load(arguments.workdir) if arguments.workdir else None
    first, told, warned = [], [], []
    for path, mesh in meshes:
        estimate = mesh.up_estimate
        if predictor is not None and needs_network(estimate, predictor.run.config.rotation):
            estimate = with_network(predictor, mesh, estimate)
        first.append(estimate.best == "z")
        told.append(estimate.told)
        warned.append(told[-1] and estimate.probabilities[0] < IMPLAUSIBLE)
        if not first[-1]:
            print(f"{path}: {estimate.best} {estimate.sure:.0%}, z {estimate.probabilities[0]:.0%}")
    first, told = np.array(first), np.array(told)
    print(
        f"{6 * len(first)} decisions, {first.mean():.1%} right; {told.mean():.1%} told, {first[told].mean():.1%} right"
    )
    print(f"{np.mean(warned):.1%} of the meshes read with the right axis get a warning")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.up_axis", description=__doc__)
    parser.add_argument("meshes", help="folder of meshes with z up")
    parser.add_argument("--workdir", help="a trained network")
    parser.add_argument("--fit", action="store_true", help="fit the weights of the cues")
    main(parser.parse_args())

"""Generate thcli/faces/landmarks/topology.npz.

    python tools/make_topology.py MEDIAPIPE_WHEEL IMAGES thcli/faces/landmarks/topology.npz

It holds the triangles of the 468-point mesh, their signs on a frontal face, the mirror pairs, and
the points of the upper face. MEDIAPIPE_WHEEL: mediapipe 0.10.21 of any platform; its list of
connections is read, none of its code runs. IMAGES: a folder of near-frontal faces (ours: the 93
neutral ones of the London set, CC BY 4.0). The weights of blazeface and facemesh must be present.
"""

from __future__ import annotations

import ast
import re
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from thcli.core.geometry import fit_similarity, matrix_from_rotvec, rotvec_from_matrix
from thcli.core.options import RunOptions
from thcli.faces.detection import blazeface
from thcli.faces.landmarks import facemesh

CONNECTIONS = "mediapipe/python/solutions/face_mesh_connections.py"
# 3-cycles that are no triangles: their edges all have two triangles already.
NOT_TRIANGLES = {(49, 64, 129), (279, 294, 358)}
ITERATIONS = 6
NOSE_BASE = 2
Numbers = npt.NDArray[np.int64]
Points = npt.NDArray[np.float64]


def edges_of(wheel: Path) -> set[tuple[int, int]]:
    """Read the undirected edges of FACEMESH_TESSELATION, each as (lower, higher)."""
    source = zipfile.ZipFile(wheel).read(CONNECTIONS).decode()
    pairs = re.search(r"FACEMESH_TESSELATION = frozenset\((\[.*?\])\)", source, re.DOTALL)
    if pairs is None:
        raise SystemExit(f"{wheel} has no FACEMESH_TESSELATION.")
    return {(min(a, b), max(a, b)) for a, b in ast.literal_eval(pairs[1])}


def triangles_of(edges: set[tuple[int, int]]) -> Numbers:
    """Return the triangles, (852, 3), with one winding across every shared edge.

    They are all 3-cycles except `NOT_TRIANGLES`.
    """
    near: dict[int, set[int]] = {}
    for a, b in edges:
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    found = sorted(
        {(a, b, c) for a, b in edges for c in near[a] & near[b] if c > b} - NOT_TRIANGLES
    )
    sides: dict[tuple[int, int], list[int]] = {}
    for i, (a, b, c) in enumerate(found):
        for edge in ((a, b), (b, c), (a, c)):
            sides.setdefault(edge, []).append(i)
    wound: dict[int, tuple[int, int, int]] = {0: found[0]}
    pending = [0]
    while pending:
        a, b, c = wound[pending.pop()]
        for p, q in ((a, b), (b, c), (c, a)):
            for other in sides[min(p, q), max(p, q)]:
                if other not in wound:
                    (r,) = set(found[other]) - {p, q}
                    wound[other] = (q, p, r)  # the shared edge has the other direction
                    pending.append(other)
    return np.array([wound[i] for i in range(len(found))])


def frontal_mean(folder: Path) -> Points:
    """Return the mean of the folder's meshes, (468, 3), each aligned with the first."""
    detector, landmarker = blazeface.load(RunOptions()), facemesh.load(RunOptions())
    meshes: list[Points] = []
    for path in sorted(folder.glob("*neutral*")):
        image = cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGB)
        for face in detector.detect(image)[:1]:
            fitted = landmarker.fit(image, face)
            if fitted is not None and fitted.mesh is not None:
                mesh = fitted.mesh.astype(np.float64)
                scale, rotation, shift = fit_similarity(mesh, meshes[0] if meshes else mesh)
                meshes.append(scale * mesh @ rotation.T + shift)
    sys.stdout.write(f"{len(meshes)} meshes\n")
    return np.asarray(np.mean(meshes, 0))


def pairs_of(mesh: Points) -> tuple[Numbers, float]:
    """Match each point with its mirror point.

    Returns the pairs (468,), and the largest distance of a pair in outer eye distances.
    """
    mirrored = mesh * [-1, 1, 1]
    pair = np.arange(len(mesh))
    aligned = mirrored - mirrored.mean(0) + mesh.mean(0)
    distance = np.zeros((len(mesh), len(mesh)))
    for _ in range(ITERATIONS):
        distance = ((mesh[:, None] - aligned[None]) ** 2).sum(-1)
        pair = linear_sum_assignment(distance)[1]
        scale, rotation, shift = fit_similarity(mirrored[pair], mesh)
        aligned = scale * mirrored @ rotation.T + shift
    worst = float(np.sqrt(distance[np.arange(len(mesh)), pair].max()))
    return pair, worst / float(np.linalg.norm(mesh[33] - mesh[263]))


def frontal(mesh: Points, pair: Numbers) -> Points:
    """Remove the yaw and asymmetry of a mesh.

    The result is the mean with its mirror image, rotated back by half the angle between them.
    """
    mirrored = mesh[pair] * [-1, 1, 1]
    scale, rotation, shift = fit_similarity(mirrored, mesh)
    both = (mesh + scale * mirrored @ rotation.T + shift) / 2
    return np.asarray(both @ matrix_from_rotvec(rotvec_from_matrix(rotation) / 2))


def main(wheel: Path, images: Path, out: Path) -> None:
    triangles = triangles_of(edges_of(wheel))
    mesh = frontal_mean(images)
    pair, worst = pairs_of(mesh)
    mesh = frontal(mesh, pair)
    a, b, c = (mesh[triangles[:, i], :2] for i in range(3))
    signs = np.sign(
        (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    )
    # The normal of a frontal triangle points to the camera: its z is negative.
    if signs.sum() > 0:
        triangles, signs = triangles[:, [0, 2, 1]], -signs
    involution = bool((pair[pair] == np.arange(len(pair))).all())
    sys.stdout.write(
        f"{len(triangles)} triangles, {int((signs < 0).sum())} face the camera; "
        f"involution {involution}, worst pair {worst:.4f}\n"
    )
    np.savez_compressed(
        out,
        triangles=triangles.astype(np.int16),
        signs=signs.astype(np.int8),
        pairs=pair.astype(np.int16),
        upper=np.flatnonzero(mesh[:, 1] < mesh[NOSE_BASE, 1]).astype(np.int16),
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))

"""Topology of the mesh: a disc with three holes, mirror pairs, winding, groups."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.faces.landmarks import topology as topo
from thcli.motion.canonical import neutral


def edges() -> dict[tuple[int, int], int]:
    """Count the triangles at each undirected edge."""
    count: dict[tuple[int, int], int] = {}
    for a, b, c in topo.TRIANGLES.tolist():
        for edge in ((a, b), (b, c), (c, a)):
            key = (min(edge), max(edge))
            count[key] = count.get(key, 0) + 1
    return count


def test_the_mesh_is_a_disc_with_three_holes() -> None:
    shared = edges()
    assert len(topo.TRIANGLES) == 852
    assert set(np.unique(topo.TRIANGLES)) == set(range(468))
    assert 468 - len(shared) + len(topo.TRIANGLES) == -2
    assert set(shared.values()) == {1, 2}
    rim = {point for edge, triangles in shared.items() if triangles == 1 for point in edge}
    assert rim == set(np.concatenate([topo.OVAL, topo.LIPS_INNER, *topo.EYES]).tolist())


def test_neighbours_have_one_winding() -> None:
    directed = {
        (a, b)
        for t in topo.TRIANGLES.tolist()
        for a, b in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))
    }
    assert len(directed) == 3 * len(topo.TRIANGLES)


def test_frontal_signs_are_those_of_a_neutral_face() -> None:
    a, b, c = (neutral()[topo.TRIANGLES[:, i], :2] for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    certain = np.abs(area) > 0.05 * np.abs(area).mean()
    assert certain.mean() > 0.9
    assert (np.sign(area) == topo.FRONT_SIGNS)[certain].all()
    assert (topo.FRONT_SIGNS == -1).sum() == 850


def test_pairs_are_an_involution() -> None:
    assert (topo.PAIRS[topo.PAIRS] == np.arange(468)).all()
    for left, right in ((33, 263), (61, 291), (234, 454), (133, 362)):
        assert topo.PAIRS[left] == right
    middle = np.array([10, 152, 4, 6, 168, 0, 13, 14, 17])
    assert (topo.PAIRS[middle] == middle).all()
    assert np.abs(neutral()[topo.PAIRS] * [-1, 1, 1] - neutral()).max() < 0.06


@pytest.mark.parametrize("side", [0, 1])
def test_lid_columns_face_each_other(side: int) -> None:
    lid = topo.LIDS[side]
    y = neutral()[:, 1]
    for upper, lower in (
        (lid.upper3, lid.upper2),
        (lid.upper2, lid.upper),
        (lid.upper, lid.lower),
        (lid.lower, lid.lower2),
        (lid.lower2, lid.lower3),
    ):
        assert (y[upper[1:-1]] < y[lower[1:-1]]).all()
    assert set(lid.upper) | set(lid.lower) | set(topo.EYE_CORNERS[side]) == set(topo.EYES[side])
    mirrored = topo.PAIRS[lid.upper]
    assert (mirrored == topo.LIDS[1 - side].upper).all()


def test_lips_face_each_other() -> None:
    face = neutral()
    assert (np.diff(face[topo.LIPS.upper, 0]) > 0).all()
    assert np.abs(face[topo.LIPS.upper, 0] - face[topo.LIPS.lower, 0]).max() < 0.03
    assert set(topo.LIPS.upper) | set(topo.LIPS.lower) | {78, 308} == set(topo.LIPS_INNER)


@pytest.mark.parametrize(
    ("triangles", "ring", "count"),
    [(topo.EYE_TRIANGLES[:14], topo.EYES[0], 14), (topo.MOUTH_TRIANGLES, topo.LIPS_INNER, 18)],
)
def test_holes_are_filled_once(triangles: topo.Indices, ring: topo.Indices, count: int) -> None:
    angle = np.linspace(0, 2 * np.pi, len(ring), endpoint=False)
    place = np.zeros((468, 2))
    place[ring] = np.stack([-np.cos(angle), np.sin(angle)], -1)
    a, b, c = (place[triangles[:, i]] for i in range(3))
    area = (
        (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    ) / 2
    assert len(triangles) == count
    assert len(np.unique(np.sign(area))) == 1
    assert np.isclose(np.abs(area).sum(), len(ring) / 2 * np.sin(2 * np.pi / len(ring)))


def test_rigid_weights() -> None:
    assert np.isclose(topo.RIGID_WEIGHTS.sum(), 1)
    assert (topo.RIGID_WEIGHTS >= 0).all()
    assert not topo.RIGID_WEIGHTS[
        np.concatenate([topo.LIPS_INNER, topo.LIPS_OUTER, topo.CHIN])
    ].any()
    assert np.allclose(topo.RIGID_WEIGHTS, topo.RIGID_WEIGHTS[topo.PAIRS])

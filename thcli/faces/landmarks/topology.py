"""Topology of the 468-point face mesh: triangles, mirror pairs, rings, and rigid points.

"Left" and "right" are the image's for a person who faces the camera; the image's left eye (33/133)
comes first. Triangles, signs, pairs and the upper face are in topology.npz, made by
tools/make_topology.py; named groups of points are in mesh_groups.json. All index arrays are
read-only int32.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int32]

POINTS = 468


@cache
def _groups() -> dict[str, Any]:
    path = files("thcli.faces.landmarks").joinpath("mesh_groups.json")
    groups: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return groups


def index_group(name: str) -> Indices:
    """Return a named group of mesh_groups.json, (N,)."""
    return _read_only(_groups()[name])


def _read_only(values: npt.ArrayLike) -> Indices:
    out = np.array(values, np.int32)
    out.flags.writeable = False
    return out


def _table(name: str) -> Indices:
    with (
        as_file(files("thcli.faces.landmarks").joinpath("topology.npz")) as path,
        np.load(path, allow_pickle=False) as table,
    ):
        return _read_only(table[name])


def triangulate_ring(ring: npt.ArrayLike) -> Indices:
    """Fill a ring of N points with a strip of triangles, (N - 2, 3).

    The ring starts at one corner and runs along one side to the other corner and back; the strip
    joins facing points of the two sides.
    """
    points = np.asarray(ring, np.int32)
    low, high = 1, len(points) - 1
    triangles = [(points[0], points[low], points[high])]
    while high - low > 1:
        triangles.append((points[low], points[low + 1], points[high]))
        low += 1
        if high - low > 1:
            triangles.append((points[low], points[high - 1], points[high]))
            high -= 1
    return _read_only(triangles)


TRIANGLES = _table("triangles")
"""(852, 3): a disc with three holes (eyes and mouth), all of one winding."""
FRONT_SIGNS = _table("signs")
"""(852,) sign of each triangle's area, (b - a) x (c - a) in image axes, on a frontal face.

All are -1 except two triangles under the wings of the nose.
"""
PAIRS = _table("pairs")
"""(468,) mirror image of each point; points on the middle line are their own."""
UPPER = _table("upper")
"""Points above the base of the nose, which neither speech nor most smiles move far."""

OVAL = index_group("oval")
"""(36,) from the top of the forehead along the image's right side to the chin and back."""
CHIN = index_group("chin")
"""Part of the oval that the jaw moves."""
LIPS_INNER = index_group("lips_inner")
"""(20,) corner 78, the lower lip to corner 308, the upper lip back."""
LIPS_OUTER = index_group("lips_outer")
"""(20,) corner 61, the lower lip to corner 291, the upper lip back."""
MOUTH_CORNERS = (61, 291)
MOUTH_SKIN = index_group("mouth_skin")
"""Ring of skin around the mouth, for matching colours."""
CHEEKS = index_group("cheeks")
"""Skin of both cheeks below the eyes, where no beard grows."""
EYES = (index_group("eye_left"), index_group("eye_right"))
"""Two rings of 16: the outer corner, the lower lid to the inner corner, the upper lid back."""
BROWS = (index_group("brow_left"), index_group("brow_right"))
"""Two rings of 10: the upper edge (5 points) and the lower edge back."""
NOSE = index_group("nose")
"""(22,) ring from between the eyes down one flank to the wing, along the base and up again."""
EYE_CORNERS = ((33, 133), (362, 263))
"""Of each eye, from the image's left to its right."""
EYE_OUTER = (33, 263)
"""Outer eye corners; their distance (IOD) is the unit of many measures."""

EYE_TRIANGLES = np.concatenate([triangulate_ring(EYES[0]), triangulate_ring(EYES[1])])
"""(28, 3) triangles that fill the eye holes."""
MOUTH_TRIANGLES = triangulate_ring(LIPS_INNER)
"""(18, 3) triangles that fill the mouth."""


@dataclass(frozen=True, slots=True)
class FacingLips:
    """Facing points of the inner lips, (9,) each, from the image's left to its right."""

    upper: Indices
    lower: Indices


LIPS = FacingLips(index_group("lips_upper_row"), index_group("lips_lower_row"))


@dataclass(frozen=True, slots=True)
class LidColumns:
    """Columns of one eye's lids, (7,) each, outer side first.

    Rims, and two rings of skin behind.
    """

    upper: Indices
    lower: Indices
    upper2: Indices
    lower2: Indices
    upper3: Indices
    lower3: Indices


def _lid(side: str) -> LidColumns:
    rows = ("upper", "lower", "upper2", "lower2", "upper3", "lower3")
    return LidColumns(*(index_group(f"lid_{side}_{row}") for row in rows))


LIDS = (_lid("left"), _lid("right"))


def _rigid_weights() -> npt.NDArray[np.float64]:
    weights = np.zeros(POINTS)
    for point, weight in _groups()["rigid_weights"].items():
        weights[int(point)] = weight
    weights /= weights.sum()
    weights.flags.writeable = False
    return weights


RIGID_WEIGHTS = _rigid_weights()
"""(468,) float64 with sum 1: weight of each point in fits of the head pose.

0 for jaw, lips and brows.
"""

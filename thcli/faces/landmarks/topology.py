"""The 468-point face mesh: its triangles, left-right pairs, rings and the points that do not move with the expression.

"Left" and "right" are the picture's for a person who faces the camera; the picture's left eye (33/133) comes first. The
triangles, signs, pairs and the upper face stand in topology.npz, made by tools/make_topology.py.
All index arrays are read-only int32.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int32]

POINTS = 468


def _ids(text: str) -> Indices:
    values = np.array(text.split(), np.int32)
    values.flags.writeable = False
    return values


def _table(name: str) -> Indices:
    with (
        as_file(files("thcli.faces.landmarks").joinpath("topology.npz")) as path,
        np.load(path, allow_pickle=False) as table,
    ):
        values = np.asarray(table[name], np.int32)
    values.flags.writeable = False
    return values


def fan(ring: npt.ArrayLike) -> Indices:
    """(N - 2, 3) triangles that fill a ring of N points whose two halves face each other (a strip, not a star).

    The ring starts at one corner and runs along one side to the other corner and back; the strip joins facing points.
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
    out = np.array(triangles, np.int32)
    out.flags.writeable = False
    return out


TRIANGLES = _table("triangles")
"""(852, 3): a disc with three holes (the eyes, the mouth), all wound alike."""
FRONT_SIGNS = _table("signs")
"""(852,) the sign of each triangle's area, (b - a) x (c - a) in picture axes, on a frontal face: -1 but for two under the nose wings."""
PAIRS = _table("pairs")
"""(468,) the mirror image of each point; points on the middle line are their own."""
UPPER = _table("upper")
"""The points above the base of the nose: what neither speech nor most smiles move far."""

OVAL = _ids(
    "10 338 297 332 284 251 389 356 454 323 361 288 397 365 379 378 400 377 152 148 176 149 150 136 172 58 132 93 234 127 162 21 54 103 67 109"
)
"""(36,) from the top of the forehead along the picture's right side to the chin and back."""
CHIN = _ids("172 136 150 149 176 148 152 377 400 378 379 365 397")
"""The part of the oval that the jaw moves."""
LIPS_INNER = _ids("78 95 88 178 87 14 317 402 318 324 308 415 310 311 312 13 82 81 80 191")
"""(20,) corner 78, the lower lip to corner 308, the upper lip back."""
LIPS_OUTER = _ids("61 146 91 181 84 17 314 405 321 375 291 409 270 269 267 0 37 39 40 185")
"""(20,) corner 61, the lower lip to corner 291, the upper lip back."""
MOUTH_CORNERS = (61, 291)
MOUTH_SKIN = _ids("57 186 92 165 167 164 393 391 322 410 287 273 335 406 313 18 83 182 106 43")
"""A ring of skin around the mouth, for matching colours."""
EYES = (
    _ids("33 7 163 144 145 153 154 155 133 173 157 158 159 160 161 246"),
    _ids("263 249 390 373 374 380 381 382 362 398 384 385 386 387 388 466"),
)
"""Two rings of 16: the outer corner, the lower lid to the inner corner, the upper lid back."""
EYE_CORNERS = ((33, 133), (362, 263))
"""Of each eye, from the picture's left to its right."""
EYE_OUTER = (33, 263)
"""Their distance (IOD) is the unit of many figures."""

EYE_TRIANGLES = np.concatenate([fan(EYES[0]), fan(EYES[1])])
"""(28, 3) fill the eye holes."""
MOUTH_TRIANGLES = fan(LIPS_INNER)
"""(18, 3) fill the mouth."""


@dataclass(frozen=True, slots=True)
class Lips:
    """Facing points of the inner lips, (9,) each, from the picture's left to its right."""

    upper: Indices
    lower: Indices


LIPS = Lips(_ids("191 80 81 82 13 312 311 310 415"), _ids("95 88 178 87 14 317 402 318 324"))


@dataclass(frozen=True, slots=True)
class Lid:
    """The columns of one eye's lids, (7,) each, outer side first: the rims, and the two rings of skin behind each."""

    upper: Indices
    lower: Indices
    upper2: Indices
    lower2: Indices
    upper3: Indices
    lower3: Indices


LIDS = (
    Lid(
        _ids("246 161 160 159 158 157 173"),
        _ids("7 163 144 145 153 154 155"),
        _ids("247 30 29 27 28 56 190"),
        _ids("25 110 24 23 22 26 112"),
        _ids("113 225 224 223 222 221 189"),
        _ids("31 228 229 230 231 232 233"),
    ),
    Lid(
        _ids("466 388 387 386 385 384 398"),
        _ids("249 390 373 374 380 381 382"),
        _ids("467 260 259 257 258 286 414"),
        _ids("255 339 254 253 252 256 341"),
        _ids("342 445 444 443 442 441 413"),
        _ids("261 448 449 450 451 452 453"),
    ),
)

_RIGID = {
    0.07: "4",
    0.06: "33 133 263 362",
    0.05: "6 168 129 358",
    0.03: "197 195 5 9 8",
    0.025: "198 420",
    0.02: "10 151 121 350 143 372",
    0.015: "119 348",
    0.01: "117 346 67 297 54 284",
    0.008: "127 356 234 454 21 251",
}


def _rigid_weights() -> npt.NDArray[np.float64]:
    weights = np.zeros(POINTS)
    for weight, points in _RIGID.items():
        weights[_ids(points)] = weight
    weights /= weights.sum()
    weights.flags.writeable = False
    return weights


RIGID_WEIGHTS = _rigid_weights()
"""(468,) float64 with sum 1: how much each point counts when a head's pose is fitted; 0 for jaw, lips and brows."""

"""A synthetic face with the regions that a parser sees of it, to draw on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.geometry import matrix_from_angles
from thcli.core.types import Array32, Face, Image
from thcli.editors.drawn.painter import ATTRIBUTES, SIDE, DrawnPainter
from thcli.faces.landmarks.topology import EYES, LIPS_INNER, LIPS_OUTER, OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.polygon import polygon_coverage
from thcli.motion.canonical import neutral

SKIN, HAIR, BROW, LIP = (176, 140, 122), (90, 88, 94), (84, 66, 58), (168, 96, 96)
KEYS = tuple("hair#8a2be2" if name == "hair" else name for name in ATTRIBUTES)
HAIR_NAMES = ("hair#8a2be2", "blond", "brown_hair", "black_hair", "gray_hair", "red_hair")
PAINTER = DrawnPainter()


@cache
def make_face(yaw: float = 0.0) -> tuple[Image, Face, Array32]:
    """Return a crop of a synthetic face turned by `yaw` degrees, its mesh and regions (19, 512,
    512).
    """
    mesh = 140 * neutral() @ matrix_from_angles([0.0, yaw, 0.0]).T + (256, 230, 0)
    size = (SIDE, SIDE)
    plane = mesh[:, :2]
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    head = (((x - 256) / 150) ** 2 + ((y - 180) / 150) ** 2 < 1).astype(np.float32)
    face = polygon_coverage(cv2.convexHull(plane[OVAL].astype(np.float32))[:, 0], size)
    parts = {"hair": head * (1 - face), "skin": face}
    brows = (
        polygon_coverage(plane[[70, 63, 105, 66, 107, 55, 65, 52, 53, 46]], size),
        polygon_coverage(plane[[300, 293, 334, 296, 336, 285, 295, 282, 283, 276]], size),
    )
    for name, mask in (
        ("r_brow", brows[0]),
        ("l_brow", brows[1]),
        ("r_eye", polygon_coverage(plane[EYES[0]], size)),
        ("l_eye", polygon_coverage(plane[EYES[1]], size)),
        ("u_lip", polygon_coverage(plane[LIPS_OUTER], size)),
        ("mouth", polygon_coverage(plane[LIPS_INNER], size)),
    ):
        parts = {own: share * (1 - mask) for own, share in parts.items()} | {name: mask}
    regions = np.zeros((len(CLASSES), *size), np.float32)
    for name, share in parts.items():
        regions[class_number(name)] = share
    regions[0] = 1 - regions.sum(0)
    noise = np.random.default_rng(3).normal(0, 2, (SIDE, SIDE, 1))
    tones = np.zeros((len(CLASSES), 3)) + 110
    for name, tone in (
        ("skin", SKIN),
        ("hair", HAIR),
        ("r_brow", BROW),
        ("l_brow", BROW),
        ("u_lip", LIP),
        ("r_eye", (210, 205, 200)),
        ("l_eye", (210, 205, 200)),
        ("mouth", (90, 40, 40)),
    ):
        tones[class_number(name)] = tone
    crop = np.einsum("khw,kc->hwc", regions, tones) + noise
    box = np.concatenate([plane.min(0), plane.max(0)]).astype(np.float32)
    return (
        np.clip(crop, 0, 255).astype(np.uint8),
        Face(box, 1.0, mesh=mesh.astype(np.float32)),
        regions,
    )


def render(strengths: dict[str, float], yaw: float = 0.0, regions: Array32 | None = None) -> Image:
    crop, face, own = make_face(yaw)
    planes = own if regions is None else regions
    look = PAINTER.measure_appearance([crop], [face], own[None])[0]
    return paint([crop], [face], planes[None], look, strengths)[0]


def paint(
    crops: Sequence[Image],
    faces: Sequence[Face],
    regions: Array32,
    look: Array32,
    strengths: dict[str, float],
) -> list[Image]:
    painted = PAINTER.paint(crops, faces, regions, PAINTER.prepare(look, strengths))
    return [one.image for one in painted]


def max_change(
    strengths: dict[str, float], yaw: float = 0.0, regions: Array32 | None = None
) -> npt.NDArray[np.int64]:
    """Return (H, W) the largest change of a channel."""
    return np.asarray(
        np.abs(render(strengths, yaw, regions).astype(np.int64) - make_face(yaw)[0]).max(-1)
    )


def region_interior(name: str, yaw: float = 0.0) -> npt.NDArray[np.bool_]:
    """Return the pixels well inside of a region."""
    return np.asarray(
        cv2.erode(make_face(yaw)[2][class_number(name)], np.ones((7, 7), np.uint8)) > 0.99
    )

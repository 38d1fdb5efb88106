"""Shares of several faces in one picture: a pixel belongs to the person with the nearest face."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array32, Face, Image

SOFT = 0.6  # face widths by which distances differ where a share has faded to 0
SAMPLES = 256  # samples of the shares along the longer side of a picture


def face_shares(
    faces: Sequence[Face], driven: Sequence[bool], size: tuple[int, int]
) -> list[Array32]:
    """Return the blend weight (H, W) in 0..1 of each driven face's rendering, drawn in turn.

    Drawn over the picture with these weights, one after the other, every face shows with its own
    share: 1 near it, falling to 0 softly where another face is nearer in face widths.

    Args:
        faces: every face of the picture.
        driven: whether each of them moves.
        size: (width, height) of the picture in pixels.
    """
    width, height = size
    step = max(1.0, max(size) / SAMPLES)
    x, y = np.meshgrid(np.arange(0, width + step, step), np.arange(0, height + step, step))
    distances = np.stack([_distance(face, x, y) for face in faces])
    shares = []
    for number in range(len(faces)):
        others = np.delete(distances, number, 0)
        lead = others.min(0) - distances[number] if len(others) else np.full(x.shape, SOFT)
        shares.append(smoothstep(-SOFT, SOFT, lead))
    total = np.sum(shares, 0)
    moving = [number for number, moves in enumerate(driven) if moves]
    drawn = total - sum((shares[number] for number in moving), np.zeros(x.shape))
    weights = []
    for number in moving:
        drawn = drawn + shares[number]
        weight = (shares[number] / np.maximum(drawn, 1e-9)).astype(np.float32)
        matrix = np.array([[step, 0, 0], [0, step, 0]], np.float64)
        weights.append(np.asarray(cv2.warpAffine(weight, matrix, size), np.float32))
    return weights


def draw(image: Image, other: Image, weight: Array32) -> Image:
    """Blend `other` (H, W, 3) uint8 over an image by a weight (H, W) in 0..1."""
    return np.asarray(cv2.blendLinear(other, image, weight, 1 - weight), np.uint8)


def _distance(
    face: Face, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the distance of points to a face's middle in its widths."""
    x0, y0, x1, y1 = (float(side) for side in face.box)
    apart = np.hypot(x - (x0 + x1) / 2, y - (y0 + y1) / 2)
    return np.asarray(apart / max(x1 - x0, 1.0), np.float64)

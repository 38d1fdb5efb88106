"""Crop templates: placement of a crop on the face of one frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from thcli.core.options import TemplateOptions
from thcli.core.types import Crop, Face
from thcli.faces.crops import align
from thcli.faces.landmarks.layouts import landmarks_of
from thcli.motion.canonical import decompose, neutral

SQUARE_SCALE = 2.0  # side of the square template over the height of the face
UPRIGHT_TEMPLATES = ("square",)  # do not rotate with the head

_Template = Callable[[Face, int, float | None], Crop]


def _square(face: Face, size: int, scale: float | None) -> Crop:
    """Place an upright square around the neutral head.

    Neither centre nor side depend on the mouth opening. The side does not depend on pitch.
    """
    side = float(max(face.box[2:] - face.box[:2]))
    centre = (face.box[:2] + face.box[2:]) / 2
    if face.mesh is not None:
        pose, head = decompose(face.mesh), neutral()
        scale_of_head = np.exp(pose.log_scale)
        side = float(scale_of_head * np.ptp(head[:, 1]))
        head_centre = np.append((head.min(0) + head.max(0))[:2] / 2, 0.0)
        centre = (pose.centre + scale_of_head * pose.rotation @ head_centre)[:2]
    box = np.concatenate([centre - side / 2, centre + side / 2])
    return align.square(box, size, SQUARE_SCALE if scale is None else scale)


def _arcface(face: Face, size: int, scale: float | None) -> Crop:
    return _widen(align.arcface(landmarks_of(face), size), scale)


def _close(face: Face, size: int, scale: float | None) -> Crop:
    return _widen(align.close(landmarks_of(face), size), scale)


def _ffhq(face: Face, size: int, scale: float | None) -> Crop:
    return _widen(align.ffhq(landmarks_of(face), size), scale)


def _liveportrait(face: Face, size: int, scale: float | None) -> Crop:
    points = landmarks_of(face)
    if scale is None:
        return align.liveportrait(points, size)
    return align.liveportrait(points, size, scale)


def _widen(placement: Crop, scale: float | None) -> Crop:
    """Multiply the side of a crop by `scale` around its centre."""
    if scale is None:
        return placement
    centre = (placement.size[0] - 1) / 2
    shift = centre - centre / scale
    widened_from_crop = np.array([[1 / scale, 0, shift], [0, 1 / scale, shift], [0, 0, 1]])
    return Crop(widened_from_crop @ placement.crop_from_frame, placement.size)


TEMPLATES: dict[str, _Template] = {
    "square": _square,
    "arcface": _arcface,
    "close": _close,
    "ffhq": _ffhq,
    "liveportrait": _liveportrait,
}


def crop_placement(face: Face, options: TemplateOptions) -> Crop:
    """Place the crop of a template on a face.

    Raises NoFaceError when the face has no landmarks, or degenerate ones.
    """
    return TEMPLATES[options.template](face, options.size, options.scale)

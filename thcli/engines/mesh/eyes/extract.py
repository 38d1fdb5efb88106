"""Extraction of the eyes of a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.eyes.stand_ins import mirror_eye, paint_eye
from thcli.engines.mesh.eyes.texture import EyeTexture, is_round
from thcli.engines.mesh.head.covered_points import are_eyes_hidden
from thcli.motion import canonical
from thcli.motion.openings import SHUT_EYE_RANGE, judge_alike

CLOSED_GAP = 0.12  # gap / width of a source eye below which its eyeball cannot be used
NEVER_SHOWS = 2.0  # foreshortening that no eye reaches
FACES_US = 0.65  # foreshortening of an eye that a turn back brings into view from behind hair
PAINTED_BLUR = 0.5  # pixels of blur, at least, of an eye that is painted


def extract_eyes(
    image: Image,
    mesh: Array,
    iris: npt.NDArray[np.floating] | None,
    tone: Array,
    blur: float = 0.0,
    *,
    are_drawn: bool = False,
    behind_hair: Sequence[bool] = (False, False),
) -> tuple[EyeTexture, ...]:
    """Extract both eyes of a source image.

    A closed eye, and one that a turned head or hair hides, takes the mirror image of the other one.
    When both are closed, a synthetic eye is painted, as blurred as the source.

    Args:
        image: (H, W, 3) uint8 source image.
        mesh: (468, 3) pixels.
        iris: (2, 5, 2) pixels, centre first, or None.
        tone: (3,) skin colour, 0..255.
        blur: of the source, deviation in widths of an eye.
        are_drawn: larger than a person's; what their lids hid is not made from round balls.
        behind_hair: eyes that hair covers, which never show.
    """
    eyes = []
    for side, ring in enumerate(EYES):
        eye_opening = opening.fit_opening(mesh, ring)
        centre, radius = np.array([0.5, 0.0]), 0.2
        if iris is not None:
            rim = eye_opening.to_local(iris[side])
            distances = np.linalg.norm(rim[1:] - rim[0], axis=1)
            centre, radius = rim[0], float(np.clip(distances.mean(), 0.1, 0.3))
        seen = iris is not None and is_round(centre[0]) and not are_drawn
        share = opening.foreshortening(mesh, ring)
        eyes.append(
            EyeTexture(image, eye_opening, centre, radius, True, blur, sees_iris=seen, seen=share)
        )
    alike = judge_alike(canonical.eye_openings(canonical.decompose(mesh).shape))
    are_open = [
        eye.opening.gap >= CLOSED_GAP and opens > SHUT_EYE_RANGE[1]
        for eye, opens in zip(eyes, alike, strict=True)
    ]
    are_hidden = np.logical_or(are_eyes_hidden(mesh), behind_hair)
    usable = [
        bool(is_open and not hides) for is_open, hides in zip(are_open, are_hidden, strict=True)
    ]
    if all(usable):
        return tuple(eyes)
    if any(usable):
        substitute = mirror_eye(eyes[usable.index(True)])
    else:  # large, it would be jagged in a small face
        pixel = PAINTED_BLUR / max(min(eye.opening.width for eye in eyes), 1.0)
        substitute = paint_eye(tone, max(blur, pixel))
    out = []
    for eye, own, hides, hair in zip(eyes, usable, are_hidden, behind_hair, strict=True):
        shut, hidden = (0.0, eye.seen) if hides else (eye.opening.gap, 0.0)
        hidden = NEVER_SHOWS if hair and eye.seen > FACES_US else hidden
        out.append(eye if own else replace(substitute, shut=shut, hidden=hidden))
    return tuple(out)

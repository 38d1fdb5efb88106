"""Extraction of the eyes of a source."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.eyes import eyeball, hanging_lashes
from thcli.engines.mesh.eyes.stand_ins import mirror_eye, paint_eye
from thcli.engines.mesh.eyes.texture import NEVER_SHOWS, EyeTexture, is_round
from thcli.engines.mesh.head.covered_points import NO_COVERS, Cover, are_eyes_hidden
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.sampling import remap
from thcli.motion import canonical
from thcli.motion.openings import judge_eyes
from thcli.motion.reference.lids import SHUT_EYE_RANGE

CLOSED_GAP = 0.12  # gap / width of a source eye below which its eyeball cannot be used
FACES_US = 0.65  # foreshortening of an eye that a turn back brings into view from behind hair
PAINTED_BLUR = 0.5  # pixels of blur, at least, of an eye that is painted
LASH_OFFSET = 0.015  # widths above the rim at which the lash line's colour is sampled
DARKEST = 7  # columns of which it has the darkest colours
# Light of a white over that of the other eye's, both over the skin's, and by what it is dimmed then
MOST_LIGHTER, LEAST_DIMMED = 1.2, 0.65
# Light over the skin's from which they are the white of an eye that is wide open; their light then
NO_LASHES, MADE_LASHES = (0.8, 1.05), 0.6


def extract_eyes(
    image: Image,
    mesh: Array,
    iris: npt.NDArray[np.floating] | None,
    tone: Array,
    blur: float = 0.0,
    *,
    are_drawn: bool = False,
    covers: tuple[Cover, Cover] = NO_COVERS,
) -> tuple[EyeTexture, ...]:
    """Extract both eyes of a source image.

    A closed eye, and one that is hidden or covered, takes the mirror image of the other one.
    When both are closed, a synthetic eye is painted, as blurred as the source.

    Args:
        image: (H, W, 3) uint8 source image.
        mesh: (468, 3) pixels.
        iris: (2, 5, 2) pixels, centre first, or None.
        tone: (3,) skin colour, 0..255.
        blur: of the source, deviation in widths of an eye.
        are_drawn: larger than a person's; what their lids hid is not made from round balls.
        covers: what is before them. Behind it they never show, unless a head that is turned away
            from its hair turns back.
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
        white = eyeball.find_white(image, eye_opening, centre, radius, tone) if seen else None
        eyes.append(
            EyeTexture(
                image,
                eye_opening,
                centre,
                radius,
                True,
                blur,
                sees_iris=seen,
                seen=share,
                white=white,
                lashes=_lash_colours(image, eye_opening, tone),
            )
        )
    eyes = _level_whites(image, eyes)
    posed = canonical.decompose(mesh)
    judged, read = judge_eyes(posed), canonical.eye_openings(posed.shape)
    are_open = [
        eye.opening.gap >= CLOSED_GAP and opens > SHUT_EYE_RANGE[1]
        for eye, opens in zip(eyes, judged, strict=True)
    ]
    are_hidden = [
        hides or cover != "none" for hides, cover in zip(are_eyes_hidden(mesh), covers, strict=True)
    ]
    usable = [is_open and not hides for is_open, hides in zip(are_open, are_hidden, strict=True)]
    if all(usable):
        return tuple(eyes)
    if any(usable):
        substitute = mirror_eye(eyes[usable.index(True)])
    else:  # large, it would be jagged in a small face
        pixel = PAINTED_BLUR / max(min(eye.opening.width for eye in eyes), 1.0)
        substitute = paint_eye(tone, max(blur, pixel))
    out = []
    shares = np.clip(judged / np.maximum(read, 1e-3), 0, 1)  # of the gaps that are read
    states = zip(EYES, eyes, usable, are_hidden, covers, shares, strict=True)
    for ring, eye, own, hides, cover, share in states:
        shut, hidden = (0.0, eye.seen) if hides else (float(share * eye.opening.gap), 0.0)
        if cover == "glasses" or (cover == "hair" and eye.seen > FACES_US):
            hidden = NEVER_SHOWS
        if own:
            out.append(eye)
            continue
        hanging = None if hidden else hanging_lashes.measure(image, mesh, ring)
        out.append(replace(substitute, shut=shut, hidden=hidden, hanging=hanging))
    return tuple(out)


def _level_whites(image: Image, eyes: list[EyeTexture]) -> list[EyeTexture]:
    """Return both eyes; a white that is much lighter than the other one is a gleam, and dimmed.

    Lighter in the light that falls on the skin below its eye.
    """
    whites = [eye.white for eye in eyes if eye.white is not None and eye.white.any()]
    if len(whites) < len(eyes):
        return eyes
    ratios = [
        float(white.mean() / eyeball.light_below(image, eye.opening).mean())
        for eye, white in zip(eyes, whites, strict=True)
    ]
    most = MOST_LIGHTER * min(ratios)
    return [
        replace(eye, white=white * np.float32(np.clip(most / ratio, LEAST_DIMMED, 1)))
        for eye, white, ratio in zip(eyes, whites, ratios, strict=True)
    ]


def _lash_colours(image: Image, eye: Opening, tone: Array) -> Array32:
    """Return the colours (97, 3) of the lash line of an eye, 0..255.

    A light that is reflected in the eyeball below is none of them, nor is its white.

    Args:
        image: (H, W, 3) uint8.
        eye: its opening.
        tone: (3,) skin colour, 0..255.
    """
    along = opening.COLUMNS.astype(np.float32)
    v = np.asarray(eye.upper - LASH_OFFSET, np.float32)
    row = remap(image, opening.to_pixels(eye, along[None], v[None]))
    lashes = cv2.erode(row, np.ones((1, DARKEST), np.uint8))[0].astype(np.float32)
    light = lashes.mean(-1, keepdims=True) / max(float(tone.mean()), 1.0)
    made = smoothstep(*NO_LASHES, light) * (np.float32(MADE_LASHES) * tone - lashes)
    return np.asarray(lashes + made, np.float32)

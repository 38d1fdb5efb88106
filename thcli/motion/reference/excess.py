"""Expression in which a driver's reference differs from its source, which is given back.

The reference stands for the source as it is. A driver that laughs in all frames has a laugh for a
reference, and a driver of one picture has itself: what they show would be taken for rest. What the
linear face model (`model3d`) finds in the reference, and not in the source, is taken out of the
reference, as far as it is beyond what rest looks like in ordinary faces; of one picture, what the
source alone shows is put in as well. Brows are also told by their height.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from thcli.core.geometry import rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion import canonical, closure, smiles
from thcli.motion.brows import eye_distances, weights
from thcli.motion.canonical import PosedShape, fit_rigid_points
from thcli.motion.model3d import (
    EXPRESSION_NAMES,
    IDENTITY_COUNT,
    SLIDER_NAMES,
    load_basis,
    project,
)
from thcli.motion.reference.frames import SHUT_OPENING, DriverReference
from thcli.motion.reference.lids import SHUT_EYE_RANGE, near_eyes

# Coefficients that mean nothing (faces at rest reach them); larger ones lose a part. Blinks
# are told by the openings of the eyes
REST = {"jaw": 0.08, "smile": 0.25, "wide": 0.4, "brow_left": 0.22, "brow_right": 0.22}
REST_SHAPE = 0.05  # of each further shape
# Canonical units of brows above the eyes, of which the face model takes most for the person's own:
# median of 821 pictures and clips, and its deviation
BROWS_AT_REST, BROWS_VARY = 0.261, 0.039
HELD_SHARE = 0.6  # of what brows and eyes differ from rest, which is expression
# By how much the reference of a video smiles more than the source, and opens its mouth further:
# chance, and a laugh
SMILE_RANGE, MOUTH_RANGE = (0.5, 0.95), (0.08, 0.16)
# Width of a mouth at rest, and height of its corners below the middle of the upper lip's rim,
# canonical units: a quarter of strangers are wider, or have higher ones. What is left of a laugh
# goes as far as these
REST_WIDTH, REST_CORNERS = 0.55, 0.0
# Canonical units by which strangers' corners at rest vary; openings of mouths over which corners go
# down with the jaw
CORNERS_VARY, SHUT_MOUTH = 0.03, (0.03, 0.1)
# Opening of eyes at rest: 93 neutral faces have .220, and vary by .023
EYES_AT_REST = 0.22
LEAST_RATIO = 0.1  # of a result's eyes to the source's
LAUGHING_EYES = 0.2  # usual opening of eyes that laugh in a reference: of a video at most
SEEN_IRIS = (0.09, 0.13)  # opening of the eyes from which on their gaze is seen
GAZE_RANGE = (0.02, 0.05)  # eye widths of a difference of gaze: noise, and none
# Eye widths, over the sine of a head's yaw, by which irises are aside that look into the camera
# (500 pictures of CelebA-HQ, robust)
CAMERA_GAZE = 0.22


def add_picture(reference: DriverReference, source: PosedShape, gaze: Array) -> DriverReference:
    """Return the reference of a driver that is one picture: what it would be as the source is.

    The source shows the picture's expression in place of its own: its lips open as far, its eyes by
    as much more or less than at rest, and it looks as far beside the camera.

    Args:
        reference: the driver's only frame.
        source: pose and canonical shape of the source.
        gaze: (2, 2) gaze of the source.
    """
    shape = _without(reference.shape, _excess(reference.shape, source.shape, whole=True))
    # of what the face model leaves of the brows, which it moves as well
    shape = _without(shape, _raised_brows(shape, source.shape, whole=True))
    scale, _, _ = fit_rigid_points(shape, source.shape)
    shape = _with_lips(shape, canonical.lip_gaps(source.shape) / scale)
    smile = _smiles_more(reference.shape, source.shape)
    laugh = max(smile, _opens_more(reference.shape, source.shape))
    shape = _rest_mouth(shape, source.shape, laugh)
    shape = _rest_corners(shape, reference.shape, source.shape)
    opening = float(reference.eyes.mean())
    usual = _usual_eyes(opening, float(near_eyes(source).max()), smile)
    eyes = usual * reference.eyes / max(opening, 1e-6)
    looks = reference.gaze - _gaze_change(reference, source, gaze)
    return replace(reference, shape=shape, eyes=eyes, usual_eyes=usual, gaze=looks)


def _usual_eyes(opening: float, own: float, smile: float) -> float:
    """Return the opening of a picture's eyes at which the source's would stay as they are.

    Eyes differ from eyes at rest by what is the person's own, and by what is expression. The
    latter is the picture's in the result; what the source shows of it is taken back.

    Args:
        opening: of the picture's eyes.
        own: of the source's, if it winks of the open one. Others take the place of shut ones, and
            open as far as at rest.
        smile: 0..1, how far the picture smiles more than the source, which narrows eyes.
    """
    own = EYES_AT_REST if own < SHUT_EYE_RANGE[0] else own
    seen = opening - EYES_AT_REST
    kept = min(own - EYES_AT_REST, max(seen, 0.0))
    change = HELD_SHARE * (seen - kept) + (1 - HELD_SHARE) * smile * min(seen, 0.0)
    ratio = max(1 + change / own, LEAST_RATIO)
    return SHUT_OPENING + max(opening - SHUT_OPENING, 0.0) / ratio


def _gaze_change(reference: DriverReference, source: PosedShape, gaze: Array) -> Array:
    """Return the change of a source's gaze (2,) that makes it look where a picture does.

    Eyes that look into the camera do so in the result, whichever way either head is turned.
    """
    own_yaw, yaw = (rotvec_from_matrix(one)[1] for one in (source.rotation, reference.rotation))
    change = (reference.gaze - gaze).mean(0)
    change[0] -= CAMERA_GAZE * (np.sin(yaw) - np.sin(own_yaw))
    share = smoothstep(*SEEN_IRIS, reference.eyes.mean())
    share = share * smoothstep(*GAZE_RANGE, np.linalg.norm(change))
    return np.asarray(share * change)


def add_video(reference: DriverReference, source: PosedShape, wide_eyes: float) -> DriverReference:
    """Return the reference of a video, less what its brows and mouth show and the source's do not.

    Its mouth changes only where the reference clearly smiles, or has its mouth open, and the source
    does not, or by less.

    Args:
        reference: of the driver.
        source: pose and canonical shape of the source.
        wide_eyes: opening of the driver's eyes that few of its frames exceed.
    """
    smile = _smiles_more(reference.shape, source.shape)
    laugh = max(smile, _opens_more(reference.shape, source.shape))
    excess = _raised_brows(reference.shape, source.shape, whole=False)
    if laugh == 0 and not excess.any():
        return reference
    if laugh == 0:
        return replace(reference, shape=_without(reference.shape, excess))
    excess += laugh * _excess(reference.shape, source.shape, whole=False)
    shape = _without(reference.shape, excess)
    scale, _, _ = fit_rigid_points(shape, source.shape)
    gaps = canonical.lip_gaps(reference.shape)
    closed = np.minimum(canonical.lip_gaps(source.shape) / scale, gaps)
    shape = _with_lips(shape, gaps + laugh * (closed - gaps))
    shape = _rest_mouth(shape, source.shape, laugh)
    awake = max(reference.usual_eyes, min(wide_eyes, LAUGHING_EYES))
    usual = reference.usual_eyes + smile * (awake - reference.usual_eyes)
    eyes = reference.eyes * usual / max(reference.usual_eyes, 1e-6)
    return replace(reference, shape=shape, usual_eyes=usual, eyes=eyes)


def _smiles_more(shape: Array, source: Array) -> float:
    """Return whether a shape (468, 3) smiles more than a source's, 0..1."""
    seen, own = smiles.levels(np.stack([shape, source]))
    return float(smoothstep(*SMILE_RANGE, seen - max(own, 0.0)))


def _opens_more(shape: Array, source: Array) -> float:
    """Return whether a shape (468, 3) opens its mouth further than a source's, 0..1."""
    opened, own = canonical.mouth_opening(np.stack([shape, source]))
    return float(smoothstep(*MOUTH_RANGE, opened - own))


def expression_coefficients(shapes: Array) -> Array:
    """Return the coefficients (..., 19) of EXPRESSION_NAMES of canonical shapes (..., 468, 3)."""
    return project(shapes)[..., IDENTITY_COUNT:]


def _excess(shape: Array, source: Array, *, whole: bool) -> Array:
    """Return the displacement (468, 3) of a shape's expression that a source's does not have.

    whole: also less what the source alone has; with the brows.
    """
    found, own = expression_coefficients(np.stack([shape, source]))
    beyond = _beyond(found, own, whole)
    kept = _kept(beyond, np.array([REST.get(name, REST_SHAPE) for name in EXPRESSION_NAMES]))
    for i, name in enumerate(SLIDER_NAMES):
        if name.startswith("blink") or (name.startswith("brow") and not whole):
            kept[i] = 0
    return np.asarray(np.tensordot(kept * beyond, load_basis().expression, 1))


def _raised_brows(shape: Array, source: Array, *, whole: bool) -> Array:
    """Return the displacement (468, 3) of brows that a shape has up or down, and a source not.

    A driver that is surprised or angry in all of its frames has such a reference.

    whole: see `_excess`; also what is less than the deviation.
    """
    raised = eye_distances(np.stack([shape, source])).mean(-1) - BROWS_AT_REST
    kept = 1.0 if whole else _kept(raised, np.array(BROWS_VARY))
    found, own = HELD_SHARE * kept * raised
    out = np.zeros_like(shape)
    out[:, 1] = -_beyond(found, own, whole) * weights()
    return out


def _beyond(found: Array, own: Array, whole: bool) -> Array:
    """Return values less those of a source, or less what the source has of them alone."""
    shared = own if whole else np.clip(own, np.minimum(found, 0), np.maximum(found, 0))
    return np.asarray(found - shared)


def _kept(found: Array, rest: Array) -> Array:
    """Return which share of values is expression, where values up to `rest` mean nothing."""
    return np.asarray(np.maximum(1 - (rest / np.maximum(np.abs(found), 1e-9)) ** 2, 0))


def _without(shape: Array, excess: Array) -> Array:
    """Return a shape less a displacement, with its head where it was."""
    calm = shape - excess
    scale, rotation, shift = fit_rigid_points(shape, calm)
    return np.asarray((calm - shift) @ rotation / scale)


def _rest_mouth(shape: Array, source: Array, laugh: float) -> Array:
    """Return a shape (468, 3) that had laughed, with a mouth as it is at rest or as the source's.

    The face model takes part of a laugh's width, and of its raised corners, for the person's own.

    Args:
        shape: without the laugh that the face model finds.
        source: (468, 3).
        laugh: 0..1, how far the shape had laughed more than the source.
    """
    width, own_width = closure.mouth_widths(np.stack([shape, source]))
    narrowed = laugh * max(1 - max(own_width, REST_WIDTH) / width, 0.0)
    height, own_height = _corner_height(shape), _corner_height(source)
    return _move_corners(shape, narrowed, laugh * max(min(own_height, REST_CORNERS) - height, 0.0))


def _rest_corners(shape: Array, seen: Array, source: Array) -> Array:
    """Return a shape (468, 3) whose corners are not drawn down, as those that were seen are.

    The face model takes most of drawn-down corners for the person's own, and of the rest half for a
    mouth that narrows.

    Args:
        shape: without the expression that the face model finds.
        seen: (468, 3) with it.
        source: (468, 3).
    """
    height, own_height = _corner_height(seen), _corner_height(source)
    drawn = np.array(max(height - max(own_height, REST_CORNERS), 0.0))
    share = float(_kept(drawn, np.array(CORNERS_VARY)))
    share *= float(1 - smoothstep(*SHUT_MOUTH, canonical.mouth_opening(seen)))
    rest = height - share * (height - own_height)
    raised = max(_corner_height(shape) - rest, 0.0)
    width, seen_width = closure.mouth_widths(np.stack([shape, seen]))
    return _move_corners(shape, share * (1 - seen_width / width), -share * raised)


def _corner_height(shape: Array) -> float:
    """Return how much lower the corners of a mouth are than the middle of the upper lip's rim."""
    corners, rim = list(topology.MOUTH_CORNERS), topology.LIPS.upper
    return float(shape[corners, 1].mean() - shape[rim[len(rim) // 2], 1])


def _move_corners(shape: Array, narrowed: float, lowered: float) -> Array:
    """Return a shape (468, 3) whose mouth is narrower by a share, with corners that are lower."""
    changed, lips = shape.copy(), closure.region_mask("lips")[:, 0]
    beside = shape[:, 0] - shape[list(topology.MOUTH_CORNERS), 0].mean()
    width = float(closure.mouth_widths(shape))
    changed[:, 0] -= narrowed * lips * beside
    changed[:, 1] += lowered * lips * np.minimum((2 * beside / width) ** 2, 1)
    return np.asarray(changed)


def _with_lips(shape: Array, gaps: Array) -> Array:
    """Return a shape with the gaps (9,) of the inner lips."""
    changed = shape[None].copy()
    closure.set_lips(changed, gaps[None])
    return np.asarray(changed[0])

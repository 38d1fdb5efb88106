"""Soft limits of head rotation, zoom and translation within which the source's texture suffices.

The limits are monotone and leave small motion unchanged.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.motion import anatomy

FREE_SHARE = 0.5  # share of a limit up to which values are unchanged
MAX_YAW_AWAY = np.radians(50.0)  # of a frontal source, to either side
# largest turn towards the hidden side, of sources that are turned by these yaws
TURNED_YAWS = np.radians([0.0, 35.0, 45.0, 60.0])
MAX_YAWS_BACK = np.radians([50.0, 28.0, 10.0, 6.0])
PROFILE_YAW = np.radians(40.0)  # of a source from which that is worth a warning
MAX_TOTAL_YAW = np.radians(56.0)  # source yaw plus relative yaw, away from the frontal pose
MIN_YAW_AWAY = np.radians(6.0)
# Share of a change of yaw that a source takes in any case, and yaw by which it then turns further
# from the front than the driver does
OWN_TURN, MAX_OVERTURN = 0.6, np.radians(6.0)
MAX_PITCH = np.radians(32.0)
# source pitch plus relative pitch, further up or down; relative pitch that it has in any case
MAX_TOTAL_PITCH, MIN_PITCH_AWAY = np.radians(40.0), np.radians(8.0)
MAX_ROLL = np.radians(50.0)
MAX_LOG_ZOOM = np.log(1.6)
# Share of its picture that a face fills at most as it grows, and growth that it has in any case
FULL, LEAST_LOG_ZOOM = 0.85, np.log(1.15)
# Yaws between which landmarks of a driver come to tell little of its expression, and the share that
# they tell then
SIDE_VIEW, SIDE_SHARE = (np.radians(28.0), np.radians(52.0)), 0.25
# yaw of a source from which its mouth shows half of its lips
PROFILE_RANGE = (np.radians(36.0), np.radians(48.0))
MAX_PROFILE_GAP = 0.16  # canonical units by which the lips of a profile part at most
MAX_GAZE_ALONG, MAX_GAZE_ACROSS = 0.38, 0.16  # eye widths; largest displacement of an iris
# Way of an iris over the way that is read, since the landmarks of its eye's corners go with it; way
# in eye widths from which on: none, which may be noise, and all of it
READ_GAZE, READ_FROM = 1.25, (0.015, 0.06)
CROSSED = (0.04, 0.08)  # eye widths by which both look inwards: noise, eyes that cross
MAX_SHIFT = 0.3  # of the face's height (points 10 to 152), of a head alone
MAX_BODY_SHIFT = 1.2  # of the face's height, of the whole person
# Face heights that a face moves though it reaches the edge of its picture: one that has grown that
# far, and one that does so at rest
LEAST_ROOM = 0.08, 0.2
FREE_ROOM = 0.8  # share of the room of a face in its picture in which it moves freely


def soft_limit(x: npt.ArrayLike, limit: npt.ArrayLike, free: float = FREE_SHARE) -> Array:
    """Return x, bent beyond a share `free` of the limit so that |result| < limit.

    The function is odd, monotone and continuously differentiable.
    """
    x, limit = np.asarray(x, np.float64), np.asarray(limit, np.float64)
    knee = free * limit
    remainder = limit - knee
    excess = np.maximum(np.abs(x) - knee, 0)
    return np.asarray(
        np.where(excess > 0, np.sign(x) * (knee + remainder * np.tanh(excess / remainder)), x)
    )


def yaw_limits(source_yaw: float) -> tuple[float, float]:
    """Return the largest relative yaw to the negative and to the positive side, positive radians.

    Away from the frontal pose the limit is 50 degrees, less for a source that is turned already.
    Towards and past it the limit falls from 50 degrees for a frontal source to 28 degrees for one
    turned by 35 degrees, whose other cheek takes mirrored texture, to 10 degrees at 45, where the
    far side of the nose is not seen, and to 6 degrees for a profile.

    Args:
        source_yaw: yaw of the source in radians.
    """
    magnitude = abs(source_yaw)
    away = max(min(MAX_YAW_AWAY, MAX_TOTAL_YAW - magnitude), MIN_YAW_AWAY)
    back = float(np.interp(magnitude, TURNED_YAWS, MAX_YAWS_BACK))
    return (away, back) if source_yaw < 0 else (back, away)


def limit_rotation(rotvec: Array, source: Array) -> Array:
    """Limit relative rotation vectors (..., 3) in radians, each axis by itself.

    source: (3,) rotation vector of the source.
    """
    negative, positive = yaw_limits(float(source[1]))
    pitch, yaw = rotvec[..., 0], rotvec[..., 1]
    left = MAX_TOTAL_PITCH - np.sign(pitch) * source[0]
    return np.stack(
        [
            soft_limit(pitch, np.clip(left, MIN_PITCH_AWAY, MAX_PITCH)),
            np.where(yaw < 0, soft_limit(yaw, negative), soft_limit(yaw, positive)),
            soft_limit(rotvec[..., 2], MAX_ROLL),
        ],
        -1,
    )


def limit_overturn(rotvec: Array, source_yaw: float, driver_yaw: Array) -> Array:
    """Limit relative rotation vectors (T, 3) whose head would turn further away than its driver's.

    Where no frame of the driver looks as the source does, its reference is turned itself, and all
    of its yaws are measured from there.

    Args:
        rotvec: radians.
        source_yaw: yaw of the source.
        driver_yaw: (T,) yaw of the driver.
    """
    yaw = source_yaw + rotvec[:, 1]
    own = abs(source_yaw) + OWN_TURN * np.abs(rotvec[:, 1])
    base = np.maximum(np.abs(driver_yaw), own)
    excess = np.maximum(np.abs(yaw) - base, 0)
    out = rotvec.copy()
    out[:, 1] -= np.sign(yaw) * (excess - soft_limit(excess, MAX_OVERTURN))
    return out


def expression_share(driver_yaw: Array, reference_yaw: float) -> Array:
    """Return the share (T,) of a driver's expression that its landmarks tell; 1 unless it turns.

    Landmarks of a head that is seen from the side come near those of a mean face, whatever the face
    does: pursed lips widen, a broad mouth narrows, brows rise. Beside a reference that faces the
    camera that would be an expression; one that is turned as well shows the same.

    Args:
        driver_yaw: (T,) radians.
        reference_yaw: of the driver's reference.
    """
    guessed, known = (smoothstep(*SIDE_VIEW, np.abs(yaw)) for yaw in (driver_yaw, reference_yaw))
    return np.asarray(1 - (1 - SIDE_SHARE) * np.maximum(guessed - known, 0))


def mouth_share(added: Array, source_yaw: float) -> Array:
    """Return the share (T,) of the lips' motion that a source takes; 1 unless it is a profile.

    The far half of its lips is unseen: wide open, the mouth would end at a torn edge.

    Args:
        added: (T,) canonical units that the motion adds to the gap of the lips.
        source_yaw: yaw of the source in radians.
    """
    turned = smoothstep(*PROFILE_RANGE, abs(source_yaw))
    wide = np.maximum(added, 1e-9)
    return np.asarray(1 - turned * (1 - soft_limit(wide, MAX_PROFILE_GAP) / wide))


def limit_translation(translation: Array, height: float) -> Array:
    """Limit relative translations (..., 3) in pixels of a face `height` pixels high.

    The length in the image plane is limited; depth is unchanged.
    """
    in_plane = limit_length(translation[..., :2], MAX_SHIFT * height)
    return np.concatenate([in_plane, translation[..., 2:]], -1)


def room_in_picture(mesh: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Return the pixels (2,) by which a picture may move to lower and to higher x and y.

    Its face then stays in the frame, also with the largest shift of its head alone. Zooms and turns
    are not counted.

    Args:
        mesh: (468, 3) pixels of the face.
        size: (width, height) of the picture.
    """
    flat = mesh[:, :2]
    head = MAX_SHIFT * float(np.linalg.norm(flat[anatomy.FOREHEAD] - flat[anatomy.CHIN]))
    high = np.subtract(size, 1) - flat.max(0) - head
    return np.maximum(flat.min(0) - head, 0), np.maximum(high, 0)


def limit_zoom(zoom: Array, filling: float) -> Array:
    """Limit log zooms (T,) of a head; filling: the zoom at which its face fills the picture."""
    most = np.clip(np.log(FULL * filling), LEAST_LOG_ZOOM, MAX_LOG_ZOOM)
    return soft_limit(zoom, np.where(zoom > 0, most, MAX_LOG_ZOOM))


def opposing(shift: Array, motion: Array) -> Array:
    """Return shifts (T, 2) along the axes on which they oppose a motion, no longer than it."""
    return np.asarray(np.where(shift * motion < 0, np.clip(shift, -abs(motion), abs(motion)), 0))


def limit_to_room(shift: Array, room: tuple[Array, Array], free: float = FREE_SHARE) -> Array:
    """Limit shifts (T, 2) to lengths (2,) towards lower and (2,) towards higher coordinates.

    free: see `soft_limit`.
    """
    limit = np.maximum(np.where(shift < 0, *room), 1e-9)
    return soft_limit(shift, limit, free)


def limit_length(vectors: Array, limit: float) -> Array:
    """Limit the length of vectors (..., N)."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    factor = soft_limit(length, limit) / np.maximum(length, 1e-12)
    return np.asarray(vectors * np.where(length > 0, factor, 1.0))


def read_gaze(change: Array, yaw: Array) -> Array:
    """Return displacements of the irises (T, 2, 2) in eye widths, of what landmarks read of them.

    Both eyes look the same way, as the mean of what is read, unless both look inwards.

    Args:
        change: (T, 2, 2) as read, the eye on the image's left first.
        yaw: (T,) radians of the head: the far eye of a turned one is read by chance.
    """
    inwards = np.minimum(change[:, 0, 0], -change[:, 1, 0])
    crossed = np.maximum(inwards, 0) * smoothstep(*CROSSED, inwards)
    crossed *= 1 - smoothstep(*anatomy.UNSURE_EYE_YAW, np.abs(yaw))
    apart = crossed[:, None, None] * np.array([[1.0, 0.0], [-1.0, 0.0]])
    both = change.mean(1, keepdims=True) + apart
    length = np.linalg.norm(both, axis=-1, keepdims=True)
    return np.asarray(both * (1 + (READ_GAZE - 1) * smoothstep(*READ_FROM, length)))


def limit_gaze(change: Array, share: Array, own: Array) -> Array:
    """Limit shares of displacements of the irises, in eye widths, along and across.

    Irises end at IRIS_REACH, unless the source's are further out.

    Args:
        change: (T, 2, 2), or (T, 1, 2) if equal for both eyes.
        share: (T, 1, 1).
        own: (2, 2) gaze of the source.

    Returns:
        (T, 2, 2).
    """
    most = np.array([MAX_GAZE_ALONG, MAX_GAZE_ACROSS])
    change = np.clip(change, -most, most) * share
    reach = anatomy.IRIS_REACH
    low, high = np.minimum(-reach, own), np.maximum(reach, own)
    return np.asarray(np.clip(own + change, low, high) - own)

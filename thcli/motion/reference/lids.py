"""Openings of eyes in a clip: blinks at their own speed, winks that last, far eyes left out."""

from __future__ import annotations

import numpy as np

from thcli.core.geometry import rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.motion import anatomy
from thcli.motion.canonical import PosedShape, eye_openings
from thcli.motion.timeline import Bools, Timeline

# Eye opening by which lids are off their smoothed motion: noise at least, and a blink above it
LID_NOISE, LID_MARGIN = 0.008, 0.008
NOISE_GAIN = 2.5  # of the noise that a clip's own lids show
LID_FADE = 2  # frames beside those without eyes over which measured lids fade out
# Seconds for which eyes that are unlike stay so, and frames at least: in a fast blink one of them
# is often read late
WINK_SECONDS, WINK_FRAMES = 0.28, 5
# Turn to a side from which the far eye hardly shows: it is read as shut or open by chance
FAR_EYE_YAW = (np.radians(25.0), np.radians(40.0))
# Source eye opening below which the neutral eye's gap is used: lids are shut, or lowered so far
# that others take the place of the eyes
SHUT_EYE_RANGE = (0.1, 0.105)


def lid_limits(eyes: Array, unoccluded: Bools, smoothing: float) -> tuple[float, float]:
    """Return by how much lids that are noise, and those that blink, are off their smoothed way.

    Small and noisy faces have more noise than LID_NOISE; its measure is the median distance of
    an opening from the mean of its neighbours.

    Args:
        eyes: (T, 2) openings.
        unoccluded: (T,) frames that show the eyes.
        smoothing: 0..10; more of it takes more for noise.
    """
    gain = max(smoothing, 1.0) ** 2
    beside = np.abs(eyes[1:-1] - (eyes[2:] + eyes[:-2]) / 2).mean(-1)
    seen = beside[unoccluded[1:-1] & unoccluded[2:] & unoccluded[:-2]]
    noise = NOISE_GAIN * float(np.median(seen)) if len(seen) else 0.0
    low = max(LID_NOISE * gain, noise)
    return low, low + LID_MARGIN * gain


def fade_lids(seen: Bools) -> Array:
    """Return how far measured lids count in each frame (T,), fading out beside those without.

    seen: (T,) frames whose eyes are read.
    """
    width = 2 * LID_FADE + 1
    padded = np.pad(seen.astype(np.float64), LID_FADE, mode="edge")
    near = np.convolve(padded, np.full(width, 1 / width), "valid")
    return np.asarray(np.where(seen, np.maximum(2 * near - 1, 0), 0.0))


def count_near_eye(eyes: Array, yaw: Array, turned: tuple[float, float]) -> Array:
    """Return openings (T, 2), of turned heads both those of the eye that is nearer to the camera.

    Args:
        eyes: (T, 2) openings, the eye on the image's left first.
        yaw: (T,) radians of the heads.
        turned: radians between which the far eye stops to count.
    """
    near = np.where(yaw > 0, eyes[:, 1], eyes[:, 0])[:, None]
    return np.asarray(eyes + smoothstep(*turned, np.abs(yaw))[:, None] * (near - eyes))


def near_eyes(face: PosedShape) -> Array:
    """Return openings (2,) of the eyes of a picture, of a turned head both those of the nearer."""
    yaw = rotvec_from_matrix(face.rotation)[1:2]
    near = count_near_eye(eye_openings(face.shape)[None], yaw, anatomy.UNSURE_EYE_YAW)
    return np.asarray(near[0])


def keep_fast_lids(
    smoothed: Array, measured: Array, usable: Array, limits: tuple[float, float]
) -> Array:
    """Return smoothed openings of the eyes with fast motion of the lids as it was measured.

    Smoothing begins and ends a blink too slowly, and opens the eyes too far beside it.

    Args:
        smoothed, measured: (T, 2) openings.
        usable: (T,) how far frames show the eyes, see `fade_lids`.
        limits: see `lid_limits`.
    """
    lost = measured - smoothed
    fast = smoothstep(*limits, np.abs(lost).mean(-1)) * usable
    return np.asarray(smoothed + fast[:, None] * lost)


def keep_lasting_winks(openings: Array, lasting: Array) -> Array:
    """Return openings (T, 2) of eyes that are unlike by what lasts (T,), left less right, at most.

    The mean of both is kept.
    """
    unlike = openings[:, 0] - openings[:, 1]
    same = np.where(unlike * lasting > 0, np.minimum(np.abs(unlike), np.abs(lasting)), 0.0)
    lost = (unlike - np.sign(unlike) * same)[:, None] / 2
    return np.asarray(openings + lost * (-1.0, 1.0))


def lasting_differences(eyes: Array, seconds: Array, *, causal: bool) -> Array:
    """Return by how much the eyes of frames are unlike for longer than a blink, (T,), a median.

    Args:
        eyes: (T, 2) openings.
        seconds: (T,) of the frames.
        causal: over frames up to each alone.
    """
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    half = max(WINK_FRAMES, round(WINK_SECONDS / max(step, 1e-3))) // 2
    beside = (2 * half, 0) if causal else (half, half)
    unlike = np.pad(eyes[:, 0] - eyes[:, 1], beside, mode="edge")
    rows = np.lib.stride_tricks.sliding_window_view(unlike, 2 * half + 1)
    return np.asarray(np.median(rows, -1))


class FastLids:
    """Openings of the eyes of a clip, smoothed, but with their fast motion as measured.

    Args:
        measured: (T, 2) openings of the clip's eyes.
        timeline: of the clip.
        smoothing: 0..10, that of the motion.
        causal: frames depend on none after them.
    """

    def __init__(
        self, measured: Array, timeline: Timeline, smoothing: float, *, causal: bool
    ) -> None:
        self._measured, self._yaw = measured, timeline.pose[:, 1]
        self._usable = fade_lids(timeline.seen_eyes)
        self._limits = lid_limits(measured, timeline.unoccluded, smoothing)
        self._lasting = lasting_differences(measured, timeline.seconds, causal=causal)

    def openings(self, shapes: Array, start: int) -> Array:
        """Return the openings (N, 2) of frames from `start` on; shapes: theirs, smoothed."""
        rows = slice(start, start + len(shapes))
        smoothed = count_near_eye(eye_openings(shapes), self._yaw[rows], FAR_EYE_YAW)
        openings = keep_fast_lids(smoothed, self._measured[rows], self._usable[rows], self._limits)
        return keep_lasting_winks(openings, self._lasting[rows])

"""Openings of mouth and eyes that a source takes over from a driver."""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.geometry import rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.motion import anatomy, canonical, closure, smiles
from thcli.motion.canonical import PosedShape, neutral
from thcli.motion.reference.frames import MIN_BLINK_AMPLITUDE, SHUT_OPENING, DriverReference
from thcli.motion.reference.lids import SHUT_EYE_RANGE, count_near_eye, near_eyes
from thcli.motion.sliders import load_slider_shapes
from thcli.motion.timeline import Bools

# mouth opening of the reference above which opening ratios to it are defined
MOUTH_OPEN_RANGE = (0.01, 0.035)
CLOSED_LIPS_RANGE = (0.01, 0.03)  # mouth opening of closed and of parted lips
WINK_RANGE = (0.2, 0.45)  # difference of the eyes' ratios: below noise, above a wink
# The same of their openings: behind glasses one of two narrow eyes is read as shut. Openings of the
# wider eye that is narrow, and clearly open, beside which less is a wink
UNLIKE_RANGE, OPEN_UNLIKE, CLEARLY_OPEN = (0.09, 0.13), (0.06, 0.09), (0.155, 0.17)
AWAKE_OPENING = 0.19  # least opening of an awake eye (93 neutral faces: mean 0.22, std 0.024)
# opening of wide eyes, whatever the driver's; share of what lies beyond that and the driver's own
WIDE_OPENING, WIDER_SHARE = 0.28, 0.2
LEAST_WIDER = 1.15  # ratio to which eyes open that are wide in the source
SOURCE_EYE_RANGE = (0.06, 0.12)  # source eye opening; below it opening ratios are not defined
SQUINT_DEPTH, SQUINT_END = 0.13, 0.8  # most of what is added to squints; ratio where they end
# Share by which eyes open that are both shut: the mesh's rims lie on the skin, beyond the lashes
OPENED_SHARE = 0.92
# Share by which eyes open less that a laugh shuts; radians by which a head is lowered whose shut
# eyes look down, whatever its mouth
LAUGHING_SHARE, LOWERED = 0.35, (np.radians(10.0), np.radians(18.0))
WINK_SHARE = (0.4, 0.6)  # of the other eye's opening: an eye of a picture is shut, and open
ALIKE_RANGE = (0.03, 0.07)  # difference of a source's eyes between which each is judged by itself


class OpeningRules:
    """Lip and lid gaps of a source, from those of a driver and of the driver's reference."""

    def __init__(
        self,
        source: PosedShape,
        reference: DriverReference,
        shape_ratio: float,
        *,
        shut_eyes: float | None,
        absolute: bool,
    ) -> None:
        """Measure the source and the reference.

        Args:
            source: pose and canonical shape of the source.
            reference: the driver's reference.
            shape_ratio: scale of the source's shape over that of the reference.
            shut_eyes: eye opening of the driver's shut eyes; None for lids that are exact, in which
                0 is shut.
            absolute: the lips open as far as the driver's, instead of by as much.
        """
        self._shape_ratio, self._absolute = shape_ratio, absolute
        self._source_eyes = canonical.eye_openings(source.shape)
        self._judged_eyes = judge_eyes(source)
        pitch = float(rotvec_from_matrix(source.rotation)[0])
        laughs = smiles.smiling(source.shape) * (1 - float(smoothstep(*LOWERED, pitch)))
        self._awake_share = 1 - LAUGHING_SHARE * laughs
        self._source_gaps = canonical.lip_gaps(source.shape)
        self._reference_gaps = canonical.lip_gaps(reference.shape)
        self._reference_mouth = float(canonical.mouth_opening(reference.shape))
        # an open eye has the reference's opening, but not a blink's unless the source blinks too
        self._usual_eyes = usual = reference.usual_eyes
        least = 0.9 * usual * np.minimum(self._source_eyes.mean() / AWAKE_OPENING, 1)
        awake = reference.eyes
        if shut_eyes is not None:
            awake = np.clip(awake, least, max(1.2 * usual, least))
        self._shut_threshold, self._exact_lids = shut_eyes or 0.0, shut_eyes is None
        self._awake_opening = np.maximum(awake, self._shut_threshold + MIN_BLINK_AMPLITUDE * 0.5)

    def lip_gaps(self, driver_gaps: Array, gain: Array) -> Array:
        """Return the gaps of the inner lips, (T, 9) canonical units of the source, at least 0."""
        source_gaps = self._source_gaps
        gain = gain[:, None]
        if self._absolute:
            absolute = source_gaps + gain * (self._shape_ratio * driver_gaps - source_gaps)
            return np.asarray(np.maximum(absolute, 0))
        added = source_gaps + gain * self._shape_ratio * (driver_gaps - self._reference_gaps)
        # A source mouth that is further open than the reference's closes by the same ratio, not by
        # the same length.
        reference_opening = max(float(np.maximum(self._reference_gaps, 0).mean()), 1e-9)
        ratio = np.maximum(driver_gaps, 0).mean(-1)[:, None] / reference_opening
        scaled = source_gaps * (1 + gain * (ratio - 1))
        ratio_weight = float(smoothstep(*MOUTH_OPEN_RANGE, self._reference_mouth))
        closing = np.where(ratio < 1, np.minimum(scaled, added), added)
        return np.asarray(np.maximum(added + ratio_weight * (closing - added), 0))

    def eye_openings(self, eyes: Array, gain: Array) -> tuple[Array, Array]:
        """Return lid gaps over the source's own, and over a neutral eye's where the source's is
        shut.

        (T, 2) each, the eye on the image's left first. eyes: (T, 2) openings of the driver's.
        """
        own = self._judged_eyes
        target = self._over_open(eyes, self._awake_opening)
        source_open = smoothstep(*SOURCE_EYE_RANGE, own)
        opening = 1 + gain[:, None] * source_open * (target - 1)
        opening = np.clip(opening, 0, closure.MAX_OPENING_RATIO)
        # the reference of a source whose eyes are both shut may be a blink
        usual = np.maximum(self._usual_eyes, self._shut_threshold + MIN_BLINK_AMPLITUDE * 0.5)
        unseen = self._over_open(eyes, usual)
        unseen = unseen + smoothstep(*SHUT_EYE_RANGE, own.max()) * (target - unseen)
        # lids that are lowered, or are read as such in a far eye that is shut, open from shut ones
        lowered = self._source_eyes * opening - np.minimum(own * opening, SHUT_OPENING)
        added = self._beside_open(own) * unseen - lowered / _neutral_opening()
        source_shut = 1 - smoothstep(*SHUT_EYE_RANGE, own)
        return np.asarray(opening), np.asarray(source_shut * np.clip(gain[:, None], 0, 1) * added)

    def _over_open(self, eyes: Array, awake: Array) -> Array:
        """Return openings (T, 2) of the driver's eyes over those of open ones, to be rendered.

        awake: (2,) or one for both, the driver's open eyes.
        """
        ratio = (eyes - self._shut_threshold) / (awake - self._shut_threshold)
        mean, wink = ratio.mean(-1, keepdims=True), (ratio[:, :1] - ratio[:, 1:]) / 2
        wink = wink * smoothstep(*WINK_RANGE, np.abs(wink))
        if not self._exact_lids:
            unlike = np.abs(eyes[:, :1] - eyes[:, 1:])
            is_open = smoothstep(*CLEARLY_OPEN, eyes.max(-1, keepdims=True))
            narrow, wide = (smoothstep(*limits, unlike) for limits in (UNLIKE_RANGE, OPEN_UNLIKE))
            wink = wink * (narrow + is_open * (wide - narrow))
        target = np.concatenate([mean + wink, mean - wink], -1)
        target = np.clip(target, 0, closure.MAX_OPENING_RATIO)
        if not self._exact_lids:
            target = deepen_squints(target)
        return self._limit_wide(target, eyes)

    def _beside_open(self, own: Array) -> Array:
        """Return shares (2,) of a neutral eye's gap that make shut eyes as open as the other one.

        Where both are shut, between a neutral face's and the driver's, whose eyes they show, if
        those are narrower; less in a laugh, which shuts eyes.
        """
        lacking = np.clip((own.max() - np.minimum(own, SHUT_OPENING)) / _neutral_opening(), 0, 1)
        unseen = float(np.sqrt(np.clip(self._usual_eyes / _neutral_opening(), 0, 1)))
        unseen *= OPENED_SHARE * self._awake_share
        return np.asarray(unseen + smoothstep(*SHUT_EYE_RANGE, own.max()) * (lacking - unseen))

    def _limit_wide(self, target: Array, eyes: Array) -> Array:
        """Limit ratios (T, 2) of wide eyes to those with which the source's are wide.

        The ratio to the driver's usual opening says too much, most to a sleepy one's.
        """
        own = np.maximum(self._source_eyes, AWAKE_OPENING)
        widest = np.maximum(np.maximum(eyes, WIDE_OPENING) / own, LEAST_WIDER)
        beyond = np.maximum(target - widest, 0)
        return np.asarray(target - (1 - WIDER_SHARE) * beyond)


def read_picture(eyes: Array, yaw: Array) -> Array:
    """Return openings (T, 2) of the eyes of single pictures, whose lids no other frame explains.

    Of a turned head, both are those of the nearer eye: the far one, which hardly shows, is read as
    too open in a face that laughs with its eyes shut. An eye that is half as open as the other one
    is shut: it winks, and its landmarks lie on the folds around it.

    yaw: (T,) radians of the heads.
    """
    read = count_near_eye(eyes, yaw, anatomy.UNSURE_EYE_YAW)
    winks = 1 - smoothstep(*WINK_SHARE, read / np.maximum(read.max(-1, keepdims=True), 1e-6))
    return np.asarray(read * (1 - winks))


def judge_eyes(source: PosedShape) -> Array:
    """Return the openings (2,) of a source's eyes by which they count as open or shut.

    Of two shut eyes that are read a little differently, one alone would open. The far eye of a
    turned head is read as half open beside a near one that is shut.
    """
    eyes, near = canonical.eye_openings(source.shape), near_eyes(source)
    eyes = eyes + (1 - smoothstep(*CLEARLY_OPEN, eyes)) * np.minimum(near - eyes, 0)
    alike = 1 - smoothstep(*ALIKE_RANGE, np.ptp(eyes))
    return np.asarray(eyes + alike * (eyes.mean() - eyes))


@cache
def _neutral_opening() -> float:
    """Return the opening of the eyes of the neutral mesh."""
    return float(canonical.eye_openings(neutral()).mean())


def keep_closed_lips(gaps: Array, tracked: Array, scale: Array, usable: Bools) -> Array:
    """Close smoothed gaps (T, 9) of the driver's lips where its lips are closed in the frame.

    Smoothing leaves short closures open.

    Args:
        gaps: of the inner lips, in units of the reference's shape.
        tracked: (T, 468, 3) shapes without smoothing.
        scale: (T,) of the shapes over the reference's.
        usable: (T,) frames that show the mouth.
    """
    closed = 1 - smoothstep(*CLOSED_LIPS_RANGE, canonical.mouth_opening(tracked))
    measured = canonical.lip_gaps(tracked) / scale[:, None]
    return np.asarray(gaps + (closed * usable)[:, None] * np.minimum(measured - gaps, 0))


def deepen_squints(opening: Array) -> Array:
    """Return ratios of half-shut eyes as they must be asked for, to be rendered as given.

    A rendered lid that is half down is read, and looks, further open than a lid that is.
    """
    share = np.clip(opening / SQUINT_END, 0, 1)
    return np.asarray(opening - SQUINT_DEPTH * np.sin(np.pi * share) ** 2)


def mouth_closing_shape(source_shape: Array) -> Array:
    """Return the jaw displacement (468, 3) that closes the lips of the source's shape."""
    gap = float(canonical.lip_gaps(source_shape).clip(0).mean())
    jaw = load_slider_shapes().jaw
    jaw_gap = canonical.lip_gaps(neutral() + jaw).mean() - canonical.lip_gaps(neutral()).mean()
    return np.asarray(-gap / jaw_gap * jaw)


def lid_gap_ratios(shape: Array, source_shape: Array) -> Array:
    """Return mean lid gaps of shapes (T, 468, 3) over those of the source's own shape, (T, 2)."""
    ratios = []
    for rims in anatomy.LIDS:
        gap = np.linalg.norm(shape[:, rims.upper] - shape[:, rims.lower], axis=-1).mean(-1)
        source_gap = float(
            np.linalg.norm(source_shape[rims.upper] - source_shape[rims.lower], axis=-1).mean()
        )
        ratios.append(gap / max(source_gap, 1e-3))
    return np.stack(ratios, -1)

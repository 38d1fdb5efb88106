"""Selection of the driving frame that corresponds to the source, or of the driver's neutral frames.

Both are found in one pass over the clip that keeps a few numbers per frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.protocols import MotionStore
from thcli.core.types import Array, Motion
from thcli.motion import brows, closure
from thcli.motion.canonical import (
    RIGID,
    RIGID_WEIGHTS,
    PosedShape,
    eye_openings,
    fit_rigid_points,
    mouth_opening,
    neutral,
)
from thcli.motion.file.windows import windows
from thcli.motion.observe import rebuild_driver_meshes
from thcli.motion.reference.lids import FAR_EYE_YAW, count_near_eye
from thcli.motion.timeline import Bools, Timeline

SHUT_OPENING = 0.05  # lid gap / eye width of a shut eye
SHUT_OPENING_GLASSES = 0.10  # the same behind glasses
SHUT_MARGIN = 0.02  # of the lowest opening of a clip above that of a shut eye
NO_BLINK_RANGE = (0.1, 0.14)  # lowest opening of a clip: shut behind glasses, and never shut
MIN_BLINK_AMPLITUDE = 0.12  # least change of the opening between a shut and an open eye
EYE_OPENING_VARIATION = 0.1  # relative variation of the opening of awake eyes
SOURCE_AWAKE = (0.3, 0.6)  # opening of a source's shut and open eyes, over the driver's median
# Mouth openings of a closed and of an open source, of a closed and of a parted driver; cost of a
# reference with closed lips for an open source, as 14 degrees more of turn
SOURCE_PARTED, PARTED, SHUT_COST = (0.04, 0.1), (0.01, 0.035), 0.45
# Radians a second by which a head turns, at rest and fast; cost of a reference in a fast turn, as
# 10 degrees more of turn: it is blurred, and is an end of the driver's motion rather than its rest
TURNING, TURNING_COST = (np.radians(25.0), np.radians(100.0)), 0.35
# Quantiles of the height of a clip's brows between which they are as usual; cost of a reference for
# each canonical unit beyond, as 1.8 degrees more of turn for a hundredth
USUAL_BROWS, BROW_COST = (0.1, 0.5), 6.0
# The same of the width of its mouth; cost of a reference for each share of the median beyond
USUAL_WIDTHS, WIDTH_COST = (0.3, 0.75), 4.0
# The same of how much lower its right corner is than its left; cost for each canonical unit beyond
USUAL_SLANTS, SLANT_COST = (0.25, 0.75), 6.0
REST_WIDTHS = (0.45, 0.6)  # of mouths that neither purse nor smile, canonical units
LEAST_STEP = 0.02  # seconds between frames; noise of nearer ones would be fast turns
# Share of a face's radius by which the source's points are off a frame's, in their picture, below
# which the frame is the source picture itself. Of its own frames a twentieth are further off; other
# clips of a person in the same studio come as near as .008, other persons .033.
SAME_PLACE = 0.012
# The same without regard to where the face lies, for a picture that was cut out of the frame: of
# other clips in a studio a hundredth is as near, other persons are .018 off.
SAME_CROP = 0.008
# That offset below which the source shows the driver itself at another moment: of sources that are
# earlier than the driving frames of their clip three in five are, of other persons one in 200
SAME_PERSON = 0.035
# Radians between a source's and a frame's direction that are the same, and by how much more a
# reference looks elsewhere
NEAR_TURN, FAR_TURN = np.radians(10.0), np.radians(10.0)
# Quantile of the turns from a reference that is the furthest one; radians from which that is far,
# since much of what the source shows is hidden there, and by how much less far another one is
FURTHEST, MOST_TURN, LESS_FAR = 0.95, np.radians(35.0), np.radians(5.0)
NEUTRAL_FRAME_COUNT = 24  # frames averaged to the driver's neutral face
NEUTRAL_ANGLE = np.radians(20.0)


@dataclass(frozen=True, slots=True)
class DriverReference:
    """Face of the driver that corresponds to the source.

    Attributes:
        shape: (468, 3) canonical.
        rotation, log_scale, centre: pose that corresponds to the source's own pose.
        gaze: (2, 2).
        frame: frame of the expression, -1 without one.
        eyes: (2,) openings of its eyes, which a blink beside it does not change.
        usual_eyes: opening of the driver's open eyes.
    """

    shape: Array
    rotation: Array
    log_scale: float
    centre: Array
    gaze: Array
    frame: int
    eyes: Array
    usual_eyes: float

    @property
    def pivot(self) -> Array:
        """Middle of the head's rigid points, about which it turns, (3,) pixels of the frame."""
        middle = np.exp(self.log_scale) * (RIGID_WEIGHTS @ self.shape[RIGID])
        return np.asarray(middle @ self.rotation.T + self.centre)

    def turned(self, rotation: Array) -> DriverReference:
        """Return the same face turned to another rotation (3, 3) where it is."""
        out = replace(self, rotation=rotation)
        return replace(out, centre=self.centre + self.pivot - out.pivot)


@dataclass(frozen=True, slots=True)
class FrameMeasurements:
    """Measurements of the frames of a clip.

    Attributes:
        eyes: (T, 2) lid gap over eye width.
        mouth: (T,) mouth opening.
        distance: (T,) by how much each frame is worse as a reference, inf where the face was not
            detected. Shut and wide eyes are worse, even if the source has them too.
        turn: (T,) radians between the directions of the head and of the source's, likewise.
        offset: (T,) share of the face's radius by which the source's points are off the frame's
            where they lie in their pictures, whatever the size of these, likewise.
        crop_offset: (T,) the same, wherever the face lies.
    """

    eyes: Array
    mouth: Array
    distance: Array
    turn: Array
    offset: Array
    crop_offset: Array

    def find_same(self) -> int | None:
        """Return the frame that the source shows itself, None if it is no frame of the clip.

        Eyes, gaze or a mouth that make a frame a bad reference do not count here.
        """
        for offset, most in ((self.offset, SAME_PLACE), (self.crop_offset, SAME_CROP)):
            if offset.min() < most:
                return int(np.argmin(offset))
        return None

    @property
    def shows_source(self) -> bool:
        """True if the source seems to be the driver itself, in this clip or just beside it."""
        return bool(self.crop_offset.min() < SAME_PERSON)

    def find_direction(self, frame: int, rotvecs: Array) -> int:
        """Return the frame whose direction stands for the source's, beside a reference.

        That is the reference, unless it looks elsewhere, another frame looks as the source, and
        from that one the head turns less, or less far where it would turn far.

        Args:
            frame: the reference.
            rotvecs: (T, 3) rotations of the heads.
        """
        nearest = int(np.argmin(self.turn))
        gain = float(self.turn[frame] - self.turn[nearest])
        if gain < FAR_TURN or self.turn[nearest] > NEAR_TURN:
            return frame
        rotations = matrix_from_rotvec(rotvecs)
        seen = rotations[np.isfinite(self.turn)]
        turns = [
            np.linalg.norm(rotvec_from_matrix(seen @ rotations[one].T), axis=-1)
            for one in (nearest, frame)
        ]
        far, reference_far = (float(np.quantile(turn, FURTHEST)) for turn in turns)
        is_less_far = reference_far > MOST_TURN and far < reference_far - LESS_FAR
        return nearest if is_less_far or np.sum(turns[0] ** 2) < np.sum(turns[1] ** 2) else frame

    def median_eye_opening(self, unoccluded: Bools) -> float:
        """Return the median opening of both eyes."""
        return max(float(np.median(self.eyes[unoccluded].mean(-1))), 1e-6)

    def shut_threshold(self, unoccluded: Bools) -> float:
        """Return the opening below which an eye is shut in this clip.

        Glasses keep the lids of the mesh apart, up to SHUT_OPENING_GLASSES. A clip whose eyes stay
        further open has no blink, nor has one frame.
        """
        if unoccluded.sum() == 1:
            return SHUT_OPENING
        low = float(np.quantile(self.eyes[unoccluded].mean(-1), 0.02))
        least = float(np.clip(low - SHUT_MARGIN, SHUT_OPENING, SHUT_OPENING_GLASSES))
        blinks = 1 - float(smoothstep(*NO_BLINK_RANGE, low))
        return SHUT_OPENING + blinks * (least - SHUT_OPENING)


def measure_frames(
    store: MotionStore, timeline: Timeline, source: PosedShape, gaze: Array
) -> FrameMeasurements:
    """Measure all frames and compare them with the source: pose, shape, eyes, mouth and gaze.

    Args:
        store: the driving motion.
        timeline: its timeline.
        source: pose and canonical shape of the source.
        gaze: (2, 2) gaze of the source.

    Raises:
        NoFaceError: no frame shows a face.
    """
    if not timeline.valid.any():
        raise NoFaceError(
            "The driving motion shows no face in any frame.",
            "Choose another driving clip, or --face N.",
        )
    start, parts = 0, []
    for window in windows(store):
        poses = timeline.pose[start : start + len(window)]
        parts.append(_measure_window(window, poses, source))
        start += len(window)
    eyes, mouth, width, slant, rise, turn, rms, *offsets = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    pose_distance = turn / np.radians(30) + 4 * rms
    opening = eyes.mean(-1)
    median = max(float(np.median(opening[timeline.unoccluded])), 1e-6)
    # ordinary openings cost nothing; a blink costs more than widened eyes, unless the source blinks
    ratio = opening / median
    awake = smoothstep(*SOURCE_AWAKE, float(eye_openings(source.shape).mean()) / median)
    blink = 3 * awake * np.maximum(1 - EYE_OPENING_VARIATION - ratio, 0) + np.maximum(
        ratio - 1 - EYE_OPENING_VARIATION, 0
    )
    # a reference that glances aside would turn the eyes of all other frames the other way
    gaze_distance = np.linalg.norm((timeline.gaze - gaze).mean(1), axis=-1)
    mouth_distance = np.abs(mouth - mouth_opening(source.shape))
    # from lips that are closed, those of an open source could never close
    own_mouth = float(mouth_opening(source.shape))
    shut = smoothstep(*SOURCE_PARTED, own_mouth) * (1 - smoothstep(*PARTED, mouth))
    turning = TURNING_COST * smoothstep(*TURNING, turning_speeds(timeline))
    distance = pose_distance + blink + 3 * mouth_distance + 3 * gaze_distance + SHUT_COST * shut
    # beside one that raises its brows all other frames would frown, and the other way round
    seen = timeline.unoccluded
    raised = _beyond(rise, *np.quantile(rise[seen], USUAL_BROWS))
    distance = distance + turning + BROW_COST * raised
    unusual = _unusual_widths(width, seen, float(closure.mouth_widths(source.shape)))
    distance = distance + WIDTH_COST * unusual
    aslant = _unusual_slants(slant, seen, float(closure.mouth_slants(source.shape)))
    distance = distance + SLANT_COST * aslant
    return FrameMeasurements(
        eyes, mouth, *(np.where(seen, each, np.inf) for each in (distance, turn, *offsets))
    )


def _unusual_widths(widths: Array, seen: Bools, own: float) -> Array:
    """Return by how much mouths purse or grin beyond a clip's usual ones, (T,), over its median.

    Beside pursed lips all other frames would grin, and the other way round. A mouth that is as wide
    as a neutral one does neither, whatever the clip does.

    Args:
        widths: (T,) canonical units.
        seen: (T,) frames that count.
        own: width of the source's mouth, which may purse or smile itself.
    """
    usual, rest = widths[seen], float(closure.mouth_widths(neutral()))
    low, high = np.quantile(usual, USUAL_WIDTHS)
    low = min(low, rest) - max(REST_WIDTHS[0] - own, 0)
    high = max(high, rest) + max(own - REST_WIDTHS[1], 0)
    return np.asarray(_beyond(widths, low, high) / np.median(usual))


def _unusual_slants(slants: Array, seen: Bools, own: float) -> Array:
    """Return by how much mouths slant beyond a clip's usual ones, (T,) canonical units.

    Beside a smirk all other frames would smirk with the other corner.

    Args:
        slants: (T,) canonical units.
        seen: (T,) frames that count.
        own: slant of the source's mouth, which may smirk itself.
    """
    low, high = np.quantile(slants[seen], USUAL_SLANTS)
    return _beyond(slants, min(low, own), max(high, own))


def _beyond(values: Array, low: float, high: float) -> Array:
    """Return by how much values lie outside of a range."""
    return np.asarray(np.maximum(values - high, 0) + np.maximum(low - values, 0))


def turning_speeds(timeline: Timeline) -> Array:
    """Return the radians a second by which a head turns, (T,), over both neighbouring frames."""
    turn = np.linalg.norm(np.diff(timeline.pose[:, :3], axis=0), axis=-1)
    step = turn / np.maximum(np.diff(timeline.seconds), LEAST_STEP)
    known = timeline.valid & np.isfinite(timeline.pose[:, :3]).all(-1)
    step = np.where(known[1:] & known[:-1] & (np.diff(timeline.shot) == 0), step, 0.0)
    both = np.pad(step, 1, mode="edge") if len(step) else np.zeros(2)
    return np.asarray((both[1:] + both[:-1]) / 2)


def _measure_window(window: Motion, poses: Array, source: PosedShape) -> tuple[Array, ...]:
    """Return openings, widths and slants of mouths, brows, differences, offsets of a window.

    Args:
        window: frames of the driving motion.
        poses: (T, 7) of these frames.
        source: pose and canonical shape of the source.
    """
    shape = neutral() + np.asarray(window.arrays["expression"], np.float64)
    rotations = matrix_from_rotvec(poses[:, :3])
    scale, shape_rotation, shift = fit_rigid_points(shape, source.shape)
    fitted = scale[:, None, None] * shape @ np.swapaxes(shape_rotation, -1, -2) + shift[:, None]
    rms = np.sqrt(((fitted - source.shape) ** 2)[..., :2].sum(-1).mean(-1))
    # from the axes of the driver's image to those of the source's
    relative = source.rotation @ shape_rotation @ np.swapaxes(rotations, -1, -2)
    angle = np.linalg.norm(rotvec_from_matrix(relative), axis=-1)
    points = rebuild_driver_meshes(window)[..., :2]
    if "skin" in window.arrays:  # as the network finds them, the source's too
        points -= np.asarray(window.arrays["skin"], np.float64) * window.constants["size"][1]
    source_points = source.mesh()[:, :2]
    offset = _offset(points + 0.5, source_points + 0.5)
    centred = points - points.mean(1, keepdims=True)
    crop_offset = _offset(centred, source_points - source_points.mean(0))
    rise = brows.measure(shape - neutral())[0].mean(-1)
    eyes = count_near_eye(eye_openings(shape), poses[:, 1], FAR_EYE_YAW)
    width, slant = closure.mouth_widths(shape), closure.mouth_slants(shape)
    return eyes, mouth_opening(shape), width, slant, rise, angle, rms, offset, crop_offset


def _offset(points: Array, source: Array) -> Array:
    """Return `FrameMeasurements.offset` of points (T, 468, 2) to those of the source (468, 2)."""
    scale = (points * source).sum((1, 2)) / (points**2).sum((1, 2))
    apart = source - scale[:, None, None] * points
    radius = np.linalg.norm(source - source.mean(0))
    return np.asarray(np.linalg.norm(apart, axis=(1, 2)) / radius)


def select_neutral_frames(
    timeline: Timeline, measures: FrameMeasurements
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the frames nearest to a frontal face with open eyes and a closed mouth, in order.

    There are at most NEUTRAL_FRAME_COUNT of them.
    """
    opening = measures.eyes.mean(-1)
    median = measures.median_eye_opening(timeline.unoccluded)
    angle = np.linalg.norm(timeline.pose[:, :2], axis=-1) / NEUTRAL_ANGLE
    score = angle + 2 * np.abs(opening / median - 1) + 6 * measures.mouth
    score = np.where(timeline.unoccluded, score, np.inf)
    best = np.argsort(score, kind="stable")[
        : min(NEUTRAL_FRAME_COUNT, int(timeline.unoccluded.sum()))
    ]
    return np.sort(best)

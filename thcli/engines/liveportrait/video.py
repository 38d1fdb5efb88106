"""A video as the source: its frames keep their own pose and expression.

Each frame takes the driver's change (lip-synced dubbing).
Source: LivePortrait src/{live_portrait_pipeline,utils/filter}.py at 1986663; the smoother is
pykalman's with identity dynamics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thcli.core.options import LivePortraitOptions, MotionOptions
from thcli.core.types import Array, Array32, Motion
from thcli.engines.liveportrait.observer import CANONICAL
from thcli.engines.liveportrait.ratios import OPENINGS
from thcli.engines.liveportrait.retargeting import RetargetingNetworks
from thcli.engines.liveportrait.transfer import (
    TRANSFERABLE,
    HeadMotion,
    TransferGains,
    resting_lips,
    rotate_by,
    turn_head,
)
from thcli.engines.shared.motion_rows import Rows, SmoothedMotion

PROCESS_VARIANCE = 1e-5  # by which the true value changes from frame to frame
OBSERVATION_VARIANCE = 3e-7
# Frames on each side that influence the smoother: each takes a fifth or less of its neighbour.
SMOOTHER_REACH = 24
CLOSED_EYES = 0.18  # eye opening below which the first frame's eyes count as closed
OPEN_EYES = 0.39  # eye opening that is used then


def kalman_smooth(values: Array32, variance: float = OBSERVATION_VARIANCE) -> Array32:
    """Smooth (T, ...) float32 entry by entry with a Kalman smoother, which looks ahead.

    variance: of the observations. Source: Rauch, Tung and Striebel 1965.
    """
    means, variances = np.empty(values.shape), np.empty(len(values))
    mean, state_variance = values[0].astype(np.float64), 1.0
    for t, value in enumerate(values.astype(np.float64)):
        gain = state_variance / (state_variance + variance)
        mean = mean + gain * (value - mean)
        state_variance -= gain * state_variance
        means[t], variances[t] = mean, state_variance
        state_variance += PROCESS_VARIANCE
    out: Array = means.copy()
    for t in range(len(values) - 2, -1, -1):
        gain = variances[t] / (variances[t] + PROCESS_VARIANCE)
        out[t] = means[t] + gain * (out[t + 1] - means[t])
    return out.astype(np.float32)


def transfer_to_video(
    own: HeadMotion,
    driving: HeadMotion,
    gains: TransferGains,
    *,
    relative: bool,
    first: HeadMotion | None = None,
    variance: float = OBSERVATION_VARIANCE,
) -> HeadMotion:
    """Transfer the driver's motion to every source frame.

    Args:
        own: the source's motion (T rows).
        driving: the driver's motion (T rows), or one row: a single image, which is not smoothed.
        gains: shares that are transferred.
        relative: add the driver's change since its reference frame.
        first: the reference frame (1 row), where `driving` is a part of a clip (default: its
            first row).
        variance: observation variance of the smoother.
    """
    is_image = first is None and len(driving.scale) == 1
    reference = driving if first is None else first
    if not relative:
        change = driving.expression - own.expression
        turn = driving.rotation @ np.swapaxes(own.rotation, 1, 2)
    elif is_image:
        change, turn = driving.expression - resting_lips(), np.eye(3, dtype=np.float32)[None]
    else:
        change = driving.expression - reference.expression[:1]
        turn = driving.rotation @ np.swapaxes(reference.rotation[:1], 1, 2)
    expression = own.expression + np.float32(gains.expression) * change
    rotation = rotate_by(own.rotation, turn, gains.pose)
    if not is_image:
        expression, rotation = (
            kalman_smooth(expression, variance),
            kalman_smooth(rotation, variance),
        )
    moved = np.where(gains.mask(TRANSFERABLE), expression, own.expression)
    out = own._replace(expression=moved)
    if gains.moves_head:
        shift = own.shift
        if not relative:
            shift = own.shift + np.float32(gains.pose) * (driving.shift - own.shift)
        out = out._replace(rotation=rotation, shift=shift)
    return out


def eye_opening_offsets(
    networks: RetargetingNetworks, own: Array32, openings: Array32, first: Array32 | None = None
) -> Array32:
    """Compute keypoint offsets (T, 21, 3) that keep the eyes as open as in the first frame.

    Args:
        networks: retargeting networks.
        own: (T, 21, 3) source keypoints.
        openings: (T, 3) openings of the source.
        first: (1, 3) openings of the first frame, where `openings` does not start there.
    """
    target = float((openings if first is None else first)[0, :2].mean())
    wanted = np.full((len(own), 1), OPEN_EYES if target < CLOSED_EYES else target, np.float32)
    return networks.eye_offsets(own, openings[:, :2], wanted)


@dataclass(frozen=True)
class VideoSourceMotion:
    """A source clip's motion as a MotionStore, computed window by window.

    Its rows are own (T, 21, 3), the source's keypoints, and keypoints (T, 21, 3), the target's.
    The driver's reference is its first frame with a face. The driver's time counts from the
    beginning of its clip, the source's from the beginning of its own.

    turn: (3,) degrees by which the driving head is turned further.
    """

    own: SmoothedMotion
    driving: SmoothedMotion
    networks: RetargetingNetworks
    choices: LivePortraitOptions
    options: MotionOptions
    turn: Array32
    kind: str = "liveportrait-followed"

    def __len__(self) -> int:
        return len(self.own)

    def window(self, start: int, stop: int) -> Motion:
        """Return frames start..stop, limited to the clip; `valid` marks frames with a face."""
        start = max(0, min(start, len(self)))
        stop = max(start, min(stop, len(self)))
        motion = self.own.store.window(start, stop)
        points = self._keypoints(start, stop) if stop > start else {}
        return replace(motion, kind=self.kind, arrays=dict(points), constants={})

    def _keypoints(self, start: int, stop: int) -> Rows:
        """Compute the keypoints of frames start..stop, as over the whole clip.

        SMOOTHER_REACH frames on each side are computed along.
        """
        first, last = max(start - SMOOTHER_REACH, 0), min(stop + SMOOTHER_REACH, len(self))
        own_rows, driving_rows = self.own.rows(first, last), self._driving_rows(first, last)
        relative, is_image = self.options.mode == "relative", len(self.driving) == 1
        own_motion = HeadMotion.from_rows(own_rows)
        motion = transfer_to_video(
            turn_head(own_rows, self.turn) if relative and is_image else own_motion,
            turn_head(driving_rows, self.turn),
            TransferGains(self.options.region, self.options.pose, self.options.expression),
            relative=relative,
            first=None if is_image else HeadMotion.from_rows(self._first_row(self.driving)),
            variance=OBSERVATION_VARIANCE * self.options.smooth,
        )
        inner = slice(start - first, stop - first)
        motion = HeadMotion(*(a[inner] for a in motion))
        own_rows = {name: a[inner] for name, a in own_rows.items()}
        if not is_image:
            driving_rows = {name: a[inner] for name, a in driving_rows.items()}
        own = HeadMotion.from_rows(own_rows).keypoints(own_rows[CANONICAL])
        moved = motion.keypoints(own_rows[CANONICAL])
        offsets = None
        if self.choices.keep_eyes:
            first_openings = self._first_row(self.own)[OPENINGS]
            offsets = eye_opening_offsets(self.networks, own, own_rows[OPENINGS], first_openings)
        openings = (own_rows[OPENINGS], driving_rows[OPENINGS])
        out = self.networks.apply(
            own, moved, openings, self.choices, relative=relative, extra_offsets=offsets
        )
        return {"own": own, "keypoints": own + np.float32(self.options.strength) * (out - own)}

    def _driving_rows(self, start: int, stop: int) -> Rows:
        """Return the driver's rows at the times of the source's frames, or its only one."""
        if len(self.driving) == 1:
            return self.driving.row(0)
        return self.driving.rows_at(self.own.seconds[start:stop] - self.own.seconds[0])

    @staticmethod
    def _first_row(motion: SmoothedMotion) -> Rows:
        return motion.row(int(motion.seen[0]))

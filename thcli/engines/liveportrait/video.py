"""A video as the source: each of its frames keeps its own pose and expression and takes the driver's change (lip-synced dubbing).

Source: LivePortrait src/{live_portrait_pipeline,utils/filter}.py at 1986663; the smoother is pykalman's with identity dynamics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thcli.core.options import LivePortraitOptions, MotionOptions
from thcli.core.types import Array, Array32, Motion
from thcli.engines.liveportrait.observer import OWN
from thcli.engines.liveportrait.ratios import OPENINGS
from thcli.engines.liveportrait.retargeting import Corrections
from thcli.engines.liveportrait.transfer import (
    CARRIED,
    RESTING_LIPS,
    Gains,
    Moves,
    turned,
    turned_by,
)
from thcli.engines.shared.motion_rows import Clip, Rows

DRIFT = 1e-5  # variance by which the true value moves from frame to frame
NOISE = 3e-7  # variance of what is observed
HALO = 24  # frames that the smoother remembers: each takes a fifth or less of its neighbour
SLEEPY, AWAKE = (
    0.18,
    0.39,
)  # eye opening below which the first frame's eyes count as shut; opening taken then


def smoothed(values: Array32, noise: float = NOISE) -> Array32:
    """(T, ...) float32, each number on its own through a Kalman filter and back (Rauch, Tung & Striebel 1965): looks ahead."""
    means, variances = np.empty(values.shape), np.empty(len(values))
    mean, variance = values[0].astype(np.float64), 1.0
    for t, value in enumerate(values.astype(np.float64)):
        gain = variance / (variance + noise)
        mean = mean + gain * (value - mean)
        variance -= gain * variance
        means[t], variances[t] = mean, variance
        variance += DRIFT
    out: Array = means.copy()
    for t in range(len(values) - 2, -1, -1):
        back = variances[t] / (variances[t] + DRIFT)
        out[t] = means[t] + back * (out[t + 1] - means[t])
    return out.astype(np.float32)


def follow(
    own: Moves,
    driving: Moves,
    gains: Gains,
    *,
    relative: bool,
    first: Moves | None = None,
    noise: float = NOISE,
) -> Moves:
    """The moves of every source frame. own: (T, ...).  driving: (T, ...), or one row: a single picture, which is not smoothed.

    first: the driver's reference frame, 1 row, where `driving` is a part of a clip (default: its first row).
    """
    still = first is None and len(driving.scale) == 1
    since = driving if first is None else first
    share = np.float32(gains.expression)
    if not relative:
        change, turn = (
            driving.expression - own.expression,
            driving.rotation @ np.swapaxes(own.rotation, 1, 2),
        )
    elif still:
        change, turn = driving.expression - RESTING_LIPS, np.eye(3, dtype=np.float32)[None]
    else:
        change = driving.expression - since.expression[:1]
        turn = driving.rotation @ np.swapaxes(since.rotation[:1], 1, 2)
    expression, rotation = (
        own.expression + share * change,
        turned_by(own.rotation, turn, gains.pose),
    )
    if not still:
        expression, rotation = smoothed(expression, noise), smoothed(rotation, noise)
    out = own._replace(expression=np.where(gains.mask(CARRIED), expression, own.expression))
    if gains.turns:
        shift = (
            own.shift
            if relative
            else own.shift + np.float32(gains.pose) * (driving.shift - own.shift)
        )
        out = out._replace(rotation=rotation, shift=shift)
    return out


def opening_eyes(
    corrections: Corrections, own: Array32, openings: Array32, first: Array32 | None = None
) -> Array32:
    """Corrections (T, 21, 3) that keep the eyes as open as in the first source frame; own: (T, 21, 3), openings: (T, 3).

    first: that frame's openings (1, 3), where these are not the clip's first rows.
    """
    target = float((openings if first is None else first)[0, :2].mean())
    wanted = np.full((len(own), 1), AWAKE if target < SLEEPY else target, np.float32)
    return corrections.eye_change(own, openings[:, :2], wanted)


@dataclass(frozen=True)
class Followed:
    """A source clip's motion as a MotionStore, computed window by window. turn: degrees (3,) by which the driving head is turned further.

    Rows: own (T, 21, 3), where the source's keypoints are, and keypoints (T, 21, 3), where they go.  The driver's reference is the
    first frame that shows him; his time counts from his clip's beginning, the source's from its own.
    """

    own: Clip
    driving: Clip
    corrections: Corrections
    choices: LivePortraitOptions
    options: MotionOptions
    turn: Array32
    kind: str = "liveportrait-followed"

    def __len__(self) -> int:
        return len(self.own)

    def window(self, start: int, stop: int) -> Motion:
        """Frames start..stop, clipped to the clip; `valid` says where the source's face was really seen."""
        start = max(0, min(start, len(self)))
        stop = max(start, min(stop, len(self)))
        motion = self.own.store.window(start, stop)
        points = self._points(start, stop) if stop > start else {}
        return replace(motion, kind=self.kind, arrays=dict(points), constants={})

    def _points(self, start: int, stop: int) -> Rows:
        """As over the whole clip: with as many neighbours as the smoother remembers."""
        first, last = max(start - HALO, 0), min(stop + HALO, len(self))
        mine, theirs = self.own.rows(first, last), self._driven(first, last)
        relative, single = self.options.mode == "relative", len(self.driving) == 1
        gains = Gains(self.options.region, self.options.pose, self.options.expression)
        moves = follow(
            turned(mine, self.turn) if relative and single else Moves.of(mine),
            turned(theirs, self.turn),
            gains,
            relative=relative,
            first=None if single else Moves.of(self._first(self.driving)),
            noise=NOISE * self.options.smooth,
        )
        inner = slice(start - first, stop - first)
        moves, mine = (
            Moves(*(a[inner] for a in moves)),
            {name: a[inner] for name, a in mine.items()},
        )
        theirs = theirs if single else {name: a[inner] for name, a in theirs.items()}
        own, moved = Moves.of(mine).place(mine[OWN]), moves.place(mine[OWN])
        openings = (mine[OPENINGS], theirs[OPENINGS])
        added = None
        if self.choices.keep_eyes:
            added = opening_eyes(
                self.corrections, own, mine[OPENINGS], self._first(self.own)[OPENINGS]
            )
        out = self.corrections.apply(
            own, moved, openings, self.choices, relative=relative, added=added
        )
        return {"own": own, "keypoints": own + np.float32(self.options.strength) * (out - own)}

    def _driven(self, start: int, stop: int) -> Rows:
        """The driver's rows at the times of the source's frames; his only one where a single picture drives."""
        if len(self.driving) == 1:
            return self.driving.row(0)
        return self.driving.at(self.own.seconds[start:stop] - self.own.seconds[0])

    @staticmethod
    def _first(clip: Clip) -> Rows:
        return clip.row(int(clip.seen[0]))

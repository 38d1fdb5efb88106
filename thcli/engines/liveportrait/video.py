"""A video as the source: each of its frames keeps its own pose and expression and takes the driver's change (lip-synced dubbing).

Source: LivePortrait src/{live_portrait_pipeline,utils/filter}.py at 1986663; the smoother is pykalman's with identity dynamics.
"""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array, Array32
from thcli.engines.liveportrait.corrections import Corrections
from thcli.engines.liveportrait.transfer import CARRIED, RESTING_LIPS, Gains, Moves

DRIFT = 1e-5  # variance by which the true value moves from frame to frame
NOISE = 3e-7  # variance of what is observed
SLEEPY, AWAKE = 0.18, 0.39  # eye opening below which the first frame's eyes count as shut; opening taken then


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


def follow(own: Moves, driving: Moves, gains: Gains, *, relative: bool, noise: float = NOISE) -> Moves:
    """The moves of every source frame. own: (T, ...).  driving: (T, ...), or one row: a single picture, which is not smoothed."""
    still = len(driving.scale) == 1
    share = np.float32(gains.expression)
    if not relative:
        expression, turned = own.expression + share * (driving.expression - own.expression), driving.rotation
    elif still:
        expression, turned = own.expression + share * (driving.expression - RESTING_LIPS), own.rotation
    else:
        expression = own.expression + share * (driving.expression - driving.expression[:1])
        turned = np.asarray(driving.rotation @ driving.rotation[:1].transpose(0, 2, 1) @ own.rotation, np.float32)
    if not still:
        expression, turned = smoothed(expression, noise), smoothed(turned, noise)
    out = own._replace(expression=np.where(gains.mask(CARRIED), expression, own.expression))
    if gains.turns:
        turned = np.broadcast_to(turned, own.rotation.shape)
        shift = own.shift if relative else np.broadcast_to(driving.shift, own.shift.shape)
        out = out._replace(rotation=turned, shift=shift)
    return out


def opening_eyes(corrections: Corrections, own: Array32, openings: Array32) -> Array32:
    """Corrections (T, 21, 3) that keep the eyes as open as in the first source frame; own: (T, 21, 3), openings: (T, 3)."""
    target = float(openings[0, :2].mean())
    wanted = np.full((len(own), 1), AWAKE if target < SLEEPY else target, np.float32)
    return corrections.eye_change(own, openings[:, :2], wanted)

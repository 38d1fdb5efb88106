"""Articulation of a voice against a person: sync, closures of the lips, amplitudes.

Sound and picture of a recording are often out of step, so that the truth may lag. The best shift is
found speaker by speaker; the floor is what the same search finds for another clip's sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.audio.phones import PHONES
from thcli.core.types import Array, Array32
from thcli.motion import anatomy
from thcli.motion.canonical import mouth_opening

SHUT = 0.012  # opening over the mouth's width below which lips are shut; trackers have such noise
TOLERANCE = 0.04  # seconds
SEARCH = 0.3  # seconds to each side in which sound and picture may be out of step
BILABIAL = [PHONES.index(name) for name in ("P", "B", "M")]
SURE = 0.5  # least posterior of p, b and m together
APART = 0.08  # seconds; two that are no farther apart count as one
LIP_MIDDLES = (0, 13, 14, 17)  # outer and inner points of the upper, inner and outer of the lower
FEATURES = ("opening", "width", "protrusion", "jaw")
Flags = npt.NDArray[np.bool_]


def mouth_features(shape: Array) -> dict[str, Array]:
    """Return the curves of `FEATURES` (T,) of canonical shapes (T, 468, 3).

    The opening is over the mouth's width. Width, protrusion (of the middle of the lips, towards the
    camera) and jaw (chin, downwards) are in canonical units.
    """
    left, right = (shape[:, corner, :2] for corner in anatomy.INNER_MOUTH_CORNERS)
    return {
        "opening": mouth_opening(shape),
        "width": np.linalg.norm(right - left, axis=-1),
        "protrusion": -shape[:, LIP_MIDDLES, 2].mean(1),
        "jaw": shape[:, anatomy.CHIN, 1],
    }


def correlation(a: Array, b: Array) -> float:
    """Return Pearson's correlation of curves (T,) where both are known, 0 for a constant one."""
    return known_correlation(a, b) or 0.0


def known_correlation(a: Array, b: Array) -> float | None:
    """Return Pearson's correlation of curves (T,), None for a constant or hardly known one."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 8:
        return None
    x, y = a[known] - a[known].mean(), b[known] - b[known].mean()
    spread = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / spread if spread > 1e-12 else None


@dataclass(frozen=True, slots=True)
class Sync:
    """Best shift of a speaker.

    Attributes:
        seconds: that the picture is late.
        correlation: at that shift.
    """

    seconds: float
    correlation: float


def find_sync(clips: Sequence[tuple[Array, Array, Array]]) -> Sync:
    """Find the shift of the truth at which a speaker's curves correlate best.

    Args:
        clips: seconds, truth and result of each clip, (T,) each.
    """
    lengths = [len(seconds) for seconds, _, _ in clips]
    best = Sync(0.0, -2.0)
    for step in sorted(range(-15, 16), key=abs):
        lag = step * SEARCH / 15
        found = [correlation(shift(seconds, t, lag), r) for seconds, t, r in clips]
        mean = float(np.average(found, weights=lengths))
        if mean > best.correlation + 1e-9:
            best = Sync(lag, mean)
    return best


def shift(seconds: Array, curve: Array, lag: float) -> Array:
    """Return a curve (T,) that is late by `lag` seconds in step, NaN where it is unknown."""
    known = np.isfinite(curve)
    if known.sum() < 2:
        return np.full(len(curve), np.nan)
    moved: Array = np.interp(seconds + lag, seconds[known], curve[known], np.nan, np.nan)
    return moved


def closure_matches(seconds: Array, truth: Array, result: Array) -> tuple[int, int, int, int]:
    """Compare closures of the lips, within TOLERANCE.

    Returns:
        The truth's closures that the result has, all of the truth's, the result's that the truth
        has, and all of the result's.
    """
    own, others = shut_runs(seconds, truth), shut_runs(seconds, result)

    def hits(runs: Sequence[tuple[float, float]], among: Sequence[tuple[float, float]]) -> int:
        return sum(
            any(b - TOLERANCE <= end and begin <= e + TOLERANCE for b, e in among)
            for begin, end in runs
        )

    return hits(own, others), len(own), hits(others, own), len(others)


def shut_runs(seconds: Array, opening: Array) -> list[tuple[float, float]]:
    """Return begin and end in seconds of each run of shut lips."""
    flags = np.concatenate([[0], (np.nan_to_num(opening, nan=1.0) < SHUT).astype(int), [0]])
    edges = np.flatnonzero(np.diff(flags)).reshape(-1, 2)
    return [(float(seconds[a]), float(seconds[b - 1])) for a, b in edges]


def bilabial_times(phones: Array32) -> Array:
    """Return the times in seconds of the recognised p, b and m, in order.

    Args:
        phones: (T, 42) log posteriors, 100 rows per second.
    """
    sure = np.flatnonzero(np.exp(phones[:, BILABIAL].astype(np.float64)).sum(1) > SURE)
    if not len(sure):
        return np.zeros(0)
    runs = np.split(sure, np.flatnonzero(np.diff(sure) > APART * 100) + 1)
    return np.array([(run[0] + run[-1]) / 200 for run in runs])


def shut_share(seconds: Array, opening: Array, times: Array) -> tuple[int, int]:
    """Return how many times (N,) have shut lips within TOLERANCE, and how many are in the clip."""
    known = seconds[np.isfinite(opening)]
    if not len(known):
        return 0, 0
    inside = times[(times >= known[0]) & (times <= known[-1])]
    shut = seconds[np.nan_to_num(opening, nan=1.0) < SHUT]
    hit = [
        bool(len(shut)) and float(np.abs(shut - t).min()) <= TOLERANCE + 0.5 / 25 for t in inside
    ]
    return int(sum(hit)), len(inside)


def amplitude_ratio(truth: Array, result: Array, chosen: Flags) -> float | None:
    """Return the deviation of a result over that of the truth in the chosen frames."""
    known = chosen & np.isfinite(truth)
    spread = float(truth[known].std()) if known.sum() >= 8 else 0.0
    return float(result[known].std()) / spread if spread > 1e-9 else None

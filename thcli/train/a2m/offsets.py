"""Sound and picture of talking clips put in step, speaker by speaker.

Two estimates are made. A ridge regression from the phones to the lip opening, learnt from other
speakers, is slid over the speaker's clips. And the recognised p, b and m are slid over the times at
which the lips are shut. Recordings are out of step by -60 to 240 ms, which differs from speaker to
speaker; without a correction the targets disagree by as much. Speakers of one camera are late
together, which the regression cannot tell: all are shifted until shut lips are as early before
recognised p, b and m as those of the default voice's speakers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thcli.core.events import Listener, Warned, silent
from thcli.core.types import Array, Array32
from thcli.train.a2m.clips import BILABIAL, CLOSED, TalkingClip
from thcli.voices.a2m.articulation import LEAD

STEP = 0.02  # seconds, a row of motion
LIMIT = 15  # steps to each side
LAGS = np.arange(-LIMIT, LIMIT + 1)
FOLDS = 5
ROUNDS = 3
TAPS = np.arange(-28, 29, 4)  # rows of sound, 100 per second, that the regression sees
RIDGE = 300.0
MOST_FRAMES = 600  # of a speaker that count
AGREE = 2  # steps within which the two estimates are averaged
PEAK = 0.2  # least correlation at the best offset
PROMINENCE = 0.06  # of the peak above the mean of all offsets
MOST_COMMON = 10  # steps: LEAD, and a camera that is late by 0.14 s


def correct_offsets(clips: Sequence[TalkingClip], on: Listener = silent) -> list[TalkingClip]:
    """Shift the frames' times of each speaker into step with the sound.

    Speakers without a clear peak are left out with a warning, unless none would be left. With one
    speaker nothing can be learnt from others, and nothing is changed.

    Args:
        clips: The clips; `seconds` is changed in place.
        on: Listener for warnings.

    Returns:
        The clips that are left.
    """
    speakers = sorted({clip.speaker for clip in clips})
    if len(speakers) < 2:
        return list(clips)
    offsets = dict.fromkeys(speakers, 0)
    by_speaker = {name: [c for c in clips if c.speaker == name] for name in speakers}
    closures = {name: _closure_curve(by_speaker[name]) for name in speakers}
    curves: dict[str, Array] = {}
    for _ in range(ROUNDS):
        curves = _regression_curves(by_speaker, offsets)
        offsets = {name: _choose_offset(curve, closures[name]) for name, curve in curves.items()}
    clear = [name for name in speakers if _is_clear(curves[name])]
    common = _common_offset(
        [
            (sum(int(clip.seen.sum()) for clip in by_speaker[name]), closures[name], offsets[name])
            for name in clear
        ]
    )
    kept = []
    for name in speakers:
        if name in clear:
            for clip in by_speaker[name]:
                clip.seconds = clip.seconds - (offsets[name] + common) * STEP
            kept += by_speaker[name]
        else:
            on(Warned(f"{name} is left out: its sound and its picture do not fit each other."))
    return kept or list(clips)


def _choose_offset(regression: Array, closures: Array) -> int:
    """Return the offset in steps from the curves of both estimates, (len(LAGS),)."""
    first, second = int(LAGS[regression.argmax()]), int(LAGS[closures.argmax()])
    return round((first + second) / 2) if abs(first - second) <= AGREE else first


def _common_offset(speakers: Sequence[tuple[int, Array, int]]) -> int:
    """Return the steps by which all speakers together are late, 0 where they do not tell.

    The peak is one of all curves together, each from its speaker's offset on.

    Args:
        speakers: Frames, curve of the closures (len(LAGS),) and offset of each.
    """
    if not speakers:
        return 0
    offsets = [offset for _, _, offset in speakers]
    lags = np.arange(-LIMIT - min(offsets), LIMIT - max(offsets) + 1)  # that all curves have
    if len(lags) < 3:
        return 0
    curves = [curve[lags + offset + LIMIT] for _, curve, offset in speakers]
    shares = [min(frames, MOST_FRAMES) for frames, _, _ in speakers]
    pooled = np.average(curves, 0, shares)
    common = int(lags[pooled.argmax()]) + LEAD
    return common if _is_clear(pooled) and abs(common) <= MOST_COMMON else 0


def _is_clear(curve: Array) -> bool:
    best = int(curve.argmax())
    inside = 0 < best < len(curve) - 1
    return bool(inside and curve[best] > PEAK and curve[best] - curve.mean() > PROMINENCE)


def _regression_curves(
    by_speaker: dict[str, list[TalkingClip]], offsets: dict[str, int]
) -> dict[str, Array]:
    """Return correlations (len(LAGS),) of each speaker with a regression from the others."""
    names = list(by_speaker)
    folds = [names[i::FOLDS] for i in range(min(FOLDS, len(names)))]
    sums = [
        _normal_equations([(c, offsets[name]) for name in fold for c in by_speaker[name]])
        for fold in folds
    ]
    curves = {}
    for fold, own in zip(folds, sums, strict=True):
        gram = sum(other[0] for other in sums) - own[0] + RIDGE * np.eye(len(own[0]))
        weights = np.asarray(
            np.linalg.solve(gram, sum(other[1] for other in sums) - own[1]), np.float64
        )
        for name in fold:
            curves[name] = _slide([(c, filter_rows(c, weights)) for c in by_speaker[name]])
    return curves


def _normal_equations(clips: Sequence[tuple[TalkingClip, int]]) -> tuple[Array, Array]:
    size = len(TAPS) * clips[0][0].phones.shape[1] + 1
    gram, moments = np.zeros((size, size)), np.zeros(size)
    frames: dict[str, int] = {}
    for clip, _ in clips:
        frames[clip.speaker] = frames.get(clip.speaker, 0) + int(clip.seen.sum())
    for clip, offset in clips:
        context = _context(clip, clip.seconds[clip.seen] - offset * STEP).astype(np.float64)
        share = min(1.0, MOST_FRAMES / max(frames[clip.speaker], 1))
        values = clip.opening[clip.seen].astype(np.float64)
        values = values / max(float(clip.opening.std()), CLOSED)
        gram += share * (context.T @ context)
        moments += share * (context.T @ values)
    return gram, moments


def _context(clip: TalkingClip, seconds: Array) -> Array32:
    """Return the phones around times (F,), (F, taps * phones + 1), the last column 1."""
    at = np.round(seconds * 100).astype(int)[:, None] + TAPS
    rows = np.maximum(clip.phones, -8)[np.clip(at, 0, len(clip.phones) - 1)] / 4 + 1
    return np.concatenate([rows.reshape(len(at), -1), np.ones((len(at), 1))], 1).astype(np.float32)


def filter_rows(clip: TalkingClip, weights: Array) -> Array:
    """Return the regression's opening (T,) at the rows of a clip's sound."""
    return np.asarray(_context(clip, np.arange(len(clip.phones)) / 100) @ weights)


def _closure_curve(clips: Sequence[TalkingClip]) -> Array:
    """Return the correlations (len(LAGS),) of shut lips with recognised p, b and m."""
    parts = []
    for clip in clips:
        shut = np.exp(clip.phones[:, BILABIAL].astype(np.float64)).sum(1)
        parts.append((clip, -np.convolve(shut, np.ones(7) / 7, "same")))
    return _slide(parts, shut=True)


def _slide(parts: Sequence[tuple[TalkingClip, Array]], shut: bool = False) -> Array:
    """Return the correlation of curves of the sound with the lips at each of LAGS, (len(LAGS),).

    Means over the clips, by their frames.

    Args:
        parts: Clips and a curve (T,) of each, 100 rows per second.
        shut: Compare with whether the lips are shut instead of their opening.
    """
    total, frames = np.zeros(len(LAGS)), 0
    for clip, curve in parts:
        truth = clip.opening[clip.seen].astype(np.float64)
        if shut:
            truth = (truth >= CLOSED).astype(np.float64)
        at = np.arange(len(curve)) / 100
        for number, lag in enumerate(LAGS):
            heard = np.interp(clip.seconds[clip.seen] - lag * STEP, at, curve)
            spread = heard.std() * truth.std()
            if spread > 1e-9:
                product = ((heard - heard.mean()) * (truth - truth.mean())).mean() / spread
                total[number] += product * len(truth)
        frames += len(truth)
    return total / max(frames, 1)

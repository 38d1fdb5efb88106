"""Tests of the correction of a smoothed head path by the motion of its pixels."""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array
from thcli.faces.tracking.head_motion import Similarity
from thcli.motion.timeline import Ints
from thcli.pipeline.editing.pixel_motion import MOST, pixel_corrections

COUNT, SIZE = 60, 100.0


def correct(path: Array, steps: list[Similarity | None], segment: Ints | None = None) -> Array:
    seconds = np.arange(COUNT) / 25
    label: Ints = np.zeros(COUNT, np.int64) if segment is None else segment
    added = pixel_corrections(path, np.full(COUNT, SIZE), steps, seconds, label)
    return np.asarray(path + added)


def test_repeated_frames_rest_and_drift_does_not_count() -> None:
    """Every second frame repeats; pixels drift by a tenth of the motion, as in a turn."""
    true = np.repeat(np.arange(COUNT // 2) * 4.0, 2)
    smooth = np.stack([np.arange(COUNT) * 2.0, np.zeros(COUNT)], 1)
    moves = np.diff(true, prepend=0.0)
    steps: list[Similarity | None] = [Similarity(1.0, complex(1.1 * m, 0)) for m in moves]
    middle = slice(15, 45)
    before, after = (np.diff(one[middle, 0]) for one in (smooth, correct(smooth, steps)))
    wanted = np.diff(true[middle])
    assert np.abs(after - wanted).max() < 0.35 * np.abs(before - wanted).max()
    assert np.abs(correct(smooth, steps)[middle, 0] - smooth[middle, 0]).max() < 2.5


def test_unknown_steps_scenes_and_lost_heads_change_nothing() -> None:
    path = np.stack([np.arange(COUNT) * 2.0, np.ones(COUNT)], 1)
    assert np.allclose(correct(path, [None] * COUNT), path)
    jump = path + np.where(np.arange(COUNT) < 30, 0, 400.0)[:, None]
    own: list[Similarity | None] = [Similarity(1.0, 2 + 0j)] * COUNT
    label = (np.arange(COUNT) >= 30).astype(np.int64)
    assert np.allclose(correct(jump, own, label), jump)
    lost = path.copy()
    lost[20:25] = np.nan
    assert np.isfinite(correct(lost, own)[:20]).all() and np.isnan(correct(lost, own)[20:25]).all()


def test_the_correction_is_limited() -> None:
    path = np.zeros((COUNT, 2))
    steps: list[Similarity | None] = [Similarity()] * COUNT
    steps[30] = Similarity(1.0, 50 + 0j)
    assert np.abs(correct(path, steps)).max() <= MOST * SIZE

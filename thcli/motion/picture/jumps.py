"""Jumps of a measured camera or torso that the driver's head does not share.

An estimator that changes its mind, about what is background or where a torso is, moves a whole
picture between two frames. A real jerk of a camera moves the head in the frame as well.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.motion.picture.shots import Ints, split_shots

ARM = 0.4  # image heights at which roll and zoom count as motion
LEAST_JUMP = 0.006  # image heights of a step between two frames that shows
OUTLIER = 1.5  # times the largest step around it
AROUND = 2  # frames before and after, whose steps a jump is compared with
HEAD = 1.5  # times the head's step in the frame
EASE = 0.5  # seconds over which what a jump has changed comes
# Frames after rest, image heights of motion in them, and how many times the head's: a false start
START, LEAST_START, START_HEAD = 3, 0.02, 2.0


def without_false_starts(camera: Array, head: Array, shot: Ints) -> Array:
    """Return cameras (T, 4), at rest from where one begins to move at once and the head does not.

    It rests until it does so by itself. Before a plain wall a body that leans in is the camera as
    soon as it has moved further than bodies sway.

    Args:
        camera: (T, 4) rows of `camera`.
        head: (T, 4) the head's motion in the frames as such rows; NaN where it is not seen.
        shot: (T,) numbers of the shots.
    """
    moving, same_shot = np.asarray(camera.any(1)), shot[1:] == shot[:-1]
    begins = np.flatnonzero(moving[1:] & ~moving[:-1] & same_shot) + 1
    ends = np.append(np.flatnonzero(moving[:-1] & ~(moving[1:] & same_shot)) + 1, len(camera))
    out, path = camera.copy(), _sizes(np.diff(head, axis=0))
    for first, end in zip(begins, ends[np.searchsorted(ends, begins, "right")], strict=True):
        started = min(first + START, end)
        came = float(_sizes(camera[started - 1]))
        with_head = START_HEAD * path[first - 1 : started - 1].sum()
        if came > LEAST_START and came > with_head:  # not where the head is not seen
            out[first:end] = 0
    return out


def ease_jumps(motion: Array, head: Array, seconds: Array, shot: Ints) -> Array:
    """Return a motion (T, 4) whose jumps come gradually, without those that are taken back.

    Args:
        motion: rows of `camera`, of a camera or a torso.
        head: (T, 4) the head's as such rows, which moves as the motion does; NaN where it is not
            seen.
        seconds: (T,) times of the frames.
        shot: (T,) numbers of the shots.
    """
    out = motion.copy()
    for frames in split_shots(shot):
        out[frames] = _without_outliers(motion[frames], head[frames])
        out[frames] -= _jumps(out[frames], head[frames], seconds[frames])
    return out


def _without_outliers(motion: Array, head: Array) -> Array:
    """Return one shot's motion (T, 4) without frames that leave it and come back."""
    window = 2 * AROUND + 1
    if len(motion) < window:
        return motion
    out = motion.copy()
    middle, its_head = (
        np.median(sliding_window_view(rows, window, 0), -1) for rows in (motion, head)
    )
    inner = slice(AROUND, len(motion) - AROUND)
    away = _sizes(motion[inner] - middle)
    its_own = (away > LEAST_JUMP) & (away > HEAD * _sizes(head[inner] - its_head))
    out[inner][its_own] = middle[its_own]
    return out


def _jumps(motion: Array, head: Array, seconds: Array) -> Array:
    """Return what is to be taken from each frame of one shot, (T, 4)."""
    steps, excess = np.diff(motion, axis=0), np.zeros_like(motion)
    sizes, path = _sizes(steps), _sizes(np.diff(head, axis=0))
    for i in np.flatnonzero((sizes > LEAST_JUMP) & (sizes > HEAD * path)):
        others = [j for j in range(i - AROUND, i + AROUND + 1) if j != i and 0 <= j < len(steps)]
        if not others or sizes[i] <= OUTLIER * sizes[others].max():
            continue
        change = steps[i] - np.median(steps[others], 0)
        frames = slice(i + 1, int(np.searchsorted(seconds, seconds[i + 1] + EASE, "right")))
        since = seconds[frames] - seconds[i + 1]
        excess[frames] += change * (1 - smoothstep(0, EASE, since))[:, None]
    return excess


def _sizes(rows: Array) -> Array:
    """Return by how much rows (..., 4) of `camera` move a picture, (...) image heights."""
    zoom, roll, x, y = np.moveaxis(rows, -1, 0)
    return np.asarray(np.hypot(x, y) + ARM * (np.abs(zoom) + np.abs(roll)))

"""Correction of a smoothed head path by the motion of the head's pixels.

A filter in time turns a jerk into a ramp, and moves a head in repeated frames, whose pixels rest.
What is painted then slides over the skin. Steps that pixels give are exact but drift as the head
turns. So the path keeps its slow motion, and takes its fast motion from the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thcli.core.types import Array
from thcli.faces.crops.stabilize import local_linear_fit
from thcli.faces.tracking.head_motion import Similarity
from thcli.motion.timeline import Ints

FAST = 0.12  # seconds: faster motion is that of the pixels
REACH = 24  # frames to each side
MOST = 0.05  # limit of the correction, in sizes of the head


def pixel_corrections(
    path: Array,
    sizes: Array,
    steps: Sequence[Similarity | None],
    seconds: Array,
    segment: Ints,
) -> Array:
    """Return what to add to the positions of a head, (T, 2) pixels.

    Args:
        path: (T, 2) smoothed positions; NaN in frames without the head.
        sizes: (T,) distance of the outer eye corners, pixels.
        steps: motion of the head since the previous frame; None where it is unknown.
        seconds: (T,) times.
        segment: (T,) numbers; a correction crosses no change.
    """
    known = np.asarray(np.isfinite(path).all(1), np.bool_)
    error = np.zeros_like(path)
    for t in range(1, len(path)):
        step = steps[t]
        if step is not None and known[t] and known[t - 1] and segment[t] == segment[t - 1]:
            error[t] = step.apply(path[t - 1]) - path[t]
    total = np.cumsum(error, 0)
    slow = local_linear_fit(total, seconds, known, segment, FAST, REACH)
    limit = MOST * np.where(known, sizes, 0.0)[:, None]
    fast = np.where(known[:, None], total - slow, 0.0)
    return np.asarray(np.clip(fast, -limit, limit))

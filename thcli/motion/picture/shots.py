"""Shots of a clip, which begin at cuts of the tracker."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.intp]


def split_shots(shot: Ints) -> list[Ints]:
    """Return the frames of each shot, from the number (T,) of each frame's."""
    return np.split(np.arange(len(shot)), np.flatnonzero(np.diff(shot)) + 1)

"""Damped least squares, and linear systems of frames that are linked by smoothness."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from scipy.linalg import solveh_banded

from thcli.core.types import Array

_TOLERANCE = 1e-3  # relative decrease of the loss of a last step
_DAMPING = 1e-4
_ATTEMPTS = 5  # dampings tried in one round

State = TypeVar("State")
System = TypeVar("System")


def descend(
    state: State,
    loss: Callable[[State], float],
    linear: Callable[[State], System],
    step: Callable[[State, System, float], State],
    rounds: int,
) -> State:
    """Minimise by Levenberg-Marquardt: a step that does not lower the loss is damped more.

    Args:
        state: start.
        loss: value of a state.
        linear: linear system about a state.
        step: state that solves a system with a damping, relative to its diagonal.
        rounds: linear systems at most.
    """
    value, damping = loss(state), _DAMPING
    for _ in range(rounds):
        system = linear(state)
        for _ in range(_ATTEMPTS):
            candidate = step(state, system, damping)
            reached = loss(candidate)
            if reached < value:
                break
            damping *= 10
        else:
            return state
        finished = value - reached < _TOLERANCE * value
        state, value, damping = candidate, reached, damping / 5
        if finished:
            break
    return state


def solve_chain(matrix: Array, smooth: Array, links: Array, right: Array) -> Array:
    """Solve the normal equations of frames that are linked by smoothness alone.

    Args:
        matrix: (T, P, P) of each frame.
        smooth: (P,) weight of the links of each parameter.
        links: (T, T) matrix of the links, zero beyond two frames.
        right: (T, P).

    Returns:
        (T, P).
    """
    frames, count = right.shape
    reach = min(2, frames - 1) * count if smooth.any() else 0
    width = max(reach, count - 1)
    banded = np.zeros((width + 1, frames, count))
    row, column = np.triu_indices(count)
    banded[width + row - column, :, column] = matrix[:, row, column].T
    for lag in range(reach // count + 1):
        values = np.diagonal(links, lag)
        banded[width - lag * count, lag:] += values[:, None] * smooth
    flat = banded.reshape(width + 1, -1)
    solved = solveh_banded(flat, right.ravel(), overwrite_ab=True, check_finite=False)
    return np.asarray(solved).reshape(frames, count)


def second_differences(frames: int) -> Array:
    """Return the matrix of x[t] - (x[t-1] + x[t+1]) / 2, with repeated ends."""
    matrix = np.eye(frames)
    for t in range(frames):
        for near in (t - 1, t + 1):
            matrix[t, min(max(near, 0), frames - 1)] -= 0.5
    return matrix

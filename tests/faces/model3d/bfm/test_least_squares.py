"""Damped least squares, and systems of frames linked by smoothness."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.faces.model3d.bfm.least_squares import descend, second_differences, solve_chain


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
@pytest.mark.parametrize("smooth", [0.0, 2.0])
def test_chains_are_solved(frames: int, smooth: float) -> None:
    """The banded solution is that of the whole matrix."""
    rng = np.random.default_rng(frames)
    count = 4
    roots = rng.standard_normal((frames, count, count))
    matrix = roots @ np.swapaxes(roots, 1, 2) + np.eye(count)
    weights = smooth * np.array([1.0, 0.0, 2.0, 0.5])
    second = second_differences(frames)
    links = second.T @ second
    whole = np.kron(links, np.diag(weights))
    for t in range(frames):
        own = slice(t * count, (t + 1) * count)
        whole[own, own] += matrix[t]
    right = rng.standard_normal((frames, count))
    wanted = np.linalg.solve(whole, right.ravel()).reshape(frames, count)
    np.testing.assert_allclose(solve_chain(matrix, weights, links, right), wanted, atol=1e-9)


def test_second_differences() -> None:
    """They vanish on lines inside, and the ends repeat."""
    line = second_differences(5) @ np.arange(5.0)
    np.testing.assert_allclose(line, [-0.5, 0, 0, 0, 0.5])
    assert second_differences(1).tolist() == [[0.0]]


def test_overshooting_steps_are_damped() -> None:
    """Full steps on arctan(x) ** 2 diverge from x = 2; damped ones reach 0."""

    def loss(x: float) -> float:
        return float(np.arctan(x) ** 2)

    def step(x: float, slope: float, damping: float) -> float:
        return x - float(np.arctan(x)) / slope / (1 + damping)

    def linear(x: float) -> float:
        return 1 / (1 + x**2)

    assert loss(step(2.0, linear(2.0), 0.0)) > loss(2.0)
    reached: float = descend(2.0, loss, linear, step, 20)
    assert -1e-3 < reached < 1e-3
    assert descend(0.0, loss, linear, step, 20) == 0.0

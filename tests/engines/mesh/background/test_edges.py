"""Samples from beyond a picture's edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from thcli.engines.mesh.background.edges import sample_person


@pytest.mark.parametrize("shift", [(0, -70), (-60.3, 0), (64.7, 8.1), (-31.4, -45.2), (150, 170)])
def test_samples_beyond_a_solid_persons_edges_are_mirrored(shift: tuple[float, float]) -> None:
    person = np.random.default_rng(4).integers(0, 256, (90, 100, 4), np.uint8)
    person[..., 3] = 255
    x, y = np.meshgrid(np.arange(100) * 0.97 + shift[0], np.arange(90) * 1.03 + shift[1])
    positions = np.dstack([x, y]).astype(np.float32)
    expected = cv2.remap(
        person, positions[..., 0], positions[..., 1], 1, borderMode=cv2.BORDER_REFLECT_101
    )
    assert np.array_equal(sample_person(person, positions), expected)


def test_soft_pixels_beyond_an_edge_lie_over_it_and_have_its_alpha() -> None:
    rng = np.random.default_rng(7)
    person = rng.integers(0, 256, (40, 30, 4), np.uint8)
    person[..., :3] = np.minimum(person[..., :3], person[..., 3:])
    x, y = np.meshgrid(np.arange(-20, 30), np.arange(40))
    found = sample_person(person, np.dstack([x, y]).astype(np.float32))
    above = person[:, 20:0:-1].astype(np.float64)
    edge = np.broadcast_to(person[:, :1], above.shape).astype(np.float64)
    over = np.minimum(above + np.rint(edge * (255 - above[..., 3:]) / 255), 255)
    expected = over * edge[..., 3:] / np.maximum(over[..., 3:], 1)
    assert np.abs(found[:, :20] - expected).max() <= 0.5
    assert np.array_equal(found[:, :20, 3], edge[..., 3])
    assert np.array_equal(found[:, 20:], person)

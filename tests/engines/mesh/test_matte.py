"""Separation of the person from the background: strands of hair, earrings."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.engines.mesh.background.strands import find_strands


def test_strands_of_hair_belong_to_the_person_and_leave_the_plate() -> None:
    """A head on a bare wall with loose strands; the matte ends where the head does."""
    image = np.full((200, 200, 3), 0.8, np.float32)
    alpha = np.zeros((200, 200), np.float32)
    cv2.circle(image, (100, 110), 50, (0.1, 0.1, 0.1), -1)
    cv2.circle(alpha, (100, 110), 50, 1.0, -1)
    alpha = np.asarray(cv2.GaussianBlur(alpha, (5, 5), 0), np.float32)
    cv2.line(image, (140, 90), (172, 76), (0.15, 0.15, 0.15), 1)
    cv2.line(image, (20, 40), (30, 44), (0.15, 0.15, 0.15), 1)  # on the wall, not of the head
    found = find_strands(image, alpha, 100.0)
    assert found[78:86, 151:166].sum() >= 10 and found[30:50, 15:35].sum() == 0
    pale = image.copy()
    cv2.line(pale, (60, 130), (44, 156), (0.7, 0.5, 0.6), 2)  # an earring, of a colour of its own
    ring = find_strands(pale, alpha, 100.0)
    assert ring[140:158, 42:54].sum() >= 10 and not find_strands(image, alpha, 100.0)[140:158].any()
    crossed = image.copy()
    cv2.line(crossed, (0, 120), (200, 120), (0.3, 0.3, 0.3), 1)  # goes on: a line of the wall
    cv2.circle(crossed, (100, 110), 50, (0.1, 0.1, 0.1), -1)
    assert find_strands(crossed, alpha, 100.0)[118:123].sum() == 0
    striped = image.copy()
    striped[::6, :60] = striped[::6, 140:] = 0.2
    assert find_strands(striped, alpha, 100.0)[(striped == np.float32(0.2)).all(-1)].sum() == 0

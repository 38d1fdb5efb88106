"""Hands near a face: found by MediaPipe's networks, and what they cover."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faces import synthetic_hand
from tests.faces.conftest import weights_file
from thcli.core.types import Array
from thcli.faces.detection.hands import BONES, PALM, HandFinder, cover

Pixels = npt.NDArray[np.uint8]
FACE: Array = np.array([178.0, 75.0, 272.0, 175.0])  # of the astronaut


@pytest.fixture(scope="module")
def finder() -> HandFinder:
    return HandFinder(weights_file("palm"), weights_file("hand"))


def test_anchors() -> None:
    assert PALM.anchors().shape == (2016, 2)


@pytest.mark.parametrize("size", [45.0, 65.0])
@pytest.mark.parametrize("turn", [-0.6, 0.0, 0.6])
def test_a_hand_before_a_face_is_found(
    finder: HandFinder, astronaut: Pixels, size: float, turn: float
) -> None:
    hand = synthetic_hand.place((225, 190), size, turn)
    (found,) = finder.find(synthetic_hand.draw(astronaut, hand), FACE)
    assert np.linalg.norm(found - hand, axis=1).mean() < 0.2 * size


def test_two_hands(finder: HandFinder, astronaut: Pixels) -> None:
    hands = [synthetic_hand.place((x, 215), 45) for x in (170, 280)]
    image = synthetic_hand.draw(synthetic_hand.draw(astronaut, hands[0]), hands[1])
    found = finder.find(image, FACE)
    assert sorted(found[:, 0, 0].tolist()) == pytest.approx([170, 280], abs=15)


@pytest.mark.parametrize(
    "box", [FACE, FACE - 150, np.array([-40.0, 480, 9, 530]), FACE * 0, FACE - 900, FACE + 900]
)
def test_no_hands(finder: HandFinder, astronaut: Pixels, box: Array) -> None:
    assert finder.find(astronaut, box).shape == (0, 21, 2)


@given(st.integers(0, len(BONES) - 1), st.floats(0, 1))
def test_bones_are_covered_and_what_is_far_is_not(bone: int, share: float) -> None:
    hand = synthetic_hand.place((100, 200), 80)
    start, end = hand[BONES[bone]]
    points = np.array([start + share * (end - start), (400, 200), (100, -200)])
    assert cover(hand[None], points) == pytest.approx([1, 0, 0])
    assert cover(np.zeros((0, 21, 2)), points).tolist() == [0, 0, 0]


def test_the_edge_of_a_finger_is_soft() -> None:
    hand = synthetic_hand.place((100, 200), 80)
    across = hand[7] + np.linspace(0, 30, 31)[:, None] * (-1, 0)
    covered = cover(hand[None], across)
    assert (np.diff(covered) <= 1e-9).all() and covered[0] == 1 and covered[-1] == 0
    assert ((covered > 0.1) & (covered < 0.9)).sum() >= 2

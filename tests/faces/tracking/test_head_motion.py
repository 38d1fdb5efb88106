"""Heads followed by their pixels: exact where landmarks tremble, and silent where pixels do not tell."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from thcli.core.types import Array32, Face, Image
from thcli.faces.tracking.head_motion import Heads, Optical, Similarity
from thcli.motion.canonical import neutral

SIZE = 240


def texture(seed: int = 0) -> Image:
    """Spots of many sizes."""
    rng = np.random.default_rng(seed)
    spots = sum(
        cv2.resize(
            rng.normal(0, 30, (n, n, 3)).astype(np.float32),
            (SIZE, SIZE),
            interpolation=cv2.INTER_CUBIC,
        )
        for n in (12, 30, 60)
    )
    return np.asarray(np.clip(128 + np.asarray(spots), 0, 255), np.uint8)


MESH = (neutral() * 60 + [SIZE / 2, SIZE / 2, 0.0]).astype(np.float32)


def path(count: int) -> list[Similarity]:
    """Frames from the first one: some pixels to and fro, a zoom and a tilt."""
    t = np.arange(count)
    a = np.exp(0.03 * np.sin(t / 5) + 0.05j * np.sin(t / 7))
    b = 9 * np.sin(t / 4) + 5j * np.sin(t / 6) + (1 - a) * (1 + 1j) * SIZE / 2
    return [Similarity(complex(x), complex(y)) for x, y in zip(a, b, strict=True)]


def shown(picture: Image, move: Similarity) -> Image:
    matrix = np.array(
        [[move.a.real, -move.a.imag, move.b.real], [move.a.imag, move.a.real, move.b.imag]]
    )
    return np.asarray(
        cv2.warpAffine(
            picture, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        ),
        np.uint8,
    )


def trembling(move: Similarity, rng: np.random.Generator, pixels: float = 0.7) -> Array32:
    """The mesh as a net sees it: off as a whole, and each point."""
    mesh = np.array(MESH)
    mesh[:, :2] = move.of(MESH[:, :2]) + rng.normal(0, pixels, 2) + rng.normal(0, 0.2, (468, 2))
    return mesh


def error(steps: list[Similarity | None], moves: list[Similarity]) -> float:
    """The largest error, in pixels at the face's rim, of the steps added up."""
    total, worst = Similarity(), 0.0
    for step, move in zip(steps[1:], moves[1:], strict=True):
        assert step is not None
        total = step @ total
        worst = max(worst, float(np.abs(total.of(MESH[::50, :2]) - move.of(MESH[::50, :2])).max()))
    return worst


def test_pixels_tell_the_way_of_a_head_whose_landmarks_tremble() -> None:
    rng, moves, head, picture = np.random.default_rng(1), path(40), Optical(), texture()
    steps = []
    for i, move in enumerate(moves):
        flicker = 1 + 0.1 * np.sin(i)  # lamps
        frame = np.clip(
            shown(picture, move) * flicker + rng.normal(0, 3, picture.shape), 0, 255
        ).astype(np.uint8)
        steps.append(head.step(frame, trembling(move, rng).astype(np.float32)))
    assert steps[0] is None
    assert error(steps, moves) < 0.15  # errors do not add up; the landmarks' own is 2 pixels


@pytest.mark.parametrize(("hand", "most"), [(0, 0.12), (3, 0.5)])
def test_a_mouth_an_eye_and_a_hand_move_no_head(hand: int, most: float) -> None:
    """hand: pixels a frame that one moves over the cheek; the landmarks' own error is 2."""
    rng, head, steps = np.random.default_rng(2), Optical(), []
    for i in range(12):
        frame, other = texture(), texture(7 + i)
        for points in (
            MESH[[61, 291, 13, 14, 17], :2],
            MESH[[33, 133, 159, 145], :2],
        ):  # lips and an eye
            x0, y0, x1, y1 = (int(v) for v in (*points.min(0), *points.max(0) + 1))
            frame[y0:y1, x0:x1] = other[y0:y1, x0:x1]
        if hand:
            frame[:, : int(MESH[:, 0].min()) + hand * i] = 90
        steps.append(head.step(frame, trembling(Similarity(), rng).astype(np.float32)))
    assert error(steps, [Similarity()] * 12) < most


def test_16_bit_says_the_same() -> None:
    found = []
    for kind in (1, 257):
        head, moves = Optical(), path(2)
        steps = [
            head.step(shown(texture(), m).astype(np.uint8 if kind == 1 else np.uint16) * kind, MESH)
            for m in moves
        ]
        found.append(steps[1])
    assert found[0] is not None and found[1] is not None
    assert (
        abs(found[0].of(MESH[::50, :2]) - found[1].of(MESH[::50, :2])).max() < 0.05
    )  # 8 bit is rounded


@pytest.mark.parametrize("after", [texture(5), np.full((SIZE, SIZE, 3), 60, np.uint8)])
def test_other_pixels_say_nothing(after: Image) -> None:
    head = Optical()
    assert head.step(texture(), MESH) is None
    assert head.step(after, MESH) is None


def test_a_face_that_is_tiny_or_half_outside_breaks_nothing() -> None:
    head = Optical()
    for scale, shift in ((0.03, 0.0), (1.0, -110.0), (1.0, 0.0), (4.0, 100.0), (1.0, 3 * SIZE)):
        mesh = ((MESH - SIZE / 2) * scale + SIZE / 2 + [shift, 0, 0]).astype(np.float32)
        head.step(texture(), mesh)
    head.step(texture(), np.zeros((468, 3), np.float32))
    assert head.step(texture(), MESH) is None  # begins anew


def test_heads_are_told_apart_and_cuts_and_gaps_begin_anew() -> None:
    heads, picture = Heads(), texture()
    one, two = (
        Face(np.zeros(4, np.float32), 1.0, mesh=MESH, track=3),
        Face(np.zeros(4, np.float32), 1.0, mesh=MESH, track=5),
    )
    assert heads.steps(picture, [one]) == [None]
    first = heads.steps(picture, [two, one])
    assert first[0] is None and first[1] is not None and abs(first[1].a - 1) < 1e-6
    assert all(step is not None for step in heads.steps(picture, [one, two]))
    assert heads.steps(picture, [one, two], cut=True) == [None, None]
    assert heads.steps(picture, [two])[0] is not None
    assert heads.steps(picture, [one])[0] is None
    assert heads.steps(picture, [Face(np.zeros(4, np.float32), 1.0)]) == [None]

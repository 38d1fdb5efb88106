"""Head motion from pixels: accuracy with jittering landmarks, and no estimate without evidence."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from thcli.core.types import Array32, Face, Image
from thcli.faces.tracking.head_motion import HeadAligner, HeadMotionEstimator, Similarity
from thcli.motion.canonical import neutral

SIZE = 240


def texture(seed: int = 0) -> Image:
    """Render spots of many sizes."""
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
    """Return the motion from the first frame: some pixels of drift, a zoom and a tilt."""
    t = np.arange(count)
    a = np.exp(0.03 * np.sin(t / 5) + 0.05j * np.sin(t / 7))
    b = 9 * np.sin(t / 4) + 5j * np.sin(t / 6) + (1 - a) * (1 + 1j) * SIZE / 2
    return [Similarity(complex(x), complex(y)) for x, y in zip(a, b, strict=True)]


def render(image: Image, move: Similarity) -> Image:
    matrix = np.array(
        [[move.a.real, -move.a.imag, move.b.real], [move.a.imag, move.a.real, move.b.imag]]
    )
    return np.asarray(
        cv2.warpAffine(
            image, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        ),
        np.uint8,
    )


def jitter(move: Similarity, rng: np.random.Generator, pixels: float = 0.7) -> Array32:
    """Return a mesh with the errors of a network: a common shift, and noise of each point."""
    mesh = np.array(MESH)
    mesh[:, :2] = move.apply(MESH[:, :2]) + rng.normal(0, pixels, 2) + rng.normal(0, 0.2, (468, 2))
    return mesh


def error(steps: list[Similarity | None], moves: list[Similarity]) -> float:
    """Return the largest error of the integrated steps, in pixels at the rim of the face."""
    total, worst = Similarity(), 0.0
    for step, move in zip(steps[1:], moves[1:], strict=True):
        assert step is not None
        total = step @ total
        worst = max(
            worst, float(np.abs(total.apply(MESH[::50, :2]) - move.apply(MESH[::50, :2])).max())
        )
    return worst


def test_pixels_give_the_motion_under_jittering_landmarks() -> None:
    rng, moves, head, image = np.random.default_rng(1), path(40), HeadAligner(), texture()
    steps = []
    for i, move in enumerate(moves):
        flicker = 1 + 0.1 * np.sin(i)  # lamps
        frame = np.clip(
            render(image, move) * flicker + rng.normal(0, 3, image.shape), 0, 255
        ).astype(np.uint8)
        steps.append(head.align(frame, jitter(move, rng).astype(np.float32)))
    assert steps[0] is None
    assert error(steps, moves) < 0.15  # errors do not accumulate; that of the landmarks is 2 px


@pytest.mark.parametrize(("hand", "most"), [(0, 0.12), (3, 0.5)])
def test_mouth_eyes_and_a_hand_do_not_move_the_head(hand: int, most: float) -> None:
    """hand: pixels per frame of a hand over the cheek; the landmarks have an error of 2 px."""
    rng, head, steps = np.random.default_rng(2), HeadAligner(), []
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
        steps.append(head.align(frame, jitter(Similarity(), rng).astype(np.float32)))
    assert error(steps, [Similarity()] * 12) < most


def test_16_bit_gives_the_same() -> None:
    found = []
    for kind in (1, 257):
        head, moves = HeadAligner(), path(2)
        steps = [
            head.align(
                render(texture(), m).astype(np.uint8 if kind == 1 else np.uint16) * kind, MESH
            )
            for m in moves
        ]
        found.append(steps[1])
    assert found[0] is not None and found[1] is not None
    assert (
        abs(found[0].apply(MESH[::50, :2]) - found[1].apply(MESH[::50, :2])).max() < 0.05
    )  # 8 bit is rounded


@pytest.mark.parametrize("after", [texture(5), np.full((SIZE, SIZE, 3), 60, np.uint8)])
def test_unrelated_pixels_give_no_estimate(after: Image) -> None:
    head = HeadAligner()
    assert head.align(texture(), MESH) is None
    assert head.align(after, MESH) is None


def test_tiny_and_half_visible_faces() -> None:
    head = HeadAligner()
    for scale, shift in ((0.03, 0.0), (1.0, -110.0), (1.0, 0.0), (4.0, 100.0), (1.0, 3 * SIZE)):
        mesh = ((MESH - SIZE / 2) * scale + SIZE / 2 + [shift, 0, 0]).astype(np.float32)
        head.align(texture(), mesh)
    head.align(texture(), np.zeros((468, 3), np.float32))
    assert head.align(texture(), MESH) is None  # begins anew


def test_heads_are_separate_and_cuts_and_gaps_reset() -> None:
    heads, image = HeadMotionEstimator(), texture()
    one, two = (
        Face(np.zeros(4, np.float32), 1.0, mesh=MESH, track=3),
        Face(np.zeros(4, np.float32), 1.0, mesh=MESH, track=5),
    )
    assert heads.estimate(image, [one]) == [None]
    first = heads.estimate(image, [two, one])
    assert first[0] is None and first[1] is not None and abs(first[1].a - 1) < 1e-6
    assert all(step is not None for step in heads.estimate(image, [one, two]))
    assert heads.estimate(image, [one, two], cut=True) == [None, None]
    assert heads.estimate(image, [two])[0] is not None
    assert heads.estimate(image, [one])[0] is None
    assert heads.estimate(image, [Face(np.zeros(4, np.float32), 1.0)]) == [None]

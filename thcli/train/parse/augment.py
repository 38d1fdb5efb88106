"""What training for parsing does to a pair, so that faces of videos are met: turned, small, dark, blurred, covered.

What stands before the face (hands, sticks, boards: drawn here) is labelled background: pasting back leaves it as it was.
Everything follows from the random generator that is given.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image
from thcli.faces.parsing import FLIP

Labels = npt.NDArray[np.uint8]
IGNORED = 255  # a label that teaches nothing: what lies outside of the picture
_MIRRORED = np.arange(256, dtype=np.uint8)
_MIRRORED[: len(FLIP)] = FLIP
_FINGERS = 4


def augmented(
    picture: Image,
    labels: Labels,
    other: Image,
    side: int,
    draw: np.random.Generator,
    flip: bool = True,
    tint: float = 1.0,
) -> tuple[Image, Labels]:
    """A pair as training sees it, side x side pixels, labels with IGNORED.

    picture: (S, S, 3); labels: (S, S).  other: another picture of that size, of which occluders take their texture.  flip: mirror
    half of them.  tint: how strongly the light changes, 0 for not at all.
    """
    if draw.random() < 0.5 and flip:
        picture, labels = np.ascontiguousarray(picture[:, ::-1]), _MIRRORED[labels[:, ::-1]]
    picture, labels = placed(picture, labels, side, draw)
    if draw.random() < 0.3:
        picture, labels = covered(picture, labels, other, draw)
    return worn_down(tinted(picture, draw, tint) if tint else picture, draw), labels


def placed(
    picture: Image, labels: Labels, side: int, draw: np.random.Generator
) -> tuple[Image, Labels]:
    """Turned by up to 40 degrees, scaled by .6 to 1.4, shifted by up to an eighth; most less than that."""
    wide = draw.random() < 0.4
    angle = draw.uniform(-40, 40) if wide else draw.normal(0, 7)
    low, high = (0.6, 1.4) if wide else (0.85, 1.2)
    scale = float(np.exp(draw.uniform(np.log(low), np.log(high))))
    shift = draw.uniform(-0.125, 0.125, 2) * side if wide else draw.normal(0, 0.025, 2) * side
    whole = side / len(picture) * scale
    small: npt.NDArray[Any] = picture
    if whole < 0.72:  # averaged first: the warp looks at no more than four pixels
        small = cv2.resize(
            picture, (len(picture) // 2, len(picture) // 2), interpolation=cv2.INTER_AREA
        )
    pixels = cv2.warpAffine(
        small,
        _matrix(len(small), side, angle, scale, shift),
        (side, side),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    out = cv2.warpAffine(
        labels,
        _matrix(len(labels), side, angle, scale, shift),
        (side, side),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=IGNORED,
    )
    if (
        draw.random() < 0.3
    ):  # a plain wall or noise beyond the picture's edge, and that is background
        outside = out == IGNORED
        fill = np.clip(
            draw.uniform(0, 255, 3) + draw.normal(0, draw.uniform(0, 12), (side, side, 1)), 0, 255
        )
        pixels[outside] = fill[outside].astype(np.uint8)
        out[outside] = 0
    return np.asarray(pixels, np.uint8), np.asarray(out, np.uint8)


def _matrix(source: int, side: int, angle: float, scale: float, shift: Array) -> Array:
    """side_from_source (2, 3): turned and scaled about the middle, then shifted by pixels of the result."""
    turn, k = np.deg2rad(angle), side / source * scale
    linear = k * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    offset = (side - 1) / 2 + shift - linear @ np.full(2, (source - 1) / 2)
    return np.column_stack([linear, offset])


def covered(
    picture: Image, labels: Labels, other: Image, draw: np.random.Generator
) -> tuple[Image, Labels]:
    """With a hand, a stick (a microphone) or a board before it, in colours of the face, of another picture or of its own."""
    side = len(picture)
    shape = np.zeros((side, side), np.uint8)
    middle = side / 2 + draw.normal(0, 0.22, 2) * side
    kind = draw.random()
    if kind < 0.5:
        _draw_hand(shape, middle, draw)
    elif kind < 0.8:
        _draw_stick(shape, middle, draw)
    else:
        box = cv2.boxPoints(
            (tuple(middle), tuple(draw.uniform(0.08, 0.5, 2) * side), float(draw.uniform(0, 90)))
        )
        cv2.fillPoly(shape, [np.rint(box).astype(np.int32)], 255)
    soft = (
        cv2.GaussianBlur(shape, (0, 0), float(draw.uniform(0.4, 1.0)) * side / 128).astype(
            np.float32
        )[..., None]
        / 255
    )
    stuff = _texture(picture, labels, other, draw)
    mixed = picture.astype(np.float32) * (1 - soft) + stuff * soft
    return np.rint(mixed).astype(np.uint8), np.where(shape > 127, 0, labels).astype(np.uint8)


def _draw_hand(shape: Labels, middle: Array, draw: np.random.Generator) -> None:
    """A palm and some fingers that point the same way, on an arm that leaves the picture."""
    side = len(shape)
    size = draw.uniform(0.07, 0.16) * side
    heading = draw.uniform(0, 2 * np.pi)
    cv2.ellipse(
        shape,
        (tuple(middle), (float(2 * size), float(2.4 * size)), float(np.rad2deg(heading))),
        255,
        -1,
    )
    for finger in range(_FINGERS + 1):
        spread = heading + (finger - _FINGERS / 2) * draw.uniform(0.15, 0.4) + draw.normal(0, 0.08)
        tip = middle + draw.uniform(1.3, 2.6) * size * np.array([np.cos(spread), np.sin(spread)])
        _line(shape, middle, tip, 0.5 * size)
    if draw.random() < 0.7:
        away = heading + np.pi + draw.normal(0, 0.3)
        _line(shape, middle, middle + side * np.array([np.cos(away), np.sin(away)]), 1.5 * size)


def _draw_stick(shape: Labels, middle: Array, draw: np.random.Generator) -> None:
    """A stick that leaves the picture, often with a ball at its end."""
    side = len(shape)
    heading, thick = draw.uniform(0, 2 * np.pi), draw.uniform(0.015, 0.08) * side
    _line(shape, middle, middle + side * np.array([np.cos(heading), np.sin(heading)]), thick)
    if draw.random() < 0.7:
        cv2.circle(
            shape, tuple(np.rint(middle).astype(int)), round(thick * draw.uniform(0.8, 2)), 255, -1
        )


def _line(shape: Labels, start: Array, end: Array, thick: float) -> None:
    a, b = (tuple(int(v) for v in np.rint(p)) for p in (start, end))
    cv2.line(shape, a, b, 255, max(round(thick), 1), cv2.LINE_AA)


def _texture(picture: Image, labels: Labels, other: Image, draw: np.random.Generator) -> Array32:
    """(S, S, 3) float32 0..255: the face's own skin colour with shading, an enlarged part of another picture, or one colour."""
    side = len(picture)
    shade = np.asarray(
        cv2.resize(
            draw.uniform(0.6, 1.3, (4, 4)).astype(np.float32),
            (side, side),
            interpolation=cv2.INTER_CUBIC,
        )
    )[..., None]
    grain = draw.normal(0, draw.uniform(1, 8), (side, side, 1)).astype(np.float32)
    kind = draw.random()
    if kind < 0.4 and (skin := picture[labels == 1]).size:
        colour = skin.mean(0) * draw.uniform(0.8, 1.15)
    elif kind < 0.75:
        part = int(len(other) * draw.uniform(0.2, 0.8))
        x, y = draw.integers(0, len(other) - part + 1, 2)
        stuff = (
            np.asarray(cv2.resize(other[y : y + part, x : x + part], (side, side)), np.float32)
            * shade
        )
        return np.asarray(np.clip(stuff, 0, 255))
    else:
        colour = draw.uniform(0, 255, 3) * (
            0.3 if draw.random() < 0.5 else 1.0
        )  # microphones are dark
    return np.asarray(np.clip(colour.astype(np.float32) * shade + grain, 0, 255), np.float32)


def tinted(picture: Image, draw: np.random.Generator, tint: float = 1.0) -> Image:
    """In another light: brightness, contrast, gamma, colour of the light, saturation; at times dark, grey or lit from a side."""
    levels = np.arange(256, dtype=np.float32) / 255
    dark = draw.random() < 0.12
    gamma = np.exp(tint * (draw.normal(0.5, 0.25) if dark else draw.normal(0, 0.2)))
    gain = (draw.uniform(0.25, 0.7) if dark else draw.uniform(0.75, 1.25)) ** tint
    light = np.exp(tint * draw.normal(0, 0.08, 3))
    curve = (
        np.stack([(levels**gamma - 0.5) * draw.uniform(0.8, 1.2) ** tint + 0.5] * 3, -1)
        * gain
        * light
    )
    out = cv2.LUT(picture, np.clip(curve * 255, 0, 255).astype(np.uint8)[None])
    amount = draw.random()
    if amount < 0.6:
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        share = 1.0 if amount < 0.08 else float(draw.uniform(-0.3, 0.7))
        out = cv2.addWeighted(out, 1 - share, grey, share, 0)
    if draw.random() < 0.15:
        side = len(out)
        field = cv2.resize(
            draw.uniform(0.4, 1.3, (2, 2)).astype(np.float32),
            (side, side),
            interpolation=cv2.INTER_LINEAR,
        )[..., None]
        out = np.clip(out * field, 0, 255).astype(np.uint8)
    return np.asarray(out, np.uint8)


def worn_down(picture: Image, draw: np.random.Generator) -> Image:
    """As a camera and a codec leave it: enlarged from a small face, out of focus or moved, noisy, compressed."""
    side = len(picture)
    out: npt.NDArray[Any] = picture
    how = draw.random()
    if how < 0.2:
        small = max(int(side / draw.uniform(1.3, 5)), 16)
        out = cv2.resize(
            cv2.resize(out, (small, small), interpolation=cv2.INTER_AREA),
            (side, side),
            interpolation=int(draw.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])),
        )
    elif how < 0.35:
        out = cv2.GaussianBlur(out, (0, 0), float(draw.uniform(0.4, 2.5)) * side / 256)
    elif how < 0.43:
        out = cv2.filter2D(
            out, -1, _movement(float(draw.uniform(3, 14)) * side / 256, draw.uniform(0, np.pi))
        )
    if draw.random() < 0.25:
        noise = draw.normal(0, draw.uniform(2, 14), (side, side, 3 if draw.random() < 0.5 else 1))
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if draw.random() < 0.25:
        _, packed = cv2.imencode(
            ".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(draw.integers(15, 80))]
        )
        out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return np.asarray(out, np.uint8)


def _movement(length: float, heading: float) -> Array32:
    """A kernel that smears along a line."""
    half = max(int(np.ceil(length / 2)), 1)
    drawn = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    reach = length / 2 * np.array([np.cos(heading), np.sin(heading)])
    _line(drawn, half - reach, half + reach, 1)
    return np.asarray(drawn / drawn.sum(), np.float32)

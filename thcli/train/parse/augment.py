"""Augmentation of face parsing pairs towards video frames: rotated, small, dark, blurred, occluded.

Occluders (hands, sticks, boards, drawn here) are labelled background, so that pasting back leaves
them unchanged. All random numbers come from the given generator.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image
from thcli.faces.parsing import FLIP

Labels = npt.NDArray[np.uint8]
IGNORED = 255  # label of pixels outside of the image, which do not count in the loss
_MIRRORED = np.arange(256, dtype=np.uint8)
_MIRRORED[: len(FLIP)] = FLIP
_FINGERS = 4


def augment_pair(
    image: Image,
    labels: Labels,
    other: Image,
    side: int,
    rng: np.random.Generator,
    flip: bool = True,
    tint: float = 1.0,
) -> tuple[Image, Labels]:
    """Return an augmented pair of side x side pixels; labels may be IGNORED.

    Args:
        image: (S, S, 3) uint8.
        labels: (S, S) uint8.
        other: Another image of that size, the source of occluder textures.
        side: Side of the result in pixels.
        rng: Source of the random numbers.
        flip: Mirror half of the pairs.
        tint: Strength of the lighting change, 0 for none.
    """
    if rng.random() < 0.5 and flip:
        image, labels = np.ascontiguousarray(image[:, ::-1]), _MIRRORED[labels[:, ::-1]]
    image, labels = transform_pair(image, labels, side, rng)
    if rng.random() < 0.3:
        image, labels = add_occluder(image, labels, other, rng)
    return degrade(change_lighting(image, rng, tint) if tint else image, rng), labels


def transform_pair(
    image: Image, labels: Labels, side: int, rng: np.random.Generator
) -> tuple[Image, Labels]:
    """Rotate by up to 40 degrees, scale by 0.6 to 1.4 and shift by up to an eighth.

    Most pairs change less.
    """
    wide = rng.random() < 0.4
    angle = rng.uniform(-40, 40) if wide else rng.normal(0, 7)
    low, high = (0.6, 1.4) if wide else (0.85, 1.2)
    scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    shift = rng.uniform(-0.125, 0.125, 2) * side if wide else rng.normal(0, 0.025, 2) * side
    source: npt.NDArray[Any] = image
    if side / len(image) * scale < 0.72:  # bilinear warping reads four pixels only: reduce first
        half = len(image) // 2
        source = cv2.resize(image, (half, half), interpolation=cv2.INTER_AREA)
    pixels = cv2.warpAffine(
        source,
        _matrix(len(source), side, angle, scale, shift),
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
    if rng.random() < 0.3:  # a plain or noisy background beyond the image's border
        outside = out == IGNORED
        colour = rng.uniform(0, 255, 3)
        noise = rng.normal(0, rng.uniform(0, 12), (side, side, 1))
        fill = np.clip(colour + noise, 0, 255)
        pixels[outside] = fill[outside].astype(np.uint8)
        out[outside] = 0
    return np.asarray(pixels, np.uint8), np.asarray(out, np.uint8)


def _matrix(source: int, side: int, angle: float, scale: float, shift: Array) -> Array:
    """Return side_from_source (2, 3): rotation and scale about the centre, then a shift.

    shift: in pixels of the result.
    """
    phi, k = np.deg2rad(angle), side / source * scale
    linear = k * np.array([[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]])
    offset = (side - 1) / 2 + shift - linear @ np.full(2, (source - 1) / 2)
    return np.column_stack([linear, offset])


def add_occluder(
    image: Image, labels: Labels, other: Image, rng: np.random.Generator
) -> tuple[Image, Labels]:
    """Add a hand, a stick (a microphone) or a board, with a colour or texture from the images."""
    side = len(image)
    shape = np.zeros((side, side), np.uint8)
    centre = side / 2 + rng.normal(0, 0.22, 2) * side
    kind = rng.random()
    if kind < 0.5:
        _draw_hand(shape, centre, rng)
    elif kind < 0.8:
        _draw_stick(shape, centre, rng)
    else:
        size, angle = tuple(rng.uniform(0.08, 0.5, 2) * side), float(rng.uniform(0, 90))
        box = cv2.boxPoints((tuple(centre), size, angle))
        cv2.fillPoly(shape, [np.rint(box).astype(np.int32)], 255)
    blurred = cv2.GaussianBlur(shape, (0, 0), float(rng.uniform(0.4, 1.0)) * side / 128)
    alpha = blurred.astype(np.float32)[..., None] / 255
    texture = _occluder_texture(image, labels, other, rng)
    mixed = image.astype(np.float32) * (1 - alpha) + texture * alpha
    return np.rint(mixed).astype(np.uint8), np.where(shape > 127, 0, labels).astype(np.uint8)


def _draw_hand(shape: Labels, centre: Array, rng: np.random.Generator) -> None:
    """Draw a palm and fingers that point in one direction, on an arm that leaves the image."""
    side = len(shape)
    size = rng.uniform(0.07, 0.16) * side
    heading = rng.uniform(0, 2 * np.pi)
    axes = (float(2 * size), float(2.4 * size))
    cv2.ellipse(shape, (tuple(centre), axes, float(np.rad2deg(heading))), 255, -1)
    for finger in range(_FINGERS + 1):
        angle = heading + (finger - _FINGERS / 2) * rng.uniform(0.15, 0.4) + rng.normal(0, 0.08)
        tip = centre + rng.uniform(1.3, 2.6) * size * np.array([np.cos(angle), np.sin(angle)])
        _line(shape, centre, tip, 0.5 * size)
    if rng.random() < 0.7:
        away = heading + np.pi + rng.normal(0, 0.3)
        _line(shape, centre, centre + side * np.array([np.cos(away), np.sin(away)]), 1.5 * size)


def _draw_stick(shape: Labels, centre: Array, rng: np.random.Generator) -> None:
    """Draw a stick that leaves the image, often with a ball at its end."""
    side = len(shape)
    heading, thick = rng.uniform(0, 2 * np.pi), rng.uniform(0.015, 0.08) * side
    _line(shape, centre, centre + side * np.array([np.cos(heading), np.sin(heading)]), thick)
    if rng.random() < 0.7:
        cv2.circle(
            shape, tuple(np.rint(centre).astype(int)), round(thick * rng.uniform(0.8, 2)), 255, -1
        )


def _line(shape: Labels, start: Array, end: Array, thick: float) -> None:
    a, b = (tuple(int(v) for v in np.rint(p)) for p in (start, end))
    cv2.line(shape, a, b, 255, max(round(thick), 1), cv2.LINE_AA)


def _occluder_texture(
    image: Image, labels: Labels, other: Image, rng: np.random.Generator
) -> Array32:
    """Return a texture (S, S, 3) float32 0..255: skin colour, a part of `other`, or one colour.

    Colours are shaded and have grain.
    """
    side = len(image)
    coarse_shade = rng.uniform(0.6, 1.3, (4, 4)).astype(np.float32)
    shade = np.asarray(cv2.resize(coarse_shade, (side, side), interpolation=cv2.INTER_CUBIC))
    shade = shade[..., None]
    grain = rng.normal(0, rng.uniform(1, 8), (side, side, 1)).astype(np.float32)
    kind = rng.random()
    if kind < 0.4 and (skin := image[labels == 1]).size:
        colour = skin.mean(0) * rng.uniform(0.8, 1.15)
    elif kind < 0.75:
        part = int(len(other) * rng.uniform(0.2, 0.8))
        x, y = rng.integers(0, len(other) - part + 1, 2)
        enlarged = cv2.resize(other[y : y + part, x : x + part], (side, side))
        return np.asarray(np.clip(np.asarray(enlarged, np.float32) * shade, 0, 255))
    else:
        colour = rng.uniform(0, 255, 3)
        if rng.random() < 0.5:  # dark, as microphones are
            colour = colour * 0.3
    return np.asarray(np.clip(colour.astype(np.float32) * shade + grain, 0, 255), np.float32)


def change_lighting(image: Image, rng: np.random.Generator, tint: float = 1.0) -> Image:
    """Change brightness, contrast, gamma, colour and saturation.

    Some images become dark or grey, or are lit from one side.
    """
    levels = np.arange(256, dtype=np.float32) / 255
    dark = rng.random() < 0.12
    gamma = np.exp(tint * (rng.normal(0.5, 0.25) if dark else rng.normal(0, 0.2)))
    gain = (rng.uniform(0.25, 0.7) if dark else rng.uniform(0.75, 1.25)) ** tint
    light = np.exp(tint * rng.normal(0, 0.08, 3))
    curve = (levels**gamma - 0.5) * rng.uniform(0.8, 1.2) ** tint + 0.5
    curve = np.stack([curve] * 3, -1) * gain * light
    out = cv2.LUT(image, np.clip(curve * 255, 0, 255).astype(np.uint8)[None])
    amount = rng.random()
    if amount < 0.6:
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        share = 1.0 if amount < 0.08 else float(rng.uniform(-0.3, 0.7))
        out = cv2.addWeighted(out, 1 - share, grey, share, 0)
    if rng.random() < 0.15:
        side = len(out)
        corners = rng.uniform(0.4, 1.3, (2, 2)).astype(np.float32)
        shade = cv2.resize(corners, (side, side), interpolation=cv2.INTER_LINEAR)[..., None]
        out = np.clip(out * shade, 0, 255).astype(np.uint8)
    return np.asarray(out, np.uint8)


def degrade(image: Image, rng: np.random.Generator) -> Image:
    """Degrade as a camera and a codec do: scaling, defocus, motion blur, noise, compression."""
    side = len(image)
    out: npt.NDArray[Any] = image
    kind = rng.random()
    if kind < 0.2:
        small = max(int(side / rng.uniform(1.3, 5)), 16)
        reduced = cv2.resize(out, (small, small), interpolation=cv2.INTER_AREA)
        interpolation = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
        out = cv2.resize(reduced, (side, side), interpolation=interpolation)
    elif kind < 0.35:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 2.5)) * side / 256)
    elif kind < 0.43:
        length, heading = float(rng.uniform(3, 14)) * side / 256, rng.uniform(0, np.pi)
        out = cv2.filter2D(out, -1, _motion_blur_kernel(length, heading))
    if rng.random() < 0.25:
        noise = rng.normal(0, rng.uniform(2, 14), (side, side, 3 if rng.random() < 0.5 else 1))
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))]
        _, coded = cv2.imencode(".jpg", out, quality)
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return np.asarray(out, np.uint8)


def _motion_blur_kernel(length: float, heading: float) -> Array32:
    """Return a kernel that blurs along a line."""
    half = max(int(np.ceil(length / 2)), 1)
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    reach = length / 2 * np.array([np.cos(heading), np.sin(heading)])
    _line(kernel, half - reach, half + reach, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)

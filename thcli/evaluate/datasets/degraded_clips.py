"""Coarse videos made by code: the typical errors of GAN-based reenactment on a true clip.

Networks such as FOMM warp features of the source and decode them at 256 pixels. Their frames are
blurred, carry the checkerboard of strided up-sampling, drift in colour, let the texture stick to
the picture while the head moves, jitter, and reach users after two passes of H.264. Every error is
a function of the frame number and the seed, so a clip is degraded alike each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from thcli import media
from thcli.core.imaging import to_uint8
from thcli.core.options import OutputOptions, ReadOptions
from thcli.core.types import Array32, Frame, Image

_PERIOD = 18.0  # frames of the slowest wobble
_GRID = 6  # samples per side of the wobble


@dataclass(frozen=True, slots=True)
class Degradation:
    """Strength of each error.

    side: pixels of the network's picture; a larger clip is reduced to it and enlarged again.
    blur: pixels of that picture, standard deviation.
    checkerboard: share of the local contrast.
    colour: largest drift of a channel's gain.
    wobble: pixels of that picture by which texture is out of place, smoothly and slowly.
    jitter: pixels by which a frame moves as a whole.
    delay: frames by which the pictures are late.
    crf: of the two passes of H.264.
    """

    side: int = 256
    blur: float = 0.8
    checkerboard: float = 0.12
    colour: float = 0.03
    wobble: float = 0.8
    jitter: float = 0.15
    delay: int = 0
    crf: tuple[int, int] = (20, 23)


FOMM_LIKE = Degradation()
"""As FOMM on 256 pixels, shown in that size or enlarged."""
LATE = Degradation(delay=1)
"""The same, one frame late."""


def degrade(image: Image, number: int, errors: Degradation = FOMM_LIKE, seed: int = 0) -> Image:
    """Degrade frame `number` of a clip, without the compression: (H, W, 3) uint8.

    Args:
        image: (H, W, 3) uint8 true frame.
        number: of the frame.
        errors: their strength.
        seed: of the clip.
    """
    height, width = image.shape[:2]
    scale = min(1.0, errors.side / max(height, width))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    x, y = _moved(size, number, errors, seed)
    moved = cv2.remap(small, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    blurred = np.asarray(cv2.GaussianBlur(moved, (0, 0), errors.blur), np.float32)
    blurred += errors.checkerboard * _checkerboard(blurred)
    rng = np.random.default_rng([seed, 1])
    phases, periods = rng.uniform(0, 2 * np.pi, 3), rng.uniform(40, 90, 3)
    gains = 1 + errors.colour * np.sin(2 * np.pi * number / periods + phases)
    blurred *= gains.astype(np.float32)
    large = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.rint(np.clip(large, 0, 255)).astype(np.uint8)


def degrade_clip(
    clip: Path, target: Path, errors: Degradation = FOMM_LIKE, read: ReadOptions | None = None
) -> Path:
    """Write a degraded clip, compressed twice, with the time stamps of its frames.

    Args:
        clip: true video.
        target: video to write; a file beside it holds the first pass meanwhile.
        errors: their strength.
        read: part of the clip (default: all of it).
    """
    first = target.with_name(f"{target.stem}_first{target.suffix}")
    span = read or ReadOptions()
    with media.read(clip, span) as frames:
        late = _delayed(frames, errors.delay)
        images = ((f, degrade(image, f.index, errors)) for f, image in late)
        _write(first, images, errors.crf[0])
    with media.read(first) as frames:
        _write(target, ((f, to_uint8(f.pixels)) for f in frames), errors.crf[1])
    first.unlink()
    return target


def _delayed(frames: Iterable[Frame], delay: int) -> Iterator[tuple[Frame, Image]]:
    """Yield each frame with the picture of the one `delay` frames before; the first one is held."""
    before: deque[Image] = deque(maxlen=delay + 1)
    for frame in frames:
        before.append(to_uint8(frame.pixels))
        yield frame, before[0]


def _write(target: Path, frames: Iterable[tuple[Frame, Image]], crf: int) -> None:
    stream: Iterator[tuple[Frame, Image]] = iter(frames)
    frame, image = next(stream)
    plan = media.WritePlan(time_base=frame.time_base)
    options = replace(OutputOptions(), codec="h264", crf=crf)
    with media.write(target, image.shape[1::-1], None, options, plan) as out:
        while True:
            out.write(image, frame.pts, frame.duration)
            following = next(stream, None)
            if following is None:
                return
            frame, image = following


def _moved(
    size: tuple[int, int], number: int, errors: Degradation, seed: int
) -> tuple[Array32, Array32]:
    """Return where each pixel of a frame is sampled, x and y (h, w)."""
    rng = np.random.default_rng([seed, 2])
    angles = rng.uniform(0, 2 * np.pi, (2, _GRID, _GRID, 2))
    speed = rng.uniform(0.5, 1.0, (_GRID, _GRID, 2)) * 2 * np.pi / _PERIOD
    coarse = np.sin(angles[0] + speed * number) * np.cos(angles[1])
    wobble = cv2.resize(coarse.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    shift = np.random.default_rng([seed, 3, number]).normal(0, errors.jitter, 2)
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    moved = np.dstack([x, y]) + np.float32(errors.wobble) * wobble + shift.astype(np.float32)
    return np.ascontiguousarray(moved[..., 0]), np.ascontiguousarray(moved[..., 1])


def _checkerboard(image: Array32) -> Array32:
    """Return the artefact of strided transposed convolution: alternate signs, by local contrast."""
    contrast = np.abs(image - cv2.GaussianBlur(image, (0, 0), 2.0))
    sign = np.ones(image.shape[:2], np.float32)
    sign[::2, 1::2] = sign[1::2, ::2] = -1
    return np.asarray(cv2.GaussianBlur(contrast, (0, 0), 1.0) * sign[..., None], np.float32)

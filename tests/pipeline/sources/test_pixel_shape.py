"""Anamorphic source videos: changed as they are shown, output as they are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.sources.squeezed import squeeze
from tests.pipeline.test_reenact_video import PLAIN, SIDE, ShadeEngine, load, read_frames
from thcli import media
from thcli.core.types import Image
from thcli.engines import backends
from thcli.engines.backends import ENGINES
from thcli.pipeline.reenact import reenact
from thcli.pipeline.sources.pixel_shape import PixelShape
from thcli.weights.backend import Backend

WIDE = PixelShape((32, 48), (64, 48))


def noise(width: int, height: int, dtype: Any = np.uint8) -> Image:
    high = np.iinfo(dtype).max + 1
    return np.random.default_rng(0).integers(0, high, (height, width, 3), dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_change_of_the_shown_frame_is_halved_in_width(dtype: Any) -> None:
    stored = noise(32, 48, dtype) // 2
    before = WIDE.show(stored)
    assert before.shape == (48, 64, 3)
    after = before.copy()
    after[10:20, 20:40] += 40
    made = WIDE.add_change(stored, before, after)
    assert made.dtype == dtype and made.shape == stored.shape
    change = (made.astype(int) - stored) / (1 if dtype == np.uint8 else 257)
    assert (change[10:20, 10:20] == 40).all()
    change[10:20, 10:20] = 0
    assert not change.any()


def test_square_pixels_are_rendered_as_they_are() -> None:
    square, image = PixelShape((32, 48), (32, 48)), noise(32, 48)
    assert np.array_equal(square.show(image), image)
    assert np.array_equal(square.add_change(image, image, image // 2), image // 2)


@pytest.fixture
def squeezed(clip: Callable[..., Path], tmp_path: Path) -> Path:
    """Return a clip of ten frames whose pixels are shown twice as wide as high."""
    return squeeze(tmp_path / "squeezed.mp4", clip("s10.mp4", 10))


@pytest.mark.parametrize("framing", ["full", "crop"])
def test_an_anamorphic_video_is_changed_as_it_is_shown(
    squeezed: Path, clip: Callable[..., Path], tmp_path: Path, monkeypatch: Any, framing: Any
) -> None:
    monkeypatch.setitem(ENGINES.rows, "shade", Backend(f"{load.__module__}:load", "a fake"))
    monkeypatch.setattr(backends, "WHOLE_VIDEO_ENGINES", ("shade",))
    out, plain = tmp_path / "out.mp4", clip("s10.mp4", 10)
    options = replace(PLAIN, framing=framing)
    reenact(plain, clip("plain.mp4", 24), tmp_path / "wanted.mkv", options)
    wanted = list(ShadeEngine.rendered_crops)
    reenact(squeezed, clip("plain.mp4", 24), out, options)
    crops = ShadeEngine.rendered_crops
    assert np.abs(np.array(crops).astype(int) - np.array(wanted)).mean() < 8
    full, info = framing == "full", media.probe(out)
    assert info.sar == (2 if full else 1)
    assert info.size == (media.probe(squeezed).size if full else (SIDE, SIDE))
    if full:
        made, own = read_frames(out), read_frames(squeezed)
        lost = [
            a.pixels[..., 0].astype(int) - b.pixels[..., 0] for a, b in zip(own, made, strict=True)
        ]
        middle = [float(one[80:110, 40:55].mean()) for one in lost]
        np.testing.assert_allclose(middle, np.arange(10) * 2, atol=1.1)
        assert not any(one[:4].any() for one in lost)

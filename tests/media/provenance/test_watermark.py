"""Invisible watermark: what it changes, and what the detector finds after common changes."""

from __future__ import annotations

import io

import av
import cv2
import numpy as np
import pytest

from thcli.core.types import Image
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.media.provenance.watermark import PAYLOADS, Watermark, pattern
from thcli.media.provenance.watermark_detection import WatermarkDetector, WatermarkReading

SIZE = (320, 288)
COUNT = 8


def moving_frames(count: int = COUNT, size: tuple[int, int] = SIZE) -> list[Image]:
    """Return a photograph that moves by two pixels every fourth frame, with grain."""
    noise = np.random.default_rng(0)
    large = cv2.resize(photograph(), (size[0] + 2 * count, size[1] + 2 * count))
    frames = []
    for index in range(count):
        at = 2 * (index // 4)
        cut = large[at : at + size[1], at : at + size[0]].astype(int)
        grain = noise.integers(-2, 3, (*cut.shape[:2], 1))
        frames.append(np.clip(cut + grain, 0, 255).astype(np.uint8))
    return frames


def compress(frames: list[Image], crf: int) -> list[Image]:
    """Encode and decode H.264."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = (
            frames[0].shape[1],
            frames[0].shape[0],
            "yuv420p",
        )
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as read:
        decoded = [frame.to_ndarray(format="rgb24") for frame in read.decode(video=0)]
    return [np.asarray(pixels, np.uint8) for pixels in decoded]


def scale(frames: list[Image], size: tuple[int, int]) -> list[Image]:
    """Resize frames to (width, height)."""
    return [np.asarray(cv2.resize(f, size, interpolation=cv2.INTER_AREA), np.uint8) for f in frames]


def detect(frames: list[Image]) -> WatermarkReading:
    """Return what the detector finds."""
    detector = WatermarkDetector()
    for frame in frames:
        detector.add(frame)
    return detector.result()


@pytest.fixture(scope="module")
def marked() -> list[Image]:
    return [Watermark(SIZE, 11)(frame) for frame in moving_frames()]


@pytest.mark.parametrize("size", [(64, 64), SIZE, (640, 480), (1920, 1080)])
def test_it_changes_little_and_the_same_in_every_frame(size: tuple[int, int]) -> None:
    mark = Watermark(size, 3)
    grey = [np.full((size[1], size[0], 3), level, np.uint8) for level in (90, 160)]
    first, second = (mark(frame).astype(int) - frame for frame in grey)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first).max() <= 4
    assert 10 * np.log10(255**2 / np.square(first).mean()) > 45


def test_no_sum_overflows() -> None:
    levels = pattern(SIZE, 0)[..., None]
    for level in (0, 255):
        frame = np.full((SIZE[1], SIZE[0], 3), level, np.uint8)
        np.testing.assert_array_equal(
            Watermark(SIZE, 0)(frame), np.clip(frame + levels, 0, 255).astype(np.uint8)
        )


def test_deep_frames_get_the_same_pattern() -> None:
    frame = np.full((SIZE[1], SIZE[0], 3), 30000, np.uint16)
    change = Watermark(SIZE, 5)(frame).astype(int) - frame
    np.testing.assert_array_equal(change[..., 0], pattern(SIZE, 5) * 257)


@pytest.mark.parametrize(
    ("size", "crf"),
    [(SIZE, 28), ((160, 144), 18), ((1280, 720), 28)],
    ids=["crf 28", "half size", "720p"],
)
def test_it_survives_compression_and_resizing(
    size: tuple[int, int], crf: int, marked: list[Image]
) -> None:
    found = detect(compress(marked if size == SIZE else scale(marked, size), crf))
    assert found.found and found.payload == 11 and found.cropped == (0, 0)


def test_it_survives_a_crop(marked: list[Image]) -> None:
    """Cut 4 % of the width and 5 % of the height, off the centre."""
    found = detect(compress([frame[10:284, 2:310] for frame in marked], 23))
    assert found.found and found.payload == 11
    np.testing.assert_allclose(found.cropped, (12 / 320, 14 / 288), atol=0.011)


@pytest.mark.parametrize("payload", range(0, PAYLOADS, 3))
def test_one_frame_tells_its_payload(payload: int) -> None:
    found = detect([Watermark(SIZE, payload)(moving_frames(1)[0])])
    assert found.found and found.payload == payload


def test_frames_without_a_mark_have_none() -> None:
    seen = detect(moving_frames())
    assert not seen.found and seen.payload is None and seen.score < 6
    flat = detect([np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)])
    assert not flat.found


def test_another_pattern_is_not_taken_for_it() -> None:
    noise = np.random.default_rng(1).normal(0, 2, (SIZE[1], SIZE[0], 1))
    frames = [np.clip(frame + noise, 0, 255).astype(np.uint8) for frame in moving_frames()]
    assert not detect(frames).found


def test_wrong_payloads_and_empty_clips_are_errors() -> None:
    with pytest.raises(ValueError, match="payload"):
        Watermark(SIZE, PAYLOADS)
    with pytest.raises(ValueError, match="no frame"):
        detect([])

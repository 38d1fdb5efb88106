"""Measure the watermark: detection after usual changes, false alarms, cost.

    python tools/measure_watermark.py marked CLIP...
    python tools/measure_watermark.py unmarked FILE...
    python tools/measure_watermark.py cost WIDTH HEIGHT

marked: marks the first 75 frames of each clip, changes them, encodes them with x264 (veryfast), and
prints how many clips are recognised, with their payload, for each change. unmarked: prints the
highest scores of files without a mark. cost: milliseconds per frame of the mark and of x264.
"""

from __future__ import annotations

import io
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import islice

import av
import cv2
import numpy as np

from thcli import media
from thcli.core.types import Image
from thcli.media.provenance.watermark import Watermark
from thcli.media.provenance.watermark_detection import (
    FRAMES,
    WatermarkDetector,
    WatermarkReading,
)

PAYLOAD = 9
COUNT = 75
Frames = list[Image]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def read(path: str, count: int) -> Frames:
    """Return the first frames of a clip."""
    with media.read(path) as frames:
        return [frame.pixels for frame in islice(frames, count)]


def encode(frames: Frames, crf: int) -> Frames:
    """Encode and decode H.264 in 4:2:0; odd rows and columns are cut off."""
    file = io.BytesIO()
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    options = {"crf": str(crf), "preset": "veryfast"}
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for pixels in frames:
            even = np.ascontiguousarray(pixels[:height, :width])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(even, "rgb24")))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as decoded:
        return [frame.to_ndarray(format="rgb24") for frame in decoded.decode(video=0)]


def resize(frames: Frames, size: tuple[int, int]) -> Frames:
    """Resize frames to (width, height)."""
    shrinks = size[1] < frames[0].shape[0]
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return [np.asarray(cv2.resize(pixels, size, interpolation=mode), np.uint8) for pixels in frames]


def halve(frames: Frames) -> Frames:
    """Resize frames to half their size."""
    height, width = frames[0].shape[:2]
    return resize(frames, (width // 2, height // 2))


def crop(frames: Frames) -> Frames:
    """Cut 2.5 % off each edge."""
    height, width = frames[0].shape[:2]
    y, x = round(height * 0.025), round(width * 0.025)
    return [pixels[y : height - y, x : width - x] for pixels in frames]


CHANGES: dict[str, Callable[[Frames], Frames]] = {
    **{f"CRF {crf}": lambda frames, crf=crf: encode(frames, crf) for crf in (18, 23, 28, 33)},
    **{
        f"half size, CRF {crf}": lambda frames, crf=crf: encode(halve(frames), crf)
        for crf in (18, 23, 28)
    },
    "1280x720, CRF 28": lambda frames: encode(resize(frames, (1280, 720)), 28),
    "5 % cropped, CRF 28": lambda frames: encode(crop(frames), 28),
    "CRF 23, again CRF 28": lambda frames: encode(encode(frames, 23), 28),
}


def detect(frames: Frames) -> WatermarkReading:
    """Return what the detector finds."""
    detector = WatermarkDetector()
    for pixels in frames[:FRAMES]:
        detector.add(pixels)
    return detector.result()


def measure_marked(paths: Sequence[str]) -> None:
    """Print the detection rate of each change."""
    found: dict[str, list[bool]] = defaultdict(list)
    scores: dict[str, list[float]] = defaultdict(list)
    psnr = []
    for path in paths:
        frames = read(path, COUNT)
        mark = Watermark((frames[0].shape[1], frames[0].shape[0]), PAYLOAD)
        marked = [mark(pixels) for pixels in frames]
        error = np.square(marked[0].astype(int) - frames[0]).mean()
        psnr.append(10 * np.log10(255**2 / error))
        for name, change in CHANGES.items():
            reading = detect(change(marked))
            found[name].append(reading.found and reading.payload == PAYLOAD)
            scores[name].append(reading.score)
    _say(f"{len(paths)} clips, PSNR {min(psnr):.1f} to {max(psnr):.1f} dB")
    for name, hits in found.items():
        _say(f"{name}: {sum(hits)} of {len(hits)}, median score {np.median(scores[name]):.1f}")


def measure_unmarked(paths: Sequence[str]) -> None:
    """Print the highest scores of files without a mark."""
    readings = [detect(read(path, FRAMES)) for path in paths]
    highest = sorted((reading.score for reading in readings), reverse=True)[:5]
    found = sum(reading.found for reading in readings)
    _say(f"{found} of {len(paths)} recognised; scores up to {np.round(highest, 2).tolist()}")


def measure_cost(width: int, height: int) -> None:
    """Print milliseconds per frame of the mark and of x264 with thcli's settings."""
    noise = np.random.default_rng(0)
    rows = np.linspace(40, 200, height)[:, None, None] + noise.normal(0, 3, (height, width, 1))
    frames = [np.repeat(np.clip(rows + i, 0, 255), 3, 2).astype(np.uint8) for i in range(12)]
    mark = Watermark((width, height), PAYLOAD)
    mark(frames[0])
    begun = time.process_time()
    for pixels in frames:
        mark(pixels)
    marked = time.process_time()
    encode(frames, 18)
    ended = time.process_time()
    per_frame = 1000 / len(frames)
    _say(f"mark {(marked - begun) * per_frame:.2f}, x264 {(ended - marked) * per_frame:.1f} ms")


def main(words: Sequence[str]) -> None:
    """Run a measurement."""
    cv2.setNumThreads(1)
    kind, *rest = words
    if kind == "cost":
        measure_cost(int(rest[0]), int(rest[1]))
    else:
        {"marked": measure_marked, "unmarked": measure_unmarked}[kind](rest)


if __name__ == "__main__":
    main(sys.argv[1:])

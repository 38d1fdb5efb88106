"""Drivers of every kind and time base with known time stamps: videos, motion files, images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from PIL import Image as Pillow

from thcli.core.types import Frame
from thcli.evaluate.datasets.sample_clip import astronaut_clip
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.writer import MotionWriter

SIZE, COUNT = 128, 6
IRREGULAR = (0, 3, 4, 9, 11, 12)  # steps of a clip with a variable frame rate
# name -> container, time base, frames per second of its steps, steps
CLIPS: dict[str, tuple[str, Fraction, Fraction, Sequence[int]]] = {
    "25": ("mp4", Fraction(1, 25), Fraction(25), range(COUNT)),
    "12800": ("mp4", Fraction(1, 12800), Fraction(25), range(COUNT)),
    "90000": ("mp4", Fraction(1, 90000), Fraction(30), range(COUNT)),
    "ntsc": ("avi", Fraction(1001, 30000), Fraction(30000, 1001), range(COUNT)),
    "vfr": ("mp4", Fraction(1, 12800), Fraction(25), IRREGULAR),
}


@dataclass(frozen=True, slots=True)
class Driver:
    """An input with known times.

    path: of the file or folder.
    times: of its frames in seconds.
    last: duration of its last frame in seconds.
    """

    path: Path
    times: tuple[Fraction, ...]
    last: Fraction


def write_video(folder: Path, name: str) -> Driver:
    """Write the clip of a row of CLIPS; its last frame lasts two steps where it can be stored."""
    container, unit, rate, steps = CLIPS[name]
    path, step = folder / f"{name}.{container}", int(1 / (rate * unit))
    last = 1 if container == "avi" else 2  # AVI stores a rate and no durations
    options = {} if container == "avi" else {"video_track_timescale": str(unit.denominator)}
    with av.open(str(path), "w", options=options) as out:
        codec = "mjpeg" if container == "avi" else "libx264"
        stream: Any = cast(
            Any, out.add_stream(codec, rate=rate, options={} if container == "avi" else {"bf": "0"})
        )
        stream.width, stream.height = SIZE, SIZE
        stream.pix_fmt = "yuvj420p" if container == "avi" else "yuv420p"
        stream.codec_context.time_base = unit
        durations = {}
        for frame, at, after in zip(
            astronaut_clip(COUNT, SIZE), steps, [*steps[1:], steps[-1] + last], strict=True
        ):
            image = av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")
            image.pts, image.time_base = at * step, unit
            durations[image.pts] = (after - at) * step
            out.mux(_lasting(stream.encode(image), durations))
        out.mux(_lasting(stream.encode(None), durations))
    return Driver(path, tuple(at * step * unit for at in steps), last * step * unit)


def _lasting(packets: Any, durations: dict[int, int]) -> Any:
    for packet in packets:
        packet.duration = durations[packet.pts]
    return packets


def write_motion(encoded: MotionFile, folder: Path, name: str) -> Driver:
    """Write the rows of a motion file with the times of a row of CLIPS alone."""
    _, unit, rate, steps = CLIPS[name]
    path, step = folder / f"{name}.motion.safetensors", int(1 / (rate * unit))
    pts = np.array([at * step for at in steps], np.int64)
    with MotionWriter(path) as writer:
        writer.append(replace(encoded.window(0, COUNT), pts=pts, time_base=unit))
    return Driver(path, tuple(int(t) * unit for t in pts), int(pts[-1] - pts[-2]) * unit)


def write_folder(folder: Path) -> Driver:
    """Write a folder of images, 25 frames per second."""
    path = folder / "images"
    path.mkdir()
    for frame in astronaut_clip(COUNT, SIZE):
        _picture(frame).save(path / f"{frame.index}.png")
    return Driver(path, tuple(Fraction(i, 25) for i in range(COUNT)), Fraction(1, 25))


def write_gif(folder: Path) -> Driver:
    """Write an animation whose frames last differently long."""
    path, milliseconds = folder / "waves.gif", [40, 70, 100, 30, 50, 400]
    first, *others = (_picture(frame) for frame in astronaut_clip(COUNT, SIZE))
    first.save(path, save_all=True, append_images=others, duration=milliseconds)
    times = tuple(Fraction(sum(milliseconds[:i]), 1000) for i in range(COUNT))
    return Driver(path, times, Fraction(400, 1000))


def _picture(frame: Frame) -> Pillow.Image:
    return Pillow.fromarray(np.asarray(frame.pixels, np.uint8))


def read_times(path: Path) -> tuple[list[Fraction], Fraction, Fraction]:
    """Return the times of a video's frames, the duration of the last one, and the time base."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        unit = Fraction(stream.time_base or 0)
        end = ((stream.start_time or 0) + (stream.duration or 0)) * unit
        times = sorted(
            packet.pts * unit
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None
        )
    return times, end - times[-1], unit

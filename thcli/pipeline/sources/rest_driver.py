"""Driver of a reenactment without one: a face at rest, to which sliders and turns are added."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.options import ReenactOptions
from thcli.media.writing.target import OutputTarget
from thcli.media.writing.timing import exact_frame_rate
from thcli.motion.control.controls import Controls
from thcli.motion.file.span import LAST_DURATION
from thcli.motion.file.windows import WINDOW
from thcli.motion.file.writer import MotionWriter
from thcli.motion.sliders import SliderCurves, motion_from_sliders
from thcli.pipeline.sources.source_video import is_video

LENGTH = 4.0  # seconds of a clip without keys or poses
RATE = Fraction(25)
MAX_FRAMES = 10_000_000  # of a motion file
NAME = "rest.motion.safetensors"


@dataclass(frozen=True, slots=True)
class RestDriver:
    """Motion file of a face at rest, and the job that it drives.

    path: the file.  target: output of the job.  options: of the job, without those that are used
    up.
    """

    path: Path
    target: str | Path
    options: ReenactOptions


def write_rest_driver(
    source: str | Path,
    output: str | Path | None,
    options: ReenactOptions,
    controls: Controls,
    folder: Path,
) -> RestDriver:
    """Write the motion of a face at rest as long as the controls move it.

    An image as the output, and nothing that moves with the default output, give one frame. A source
    video is as long as it is.

    Args:
        source: image or video.
        output: as given by the user, None for SOURCE_posed beside the source.
        options: of the job.
        controls: sliders and turns.
        folder: for the file.

    Raises:
        UsageError: the output is one image, but the controls move.
        MediaError: the source cannot be read.
    """
    if is_video(source, options.read) and options.source_time is None:
        target: str | Path = output or Path(source).with_name(
            f"{Path(source).stem}_posed{Path(source).suffix}"
        )
        info = media.probe(source, options.read)
        length, rate = float(info.duration or 0), Fraction(info.rate or RATE)
        length = length if options.read.end is None else min(length, options.read.end)
        count = frame_count(length, rate) if controls.is_moving else 1
        kept = options
    else:
        target = output or _default_output(source, controls)
        rate = RATE if options.output.fps is None else exact_frame_rate(options.output.fps)
        count = _count_frames(target, options.read.end, rate, controls)
        output_options, read = replace(options.output, fps=None), replace(options.read, end=None)
        kept = replace(options, output=output_options, read=read)
    path = folder / NAME
    _write(path, count, rate)
    motion = replace(kept.motion, expression=0.0)
    return RestDriver(path, target, replace(kept, motion=motion))


def frame_count(length: float, rate: Fraction) -> int:
    """Return the frames from 0 to a time in seconds, both included."""
    return min(int(length * float(rate) + 1e-6) + 1, MAX_FRAMES)


def _default_output(source: str | Path, controls: Controls) -> Path:
    suffix = ".mp4" if controls.is_moving else ".png"
    return Path(source).with_name(f"{Path(source).stem}_posed{suffix}")


def _count_frames(target: str | Path, end: float | None, rate: Fraction, controls: Controls) -> int:
    if OutputTarget(target, overwrite=True).kind == "image":
        if controls.is_moving:
            raise UsageError(
                f"{target} is one image, but --orbit, --keys and --pose-file move the head.",
                "Give the output the name of a video, or a folder/ of images.",
            )
        return 1
    length = LENGTH if end is None else end
    if end is None and controls.is_moving and controls.end > 0:
        length = controls.end
    return frame_count(length, rate)


def _write(path: Path, count: int, rate: Fraction) -> None:
    """Write `count` frames of a face at rest, `rate` per second."""
    with MotionWriter(path, {"source": "a face at rest", LAST_DURATION: "1"}) as writer:
        for start in range(0, count, WINDOW):
            pts = np.arange(start, min(start + WINDOW, count), dtype=np.int64)
            writer.append(motion_from_sliders(SliderCurves(), pts, 1 / rate))

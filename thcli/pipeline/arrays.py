"""Verbs and stages on arrays: images and frame iterators in, a frame iterator out.

A verb needs its input twice (two passes), so arrays are kept on disk meanwhile, lossless (FFV1,
PNG, WAV). Memory does not depend on the number of frames.
"""

from __future__ import annotations

import inspect
import wave
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import OutputError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import OutputOptions, ReadOptions
from thcli.core.temp_folders import temporary_folder
from thcli.core.types import Frame
from thcli.media.info import Colour, MediaInfo
from thcli.pipeline.job.job import Report

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Sound = tuple[npt.NDArray[np.float32], int]
Input = str | Path | Pixels | Sound | Iterable[Frame | Pixels]

LOSSLESS = "ffv1"
DEFAULT_RATE = Fraction(25)
RGB = Colour(matrix=0, range=2, primaries=1, transfer=13)  # full-range sRGB
WHOLE = ReadOptions()


def iterate(
    verb: Callable[..., Report],
    *inputs: Input,
    options: Any = None,
    fps: float = float(DEFAULT_RATE),
    on: Listener = silent,
) -> Iterator[Frame]:
    """Run a verb or a stage on arrays and yield the frames that it makes.

    The job runs at the first `next`; its frames are yielded when it has finished. Temporary files
    vanish when the iterator ends or is closed.

    Args:
        verb: `thcli.reenact`, `refine`, `edit`, `speak`, `crop`, `warp`, `paste`, ...
        inputs: the verb's inputs in order, each a path, an image (H, W, 3) RGB uint8 or uint16,
            a sound as ((N,) float32 in -1..1, rate in Hz), or frames: an array (T, H, W, 3) or an
            iterable of images of one size, at `fps`, or of `thcli.Frame` with time stamps of
            their own.
        options: the verb's options; codec, crf and preset are replaced, the way is lossless.
        fps: frames per second of plain arrays.
        on: listener for progress events.

    Raises:
        UsageError: `verb` is none, an input is of none of these kinds, or the options ask for a dry
            run.
        ThcliError: whatever the verb raises.
    """
    if not callable(verb):
        raise UsageError(
            f"The first argument of iterate is a verb, not a {type(verb).__name__}.",
            "Give for example thcli.iterate(thcli.reenact, face, drive).",
        )
    chosen = inspect.signature(verb).parameters["options"].default if options is None else options
    if getattr(chosen, "dry_run", False):
        raise UsageError("A dry run makes no frames.", "Call the verb itself for its report.")
    lossless = replace(
        chosen.output, codec=LOSSLESS, crf=None, preset=OutputOptions().preset, overwrite=True
    )
    with temporary_folder() as folder:
        paths = [
            _to_file(value, folder / f"input{number}", fps) for number, value in enumerate(inputs)
        ]
        output = folder / "output.mkv"
        verb(*paths, output, replace(chosen, output=lossless), on)
        with media.read(output) as frames:
            yield from frames


def read_frames(
    source: str | Path, read: ReadOptions = WHOLE, on: Listener = silent
) -> Iterator[Frame]:
    """Yield the upright RGB frames of a video, image, folder of images or animation.

    Raises MediaError for an input that cannot be read.
    """
    with media.read(source, read, on=on) as frames:
        yield from frames


def write_frames(
    output: str | Path,
    frames: Iterable[Frame | Pixels],
    options: OutputOptions | None = None,
    fps: float = float(DEFAULT_RATE),
    on: Listener = silent,
) -> int:
    """Write frames to a video, GIF, WebP, image or folder/ of PNGs; return how many.

    Args:
        output: path, whose ending decides the format; it appears when it is complete.
        frames: `Frame`s with time stamps, or images (H, W, 3) RGB of one size, at `fps`.

    Raises:
        OutputError: there is no frame, `output` exists (without `options.overwrite`) or cannot
            be written.
    """
    rate = Fraction(fps).limit_denominator(100_000)
    stamped = _stamped(frames, 1 / rate)
    first = next(stamped, None)
    if first is None:
        raise OutputError(f"{output} would be empty: there is no frame to write.")
    count = 0
    deep = first.pixels.dtype == np.uint16
    like = MediaInfo(Path(output), "video", bit_depth=16, colour=RGB) if deep else None
    plan = media.WritePlan(time_base=first.time_base, rate=rate)
    with media.write(output, first.size, like, options or OutputOptions(), plan, on=on) as out:
        for frame in chain([first], stamped):
            out.write(frame.pixels, frame.pts, frame.duration)
            count += 1
    return count


def _to_file(value: Input, stem: Path, fps: float) -> Path | str:
    if isinstance(value, str | Path):
        return value
    if isinstance(value, np.ndarray) and value.ndim != 4:
        path = stem.with_suffix(".png")
        if value.ndim != 3 or value.shape[2] != 3 or value.dtype not in (np.uint8, np.uint16):
            raise _array_error("An image must be (H, W, 3)", value)
        write_frames(path, [value])
        return path
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], int):
        return _sound_file(value[0], value[1], stem.with_suffix(".wav"))
    if not isinstance(value, Iterable):
        raise UsageError(
            f"An input cannot be a {type(value).__name__}.",
            "Give a path, an image, a sound (samples, rate) or an iterable of frames.",
        )
    if isinstance(value, np.ndarray) and (
        value.shape[3] != 3 or value.dtype not in (np.uint8, np.uint16)
    ):
        raise _array_error("A video must be (T, H, W, 3)", value)
    path = stem.with_suffix(".mkv")
    write_frames(path, value, OutputOptions(codec=LOSSLESS), fps)
    return path


def _array_error(sentence: str, value: npt.NDArray[Any]) -> UsageError:
    return UsageError(
        f"{sentence} uint8 or uint16, not {value.shape} {value.dtype}.",
        "Convert it to RGB, full range.",
    )


def _sound_file(samples: npt.ArrayLike, rate: int, path: Path) -> Path:
    """Write (N,) samples in -1..1 as 16-bit mono WAV."""
    values = np.asarray(samples, np.float64)
    if values.ndim != 1:
        raise UsageError(f"A sound must be (N,) samples of one channel, not {values.shape}.")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.round(np.clip(values, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def _stamped(frames: Iterable[Frame | Pixels], tick: Fraction) -> Iterator[Frame]:
    """Yield `Frame`s as they are, and images one tick (seconds) after another."""
    for index, frame in enumerate(frames):
        if isinstance(frame, Frame):
            yield frame
        else:
            yield Frame(frame, index, tick, index, 1)

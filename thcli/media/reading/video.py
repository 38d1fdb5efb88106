"""Decoding one video stream: upright RGB frames with the time stamps of the file, whatever state it is in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from thcli.core.errors import MediaError, UsageError
from thcli.core.options import ReadOptions
from thcli.core.types import Frame
from thcli.media.colour import ToRGB
from thcli.media.failures import unreadable
from thcli.media.info import MediaInfo
from thcli.media.orientation import turns, upright
from thcli.media.reading.container import need_picture, opened

_HOPELESS = 100  # failures to read one after the other: the rest of the file is gone
_THREADED = 1_000_000  # pixels from which on decoding by several threads pays; below, it only costs


@dataclass
class Tally:
    """What went wrong while reading, counted."""

    damaged: int = 0
    rescaled: int = 0


def seconds(value: float) -> Fraction:
    """The decimal number that was meant: 0.1 becomes 1/10."""
    return Fraction(repr(value))


def decode(
    path: Path,
    info: MediaInfo,
    options: ReadOptions,
    tally: Tally,
    background: tuple[int, int, int] = (0, 0, 0),
) -> Iterator[Frame]:
    """Yields the frames whose time lies within [start, end) of the options, counted from the stream's beginning.

    Raises MediaError when not one frame can be decoded, UsageError when the range lies behind the end.
    """
    first = info.start + seconds(options.start) if options.start else None
    last = info.start + seconds(options.end) if options.end is not None else None
    with opened(path) as container:
        stream = need_picture(container, path)
        _set_threads(stream, options.threads)
        to_rgb = ToRGB(info.colour, background)
        coded = info.size[::-1] if turns(info.orientation) else info.size
        clock = Clock(info.time_base, info.rate)
        index = 0
        decoded = False
        for picture in _from(container, stream, first, tally):
            decoded = True
            pts = clock.stamp(picture)
            time = pts * info.time_base
            if first is not None and time < first:
                continue
            if last is not None and time >= last:
                break
            tally.damaged += picture.is_corrupt
            fits = (picture.width, picture.height) == coded
            tally.rescaled += not fits
            pixels = upright(to_rgb(picture, None if fits else coded), info.orientation)
            yield Frame(pixels, pts, info.time_base, index, picture.duration or 0)
            index += 1
    if not decoded and first is None:
        raise unreadable(path, MediaError("no frame of it can be decoded"))
    if index == 0:
        raise UsageError(
            f"--start {options.start:g} lies behind the last frame of {path}.",
            f"It lasts {float(info.duration):.2f} seconds." if info.duration else "",
        )


class Clock:
    """Gives every picture a time stamp, strictly later than the one before.

    Stamps of the file pass through untouched. What is missing is rebuilt from the decoding time or the rate, a step back by
    more than a second (files glued together) shifts what follows, a smaller one becomes the next tick.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        self._step = max(Fraction(1), 1 / ((rate or Fraction(25)) * time_base))
        self._second = max(1, int(1 / time_base))
        self._last: int | None = None
        self._shift = 0
        self._rebuilt = Fraction(0)

    def stamp(self, picture: av.VideoFrame) -> int:
        """In units of the time base."""
        pts = picture.pts if picture.pts is not None else picture.dts
        if pts is None:
            self._rebuilt = self._rebuilt + self._step if self._last is not None else Fraction(0)
            pts = round(self._rebuilt)
        else:
            pts += self._shift
            if self._last is not None and pts <= self._last:
                if self._last - pts > self._second:
                    late = self._last + round(self._step) - pts
                    self._shift, pts = self._shift + late, pts + late
                else:
                    pts = self._last + 1
            self._rebuilt = Fraction(pts)
        self._last = pts
        return pts


def _set_threads(stream: VideoStream, threads: int) -> None:
    if threads == 1 or (threads == 0 and stream.width * stream.height < _THREADED):
        stream.thread_type, stream.thread_count = "NONE", 1
    else:
        stream.thread_type, stream.thread_count = "AUTO", threads or os.cpu_count() or 1


def _from(
    container: InputContainer, stream: VideoStream, first: Fraction | None, tally: Tally
) -> Iterator[av.VideoFrame]:
    """Pictures from a key frame at or before `first` seconds, from the beginning without it."""
    if first is None:
        yield from _pictures(container, stream, tally)
        return
    time_base = stream.time_base or Fraction(1, 1000)
    beginning = stream.start_time or 0
    wanted, back = int(first / time_base), 0
    while True:
        target = wanted - back
        if (
            target <= beginning
        ):  # a stream without key frames in its index may land behind the very first: aim before it
            target = beginning - int(1 / time_base)
        try:
            container.seek(target, stream=stream, backward=True)
        except (
            av.FFmpegError,
            OSError,
        ):  # a stream without an index: whatever comes is from the beginning
            target = beginning - 1
        pictures = _pictures(container, stream, tally)
        picture = next(pictures, None)
        if (
            picture is not None
            and (picture.pts is None or picture.pts > wanted)
            and target >= beginning
        ):
            back = max(
                2 * back, int(2 / time_base), 1
            )  # the index led past the moment: look further in front of it
            continue
        if picture is not None:
            yield from chain([picture], pictures)
        return


def _pictures(
    container: InputContainer, stream: VideoStream, tally: Tally
) -> Iterator[av.VideoFrame]:
    """Everything that can be decoded from here on; damage is counted and passed over."""
    packets = container.demux(stream)
    failures = 0
    while failures < _HOPELESS:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, OSError):
            tally.damaged += 1
            failures += 1
            packets = container.demux(stream)
            continue
        failures = 0
        try:
            yield from packet.decode()
        except av.FFmpegError:
            tally.damaged += 1

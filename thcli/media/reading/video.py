"""Decoding of one video stream to upright RGB frames with the time stamps of the file."""

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
from thcli.media.failures import to_media_error
from thcli.media.info import MediaInfo
from thcli.media.orientation import rotate_upright, swaps_sides
from thcli.media.reading.container import open_input, require_video_stream
from thcli.media.reading.deinterlace import deinterlaced
from thcli.media.reading.pixel_limit import PixelLimit
from thcli.media.tone_mapping import ToneMapper
from thcli.media.tone_restoring import KeptSignal, ToneRestorer

_MAX_FAILURES = 100  # consecutive read errors after which the rest of the file is given up
_THREADED_PIXELS = 1_000_000  # smallest frame for which decoder threads are faster


@dataclass
class DamageCounter:
    """Counts of defects while reading.

    damaged: packets and frames that were not decoded cleanly.
    rescaled: frames of another size than the first.
    """

    damaged: int = 0
    rescaled: int = 0


def exact_seconds(value: float) -> Fraction:
    """Convert to the decimal fraction that the float is written as: 0.1 becomes 1/10."""
    return Fraction(repr(value))


def decode(
    path: Path,
    info: MediaInfo,
    options: ReadOptions,
    defects: DamageCounter,
    background: tuple[int, int, int] = (0, 0, 0),
    device: str = "cpu",
    *,
    tone_mapped: bool = False,
) -> Iterator[Frame]:
    """Yield the frames of a range as upright RGB.

    Args:
        path: the file.
        info: result of `probe`.
        options: range [start, end) in seconds from the beginning of the stream, largest size,
            decoder threads.
        defects: incremented for defects.
        background: RGB under transparent pixels.
        device: a --device value, for tone mapping.
        tone_mapped: see `media.read`.

    Raises:
        MediaError: no frame can be decoded, or a frame is too large.
        UsageError: the range begins after the last frame.
    """
    first = info.start + exact_seconds(options.start) if options.start else None
    last = info.start + exact_seconds(options.end) if options.end is not None else None
    limit = PixelLimit.of(options)
    with open_input(path, limit) as container:
        stream = require_video_stream(container, path)
        threads = _set_threads(stream, options.threads)
        to_rgb = ToRGB(info.mapped_from or info.colour, background)
        tone_mapper, restorer = None, None
        if info.mapped_from is not None:
            tone_mapper = ToneMapper(info.mapped_from, device)
        elif tone_mapped and info.colour.is_hdr:
            tone_mapper, restorer = ToneMapper(info.colour, device), ToneRestorer(info.colour)
        coded = info.size[::-1] if swaps_sides(info.orientation) else info.size
        stored = None if info.squared else coded
        timestamps = TimestampRepair(info.time_base, info.rate)
        durations = FrameDurations(info, bool(stream.codec_context.has_b_frames))
        index = 0
        decoded = False
        packets = _PacketDecoder(path, container, stream, limit, defects)
        for frame in deinterlaced(packets.decode_from(first), path, info.time_base, threads):
            decoded = True
            pts = timestamps.stamp(frame)
            time = pts * info.time_base
            if first is not None and time < first:
                continue
            if last is not None and time >= last:
                break
            defects.damaged += frame.is_corrupt
            stored = stored or (frame.width, frame.height)
            fits = (frame.width, frame.height) == coded
            defects.rescaled += (frame.width, frame.height) != stored
            pixels = to_rgb(frame, None if fits else coded)
            codes = pixels = rotate_upright(pixels, info.orientation)
            if tone_mapper is not None:
                pixels = tone_mapper(pixels)
            signal = None if restorer is None else KeptSignal(codes, pixels, restorer)
            duration = durations.of(frame, pts, index)
            yield Frame(pixels, pts, info.time_base, index, duration, signal)
            index += 1
    if not decoded and first is None:
        raise to_media_error(path, MediaError("no frame can be decoded"))
    if index == 0:
        raise UsageError(
            f"--start {options.start:g} is after the last frame of {path}.",
            f"Its duration is {float(info.duration):.2f} s." if info.duration else "",
        )


def shows_several(info: MediaInfo, options: ReadOptions) -> bool:
    """Return whether a range of a video surely has more than one frame, by its time stamps.

    Reads packets without decoding them, up to the second one of the range.

    Args:
        info: result of `probe`.
        options: range, as of `decode`.

    Raises:
        MediaError: the file cannot be opened.
    """
    first = info.start + exact_seconds(options.start)
    last = info.start + exact_seconds(options.end) if options.end is not None else None
    with open_input(info.path, PixelLimit.of(options)) as container:
        stream = require_video_stream(container, info.path)
        if options.start:
            try:
                container.seek(int(first / info.time_base), stream=stream, backward=True)
            except (av.FFmpegError, OSError):
                return False  # no index
        shown = set[int]()
        try:
            for packet in container.demux(stream):
                if packet.pts is None:
                    return False
                if first <= packet.pts * info.time_base and (
                    last is None or packet.pts * info.time_base < last
                ):
                    shown.add(packet.pts)
                decoding = packet.pts if packet.dts is None else packet.dts
                if len(shown) > 1 or (last is not None and decoding * info.time_base >= last):
                    break
        except (av.FFmpegError, OSError):
            return False  # damaged
    return len(shown) > 1


class FrameDurations:
    """Durations of displayed frames.

    Of a stream whose frames are reordered, containers store intervals of decoding: only the end of
    the stream is known then.
    """

    def __init__(self, info: MediaInfo, is_reordered: bool) -> None:
        self._is_reordered = is_reordered
        self._last_index, self._end = -1, 0
        if info.frames is not None and info.frames_exact and info.duration is not None:
            self._last_index = info.frames - 1
            self._end = round((info.start + info.duration) / info.time_base)

    def of(self, frame: av.VideoFrame, pts: int, index: int) -> int:
        """Return the duration in units of the time base, 0 when unknown.

        Args:
            frame: decoded frame.
            pts: its repaired time stamp.
            index: its number in the stream.
        """
        if not self._is_reordered:
            return frame.duration or 0
        return max(self._end - pts, 0) if index == self._last_index else 0


class TimestampRepair:
    """Repair of missing and decreasing time stamps; the results are strictly increasing.

    Valid time stamps are unchanged. A missing one is derived from the decoding time or the rate. A
    step back by more than a second (concatenated files) shifts all that follow; a smaller one
    becomes the next tick.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        self._step = max(Fraction(1), 1 / ((rate or Fraction(25)) * time_base))
        self._second = max(1, int(1 / time_base))
        self._last: int | None = None
        self._shift = 0
        self._rebuilt = Fraction(0)

    def stamp(self, frame: av.VideoFrame) -> int:
        """Return the time stamp of the next decoded frame, in units of the time base."""
        pts = frame.pts if frame.pts is not None else frame.dts
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


def _set_threads(stream: VideoStream, threads: int) -> int:
    """Set the threads of the decoder; return how many it may use."""
    if threads == 1 or (threads == 0 and stream.width * stream.height < _THREADED_PIXELS):
        stream.thread_type, stream.thread_count = "NONE", 1
        return 1
    count = threads or os.cpu_count() or 1
    stream.thread_type, stream.thread_count = "AUTO", count
    return count


@dataclass(frozen=True, slots=True)
class _PacketDecoder:
    """Decoder of one stream; damaged packets are counted and skipped."""

    path: Path
    container: InputContainer
    stream: VideoStream
    limit: PixelLimit
    defects: DamageCounter

    def decode_from(self, first: Fraction | None) -> Iterator[av.VideoFrame]:
        """Decode from a key frame at or before `first` seconds; from the beginning if None.

        Of interlaced video it is before: a frame is deinterlaced with its neighbours.
        """
        if first is None:
            yield from self._decode()
            return
        time_base = self.stream.time_base or Fraction(1, 1000)
        beginning = self.stream.start_time or 0
        wanted, back = int(first / time_base), 0
        while True:
            target = wanted - back
            # without key frames in its index a stream may be positioned after the first: aim
            # before it
            if target <= beginning:
                target = beginning - int(1 / time_base)
            try:
                self.container.seek(target, stream=self.stream, backward=True)
            except (av.FFmpegError, OSError):  # no index: decoding continues from the beginning
                target = beginning - 1
            decoded = self._decode()
            frame = next(decoded, None)
            is_late = (
                frame is None
                or frame.pts is None
                or frame.pts > wanted - bool(frame.interlaced_frame)
            )
            if is_late and target >= beginning:
                # the index led past it: seek further back
                back = max(2 * back, int(2 / time_base), 1)
                continue
            if frame is not None:
                yield from chain([frame], decoded)
            return

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Yield all frames from the current position."""
        packets = self.container.demux(self.stream)
        failures = 0
        while failures < _MAX_FAILURES:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, OSError):
                self.defects.damaged += 1
                failures += 1
                packets = self.container.demux(self.stream)
                continue
            failures = 0
            try:
                for frame in packet.decode():
                    self.limit.check_frame(self.path, frame.width, frame.height)
                    yield frame
            except av.FFmpegError:
                context = self.stream.codec_context  # has the size that the decoder refused
                self.limit.check_frame(self.path, context.width, context.height)
                self.defects.damaged += 1

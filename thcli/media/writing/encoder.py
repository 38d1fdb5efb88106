"""Video encoding: RGB pixels to packets with exact time stamps."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from PIL import Image as Pillow

from thcli.core.imaging import to_uint8
from thcli.media.colour import FromRGB, encoding_tags
from thcli.media.info import Colour
from thcli.media.writing.clear_memory import clear_memory
from thcli.media.writing.codecs import EncoderPlan

_QP_TO_LAMBDA = 118  # FFmpeg's quality unit, FF_QP2LAMBDA
_X265_MIN_SIDE = 64  # pixels; below it the look-ahead of x265 4.2 writes past its buffers
_MAX_DECODE_LEAD = 60  # seconds; a longer lead of decoding time over display time is invalid
_MAX_REORDER = 16  # frames; no encoder delays more
_SELF_THREADED = ("libsvtav1", "libx265")  # choose their number of threads themselves


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """Format of an encoded video stream.

    size: (width, height) in pixels.
    plan: encoder and settings.
    time_base: unit of the time stamps in seconds.
    rate: average frames per second, which encoders require.
    colour: tags of the frames.
    sar: sample aspect ratio.
    threads: encoder threads, 0 for its default.
    """

    size: tuple[int, int]
    plan: EncoderPlan
    time_base: Fraction
    rate: Fraction
    colour: Colour = field(default_factory=Colour)
    sar: Fraction = Fraction(1)
    threads: int = 0

    @property
    def tags(self) -> Colour:
        """Colour tags of the output."""
        return encoding_tags(self.colour, self.plan.pix_fmt, self.size[1])


def configure_encoder(context: VideoCodecContext, form: VideoFormat) -> None:
    """Configure a codec context before it is opened."""
    plan, tags = form.plan, form.tags
    context.width, context.height = form.size
    context.pix_fmt = plan.pix_fmt
    # MPEG-4 has a 16-bit clock; the encoder gets frame numbers, and time stamps are restored after
    steady = form.rate if form.rate.numerator < 2**16 else Fraction(max(1, round(form.rate)))
    context.framerate = steady if plan.counts_frames else form.rate
    context.time_base = 1 / steady if plan.counts_frames else form.time_base
    context.sample_aspect_ratio = form.sar
    if tags.matrix != 0 or plan.pix_fmt not in ("pal8", "bgra"):
        context.color_range, context.colorspace = tags.range, tags.matrix
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
    options = dict(plan.options)
    quality = options.pop("qscale", None)
    if quality is not None:
        context.qscale = True
        context.global_quality = round(float(quality) * _QP_TO_LAMBDA)
    if plan.encoder == "libx265" and min(form.size) < _X265_MIN_SIDE:
        options["x265-params"] += ":rc-lookahead=0:bframes=0:b-adapt=0:scenecut=0"
    context.options = options
    if plan.tag:
        context.codec_tag = plan.tag
    if plan.encoder not in _SELF_THREADED:
        # FFmpeg's default is 1.5 threads per core for x264, which is a sixth slower
        context.thread_count = form.threads or os.cpu_count() or 1
    elif form.threads:
        context.thread_count = form.threads


class VideoEncoder:
    """Encoder of one stream. Packets carry the time stamps and durations of their frames."""

    def __init__(self, context: VideoCodecContext, form: VideoFormat) -> None:
        self._context = context
        self._form = form
        self._convert: Callable[[np.ndarray[Any, Any]], av.VideoFrame]
        is_palette = form.plan.pix_fmt == "pal8"
        self._convert = _quantize if is_palette else FromRGB(form.plan.pix_fmt, form.tags)
        self._count = 0
        self._last: int | None = None
        self._lead = 0  # time stamp of the first packet minus its decoding time
        self._end = 0  # of the last frame that is shown
        self._pending: dict[int, tuple[int, int]] = {}  # encoder's pts -> true pts, duration
        self._memory: Callable[[], AbstractContextManager[None]]
        self._memory = clear_memory if _reads_old_memory(form) else nullcontext

    def encode(self, pixels: np.ndarray[Any, Any], pts: int, duration: int) -> list[Packet[Any]]:
        """Encode a frame and return the packets that are ready.

        Args:
            pixels: (H, W, 3) RGB, uint8 or uint16.
            pts, duration: in units of the format's time base.
        """
        frame = self._convert(pixels)
        frame.pts = self._count if self._form.plan.counts_frames else pts
        frame.time_base = self._context.time_base
        self._pending[frame.pts] = (pts, duration)
        self._count += 1
        with self._memory():
            packets = self._context.encode(frame)
        return self._restore_times(packets)

    def flush(self) -> list[Packet[Any]]:
        """Return the remaining packets; no frame can be encoded after it.

        The length of an mp4 track is the sum of the intervals of decoding: the last packet is
        extended until that sum reaches the end of the last frame that is shown.
        """
        with self._memory():
            packets = self._context.encode(None)
        packets = self._restore_times(packets)
        if packets and packets[-1].duration:
            last = packets[-1]
            missing = self._end - self._lead - (last.dts or 0)
            last.duration = max(last.duration or 0, min(missing, self._end - (last.pts or 0)))
        return packets

    def _restore_times(self, packets: list[Packet[Any]]) -> list[Packet[Any]]:
        for packet in packets:
            if packet.pts in self._pending:
                pts, duration = self._pending.pop(packet.pts)
                if self._form.plan.counts_frames:
                    packet.pts = packet.dts = pts
                packet.duration = duration
                self._end = max(self._end, pts + duration)
            packet.time_base = self._form.time_base
            is_first = self._last is None
            self._last = packet.dts = self._valid_dts(packet)
            if is_first:
                self._lead = (packet.pts or 0) - self._last
        return packets

    def _valid_dts(self, packet: Packet[Any]) -> int:
        """Return the packet's decoding time, or a valid one where the encoder did not set it.

        x265 leaves it unset in clips shorter than its look-ahead.
        """
        pts, dts = packet.pts or 0, packet.dts
        limit = int(_MAX_DECODE_LEAD / self._form.time_base)
        rises = dts is not None and (self._last is None or dts > self._last)
        if dts is not None and rises and pts - limit <= dts <= pts:
            return dts
        return pts - _MAX_REORDER if self._last is None else self._last + 1


def _reads_old_memory(form: VideoFormat) -> bool:
    """Return whether packets may depend on what the memory held before; see `clear_memory`.

    All encoders but x264 count as ones that may, which has not been seen.
    """
    plan, width = form.plan, form.size[0]
    return plan.encoder != "libx264" or (width % 128 > 0 and plan.options.get("bf") != "0")


def create_encoder(form: VideoFormat, global_header: bool) -> VideoCodecContext:
    """Create an encoder outside of a container, with the same settings as inside.

    Args:
        form: format of the stream.
        global_header: True when the container stores the codec's header itself.
    """
    context = av.CodecContext.create(form.plan.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    configure_encoder(context, form)
    if global_header:
        context.flags |= Flags.global_header
    return context


def _quantize(pixels: np.ndarray[Any, Any]) -> av.VideoFrame:
    """Quantize a GIF's frame to a palette of its own of 256 colours."""
    image = Pillow.fromarray(np.ascontiguousarray(to_uint8(pixels)))
    indexed = image.quantize(256, Pillow.Quantize.FASTOCTREE)
    colours = np.zeros((256, 4), np.uint8)
    colours[:, 0] = 255  # alpha is the first channel
    found = np.asarray(indexed.getpalette(), np.uint8).reshape(-1, 3)
    colours[: len(found), 1:] = found
    data: Any = (np.asarray(indexed), colours)  # PyAV's stubs declare a single array
    return av.VideoFrame.from_ndarray(data, "pal8")

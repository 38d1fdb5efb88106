"""One video encoder: RGB pixels in, packets with exact time stamps out."""

from __future__ import annotations

import os
from collections.abc import Callable
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
from thcli.media.colour import FromRGB, for_encoding
from thcli.media.info import Colour
from thcli.media.writing.codecs import EncoderPlan

_LAMBDA = 118  # FFmpeg's quality unit: FF_QP2LAMBDA
_X265_SAFE = 64  # pixels; x265 4.2 looking ahead in smaller pictures writes past its buffers
_FAR = 60  # seconds; no encoder decodes a frame so long before it is shown
_DEPTH = 16  # frames; none holds more back
_ALREADY_THREADED = ("libsvtav1", "libx265")  # these count the cores themselves


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What is encoded. time_base: of the time stamps; rate: the average, which codecs ask for."""

    size: tuple[int, int]
    plan: EncoderPlan
    time_base: Fraction
    rate: Fraction
    colour: Colour = field(default_factory=Colour)
    sar: Fraction = Fraction(1)
    threads: int = 0

    @property
    def tags(self) -> Colour:
        """The colour tags that are written."""
        return for_encoding(self.colour, self.plan.pix_fmt, self.size[1])


def configure(context: VideoCodecContext, form: VideoFormat) -> None:
    """Sets a codec context that is not open yet."""
    plan, tags = form.plan, form.tags
    context.width, context.height = form.size
    context.pix_fmt = plan.pix_fmt
    # MPEG-4's clock has 16 bits; the true time stamps are put back behind the encoder
    steady = form.rate if form.rate.numerator < 2**16 else Fraction(max(1, round(form.rate)))
    context.framerate = steady if plan.counts else form.rate
    context.time_base = 1 / steady if plan.counts else form.time_base
    context.sample_aspect_ratio = form.sar
    if tags.matrix != 0 or plan.pix_fmt not in ("pal8", "bgra"):
        context.color_range, context.colorspace = tags.range, tags.matrix
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
    options = dict(plan.options)
    quality = options.pop("qscale", None)
    if quality is not None:
        context.qscale = True
        context.global_quality = round(float(quality) * _LAMBDA)
    if plan.encoder == "libx265" and min(form.size) < _X265_SAFE:
        options["x265-params"] += ":rc-lookahead=0:bframes=0:b-adapt=0:scenecut=0"
    if plan.encoder == "libsvtav1":
        os.environ.setdefault(
            "SVT_LOG", "1"
        )  # errors only: else it greets on standard error, and has no other switch
    context.options = options
    if plan.tag:
        context.codec_tag = plan.tag
    if plan.encoder not in _ALREADY_THREADED:
        # FFmpeg's own default asks x264 for half as many threads more than there are cores, which costs a sixth of its time
        context.thread_count = form.threads or os.cpu_count() or 1
    elif form.threads:
        context.thread_count = form.threads


class VideoEncoder:
    """Feeds one codec context. Time stamps and durations come out as they went in."""

    def __init__(self, context: VideoCodecContext, form: VideoFormat) -> None:
        self._context = context
        self._form = form
        self._convert: Callable[[np.ndarray[Any, Any]], av.VideoFrame]
        self._convert = (
            _palette if form.plan.pix_fmt == "pal8" else FromRGB(form.plan.pix_fmt, form.tags)
        )
        self._count = 0
        self._last: int | None = None
        self._under_way: dict[
            int, tuple[int, int]
        ] = {}  # the encoder's pts -> the true pts, the duration

    def encode(self, pixels: np.ndarray[Any, Any], pts: int, duration: int) -> list[Packet[Any]]:
        """pixels: (H, W, 3) RGB uint8 or uint16.  pts, duration: in units of the form's time base."""
        frame = self._convert(pixels)
        frame.pts = self._count if self._form.plan.counts else pts
        frame.time_base = self._context.time_base
        self._under_way[frame.pts] = (pts, duration)
        self._count += 1
        return self._stamped(self._context.encode(frame))

    def flush(self) -> list[Packet[Any]]:
        """What the encoder still holds; nothing can be encoded after it."""
        return self._stamped(self._context.encode(None))

    def _stamped(self, packets: list[Packet[Any]]) -> list[Packet[Any]]:
        for packet in packets:
            if packet.pts in self._under_way:
                pts, duration = self._under_way.pop(packet.pts)
                if self._form.plan.counts:
                    packet.pts = packet.dts = pts
                packet.duration = duration
            packet.time_base = self._form.time_base
            self._last = packet.dts = self._sound_dts(packet)
        return packets

    def _sound_dts(self, packet: Packet[Any]) -> int:
        """The packet's time of decoding, or one that is possible: x265 leaves it unset in clips shorter than its look-ahead."""
        pts, dts = packet.pts or 0, packet.dts
        far = int(_FAR / self._form.time_base)
        if dts is not None and pts - far <= dts <= pts and (self._last is None or dts > self._last):
            return dts
        return pts - _DEPTH if self._last is None else self._last + 1


def standalone(form: VideoFormat, global_header: bool) -> VideoCodecContext:
    """An encoder outside of any container, set like the one inside."""
    context = av.CodecContext.create(form.plan.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    configure(context, form)
    if global_header:
        context.flags |= Flags.global_header
    return context


def _palette(pixels: np.ndarray[Any, Any]) -> av.VideoFrame:
    """A GIF's frame with the 256 colours that suit it."""
    picture = Pillow.fromarray(np.ascontiguousarray(to_uint8(pixels))).quantize(
        256, Pillow.Quantize.FASTOCTREE
    )
    colours = np.zeros((256, 4), np.uint8)
    colours[:, 0] = 255  # alpha stands first
    found = np.asarray(picture.getpalette(), np.uint8).reshape(-1, 3)
    colours[: len(found), 1:] = found
    return av.VideoFrame.from_ndarray((np.asarray(picture), colours), "pal8")  # type: ignore[arg-type]

"""Sound that a container cannot hold as it is, decoded and encoded again."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, cast

import av
from av.container import OutputContainer
from av.packet import Packet

_ENCODERS = {
    "webm": ("libopus", "libvorbis", "opus"),
    "avi": ("libmp3lame", "aac"),
    "nut": ("flac",),
}
_RATES = {"libopus": 48000, "opus": 48000}
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_MOST_RATE = 48000  # of what the lossy encoders take


class Transcoded:
    """One audio track through a decoder and an encoder, with its own time stamps."""

    def __init__(self, out: OutputContainer, encoder: str, stream: Any) -> None:
        rate = _RATES.get(encoder) or min(int(stream.codec_context.sample_rate), _MOST_RATE)
        layout = _layout(stream.codec_context)
        self._out: Any = cast(Any, out.add_stream(encoder, rate=rate))
        self._out.codec_context.layout = layout
        self._out.codec_context.bit_rate = 96_000 * max(1, int(stream.codec_context.channels))
        self._out.codec_context.time_base = Fraction(1, rate)
        self._out.metadata.update(
            {k: v for k, v in stream.metadata.items() if k in ("language", "title")}
        )
        self._out.disposition = stream.disposition
        self._in = stream
        self._resampler = av.AudioResampler(self._out.codec_context.format, layout, rate)
        self._rate = rate

    @classmethod
    def make(cls, out: OutputContainer, muxer: str, stream: Any) -> Transcoded | None:
        """None when the container has no sound, or this build has no encoder or decoder for it."""
        if muxer in ("gif", "webp"):
            return None
        for encoder in _ENCODERS.get(muxer, ("aac", "libmp3lame")):
            try:
                return cls(out, encoder, stream)
            except ValueError:  # unknown here, or not for this container
                continue
        return None

    def packets(self, packet: Packet[Any], lead: Fraction) -> list[Packet[Any]]:
        made: list[Packet[Any]] = []
        try:
            frames = cast(list[av.AudioFrame], packet.decode())
        except av.FFmpegError:
            frames = []  # a damaged packet: silence of its length, as its time stamps say
        for frame in frames:
            if frame.pts is not None and frame.time_base:
                frame.pts -= round(lead / frame.time_base)
            for part in self._resampler.resample(frame):
                made += self._out.encode(part)
        if packet.size == 0:
            for part in self._resampler.resample(None):
                made += self._out.encode(part)
            made += self._out.encode(None)
        return made


def _layout(context: Any) -> str:
    """The name of a track's channel layout; a plain WAV says only how many channels there are. Raises ValueError for too many."""
    known = context.layout
    if known.channels and known.channels[0].name != "NONE":
        return str(known.name)
    if known.nb_channels not in _LAYOUTS:
        raise ValueError(f"{known.nb_channels} channels without a layout")
    return _LAYOUTS[known.nb_channels]

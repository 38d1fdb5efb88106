"""Transcoding of audio that a container cannot hold."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, cast

import av
from av.container import OutputContainer
from av.packet import Packet

from thcli.media.stream_tags import copy_tags

_ENCODERS = {
    "webm": ("libopus", "libvorbis", "opus"),
    "avi": ("libmp3lame", "aac"),
    "nut": ("flac",),
}
_RATES = {"libopus": 48000, "opus": 48000}
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_MAX_RATE = 48000  # Hz, of the lossy encoders


class AudioTranscoder:
    """Decoder and encoder of one audio stream. Time stamps are kept."""

    def __init__(self, out: OutputContainer, encoder: str, stream: Any) -> None:
        rate = _RATES.get(encoder) or min(int(stream.codec_context.sample_rate), _MAX_RATE)
        layout = _layout(stream.codec_context)
        self._out: Any = cast(Any, out.add_stream(encoder, rate=rate))
        self._out.codec_context.layout = layout
        self._out.codec_context.bit_rate = 96_000 * max(1, int(stream.codec_context.channels))
        self._out.codec_context.time_base = Fraction(1, rate)
        copy_tags(stream, self._out, out)
        self._in = stream
        self._resampler = av.AudioResampler(self._out.codec_context.format, layout, rate)
        self._rate = rate

    @classmethod
    def make(cls, out: OutputContainer, muxer: str, stream: Any) -> AudioTranscoder | None:
        """Create the transcoder of a stream.

        Returns:
            None when the container holds no audio, or this build lacks an encoder or decoder.
        """
        if muxer in ("gif", "webp"):
            return None
        for encoder in _ENCODERS.get(muxer, ("aac", "libmp3lame")):
            try:
                return cls(out, encoder, stream)
            except ValueError:  # not in this build, or not for this container
                continue
        return None

    def convert(self, packet: Packet[Any], lead: Fraction) -> list[Packet[Any]]:
        """Transcode a packet, as `PacketTransfer` defines; an empty one flushes the encoder."""
        encoded: list[Packet[Any]] = []
        try:
            frames = cast(list[av.AudioFrame], packet.decode())
        except av.FFmpegError:
            frames = []  # a damaged packet leaves a gap in the time stamps, which is silence
        for frame in frames:
            if frame.pts is not None and frame.time_base:
                frame.pts -= round(lead / frame.time_base)
            for part in self._resampler.resample(frame):
                encoded += self._out.encode(part)
        if packet.size == 0:
            for part in self._resampler.resample(None):
                encoded += self._out.encode(part)
            encoded += self._out.encode(None)
        return encoded


def _layout(context: Any) -> str:
    """Return the name of a stream's channel layout.

    A plain WAV has only a number of channels. Raises ValueError for more than 8 of them.
    """
    known = context.layout
    if known.channels and known.channels[0].name != "NONE":
        return str(known.name)
    if known.nb_channels not in _LAYOUTS:
        raise ValueError(f"{known.nb_channels} channels without a layout")
    return _LAYOUTS[known.nb_channels]

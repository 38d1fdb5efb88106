"""Conversion of text subtitles between formats. The text is kept; colours and positions are not."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, cast

from av.container import OutputContainer
from av.packet import Packet

from thcli.media.stream_tags import copy_tags

# required by FFmpeg's text encoders to open; not displayed
ASS_HEADER = (
    b"[Script Info]\n"
    b"ScriptType: v4.00+\n"
    b"\n"
    b"[V4+ Styles]\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, "
    b"BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, "
    b"BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,"
    b"10,1\n"
    b"\n"
    b"[Events]\n"
    b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)
_TEXT_CODECS = ("mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text")
_MILLISECOND = Fraction(1, 1000)


def subtitle_codec(muxer: str) -> str:
    """Return the codec of a container's text subtitles, '' when it holds none."""
    return {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}.get(
        muxer, ""
    )


class SubtitleTranscoder:
    """Converter of one text subtitle stream."""

    def __init__(self, out: OutputContainer, codec: str, stream: Any) -> None:
        self._from, self._to = stream.codec_context.name, codec
        self._out: Any = cast(Any, out.add_stream(codec))
        self._out.codec_context.subtitle_header = ASS_HEADER
        self._out.codec_context.time_base = _MILLISECOND
        self._out.time_base = _MILLISECOND
        copy_tags(stream, self._out, out)

    @staticmethod
    def reads(codec: str) -> bool:
        """Return True for the codec of a text subtitle stream."""
        return codec in _TEXT_CODECS

    def convert(self, packet: Packet[Any], lead: Fraction) -> list[Packet[Any]]:
        """Convert one packet, as `PacketTransfer` defines."""
        if packet.size == 0 or packet.pts is None:
            return []
        text = plain_text(self._from, bytes(packet))
        if not text:
            return []  # mov_text fills gaps with empty subtitles
        data = text.encode()
        copy: Packet[Any] = Packet(
            len(data).to_bytes(2, "big") + data if self._to == "mov_text" else data
        )
        copy.stream = self._out
        copy.time_base = _MILLISECOND
        copy.pts = copy.dts = round((packet.pts * packet.time_base - lead) / _MILLISECOND)
        copy.duration = round((packet.duration or 0) * packet.time_base / _MILLISECOND)
        return [copy] if copy.pts >= 0 else []


def plain_text(codec: str, data: bytes) -> str:
    """Extract the text of one subtitle packet.

    ASS events have eight fields before the text; mov_text has a length before and styles after it.
    """
    if codec == "mov_text":
        return data[2 : 2 + int.from_bytes(data[:2], "big")].decode("utf-8", "replace")
    text = data.decode("utf-8", "replace")
    if codec in ("ass", "ssa"):
        text = re.sub(r"\{[^}]*\}", "", text.split(",", 8)[-1])
        text = text.replace("\\N", "\n").replace("\\n", "\n")
    return re.sub(r"</?[a-zA-Z][^>]*>", "", text).strip()

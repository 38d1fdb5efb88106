"""Text subtitles from the wording of one container to that of another. The words are kept; colours and places are not."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, cast

from av.container import OutputContainer
from av.packet import Packet

HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""  # what FFmpeg's text encoders want before they open; nothing of it is shown
_READ = ("mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text")
_MILLISECOND = Fraction(1, 1000)


def text_codec(muxer: str) -> str:
    """The text subtitles of a container, '' when it has none."""
    return {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}.get(
        muxer, ""
    )


class Captions:
    """One text subtitle stream, reworded."""

    def __init__(self, out: OutputContainer, codec: str, stream: Any) -> None:
        self._from, self._to = stream.codec_context.name, codec
        self._out: Any = cast(Any, out.add_stream(codec))
        self._out.codec_context.subtitle_header = HEADER
        self._out.codec_context.time_base = _MILLISECOND
        self._out.time_base = _MILLISECOND
        self._out.metadata.update(
            {k: v for k, v in stream.metadata.items() if k in ("language", "title")}
        )
        self._out.disposition = stream.disposition

    @staticmethod
    def reads(codec: str) -> bool:
        """Whether a stream of this codec is text."""
        return codec in _READ

    def packets(self, packet: Packet[Any], lead: Fraction) -> list[Packet[Any]]:
        if packet.size == 0 or packet.pts is None:
            return []
        text = plain_text(self._from, bytes(packet))
        if not text:
            return []  # mov_text fills its gaps with empty lines
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
    """The words of one subtitle packet. ASS events have eight fields before the text; mov_text a length and styles after it."""
    if codec == "mov_text":
        return data[2 : 2 + int.from_bytes(data[:2], "big")].decode("utf-8", "replace")
    text = data.decode("utf-8", "replace")
    if codec in ("ass", "ssa"):
        text = (
            re.sub(r"\{[^}]*\}", "", text.split(",", 8)[-1])
            .replace("\\N", "\n")
            .replace("\\n", "\n")
        )
    return re.sub(r"</?[a-zA-Z][^>]*>", "", text).strip()

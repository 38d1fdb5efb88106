"""The container that is written: the picture's packets, and the companions' between them in the order of time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from thcli.core.events import Listener, silent
from thcli.media.reading.probe import probe
from thcli.media.writing.companions import Feed, Part
from thcli.media.writing.encoder import VideoFormat, configure
from thcli.media.writing.provenance import plain


@dataclass(frozen=True, slots=True)
class Wrapping:
    """All that a container holds beside the picture."""

    muxer: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    piped: bool = False  # to a reader that cannot seek
    on: Listener = silent


class Muxer:
    """An output file that is open. Give it the picture's packets in the order of decoding."""

    def __init__(self, file: str | BinaryIO, wrapping: Wrapping, form: VideoFormat) -> None:
        self._wrapping = wrapping
        self._form = form
        self._feeds: list[Feed] = []
        self._begun = False
        self._lead = Fraction(0)
        self._end = Fraction(0)
        self._out: OutputContainer = av.open(
            file,
            "w",
            format=wrapping.muxer,
            container_options=_container_options(wrapping, form.time_base),
        )
        try:
            self.stream: VideoStream = self._out.add_stream(form.plan.encoder, rate=form.rate)  # type: ignore[assignment]
            self.stream.time_base = form.time_base
            configure(self.stream.codec_context, form)
            for part in wrapping.parts:
                self._feeds.append(Feed(self._out, wrapping.muxer, part, wrapping.on))
            self._out.metadata.update(wrapping.metadata)
            self.stream.codec_context.open()
        except BaseException:
            self.abort()
            raise

    @property
    def has_sound(self) -> bool:
        return any(feed.audio for feed in self._feeds)

    def begin(self, lead: Fraction, first: Fraction) -> None:
        """Writes the header. lead: seconds by which everything is moved forward in time.  first: when the picture begins, in the output."""
        self._lead = lead
        chapters = [chapter for feed in self._feeds for chapter in feed.chapters(lead)]
        if chapters:
            self._out.set_chapters(chapters)
        for feed in self._feeds:
            feed.begins_at(first)
        self._out.start_encoding()
        self._begun = True

    def mux(self, packets: list[Packet[Any]]) -> None:
        """Writes packets of the picture, after whatever of the companions comes before them."""
        for packet in packets:
            packet.stream = self.stream
            packet.time_base = self._form.time_base
            pts, dts = packet.pts or 0, packet.dts if packet.dts is not None else packet.pts or 0
            self._end = max(self._end, (pts + max(1, packet.duration or 0)) * self._form.time_base)
            for feed in self._feeds:
                for companion in feed.until(dts * self._form.time_base, self._lead):
                    self._out.mux(companion)
            self._out.mux(packet)

    def finish(self) -> None:
        """Writes what is left of the companions, and the index. What it raises means that the file is not complete."""
        for feed in self._feeds:
            for companion in feed.until(None, self._lead, self._end):
                self._out.mux(companion)
            feed.close()
        self._out.close()

    def abort(self) -> None:
        """Lets go of everything; the file is worth nothing."""
        for feed in self._feeds:
            feed.close()
        if self._begun:
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                self._out.close()


def _container_options(wrapping: Wrapping, time_base: Fraction) -> dict[str, str]:
    if wrapping.muxer in ("mp4", "mov"):
        flags = "+frag_keyframe+delay_moov+default_base_moof" if wrapping.piped else "+faststart"
        if wrapping.muxer == "mov" or not plain(wrapping.metadata):
            flags += "+use_metadata_tags"
        return {"movflags": flags, "movie_timescale": str(_movie_clock(wrapping.parts, time_base))}
    if wrapping.muxer == "mpegts":
        return {"mpegts_copyts": "1"}
    return {"loop": "0"} if wrapping.muxer in ("gif", "webp") else {}


def _movie_clock(parts: tuple[Part, ...], time_base: Fraction) -> int:
    """Ticks a second of an mp4's movie clock, in which it keeps when its tracks begin: fine enough for each of them to be exact.

    FFmpeg's own choice, 1000, moves a picture or a sound that does not begin at zero by up to half a millisecond.
    """
    ticks = time_base.denominator
    rates = {
        stream.sample_rate
        for part in parts
        for stream in probe(part.path).audio
        if stream.sample_rate
    }
    for rate in sorted(rates):
        both = math.lcm(ticks, rate)
        ticks = both if both < 2**31 else ticks
    return ticks * math.ceil(1000 / ticks)

"""Muxing of video packets and companion packets in the order of time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from thcli.core.events import Listener, silent
from thcli.media.reading.container import open_input
from thcli.media.writing.companions import CompanionReader, CompanionSource
from thcli.media.writing.encoder import VideoFormat, configure_encoder
from thcli.media.writing.provenance import fits_plain_mp4


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """Contents of a container beside the video stream.

    muxer: FFmpeg's name of the format.
    metadata: of the container.
    companions: streams to take from the inputs.
    piped: True for a reader that cannot seek.
    on: receives warnings.
    """

    muxer: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    companions: tuple[CompanionSource, ...] = ()
    piped: bool = False
    on: Listener = silent


class Muxer:
    """An open output container. Video packets are given in decoding order.

    stream: the video stream.
    """

    def __init__(
        self, file: str | BinaryIO, settings: ContainerSettings, video_format: VideoFormat
    ) -> None:
        self._settings = settings
        self._format = video_format
        self._companions: list[CompanionReader] = []
        self._begun = False
        self._lead = Fraction(0)
        self._end = Fraction(0)
        self._out: OutputContainer = av.open(
            file,
            "w",
            format=settings.muxer,
            container_options=_container_options(settings, video_format.time_base),
        )
        try:
            stream = self._out.add_stream(video_format.plan.encoder, rate=video_format.rate)
            self.stream = cast(VideoStream, stream)
            self.stream.time_base = video_format.time_base
            configure_encoder(self.stream.codec_context, video_format)
            for source in settings.companions:
                reader = CompanionReader(self._out, settings.muxer, source, settings.on)
                self._companions.append(reader)
                reader.describe_video(self.stream, self._out)
            self._out.metadata.update(settings.metadata)
            self.stream.codec_context.open()
        except BaseException:
            self.abort()
            raise

    def begin(self, lead: Fraction, first: Fraction) -> None:
        """Write the header.

        Args:
            lead: seconds that are subtracted from all time stamps.
            first: time of the first video frame in the output, in seconds.
        """
        self._lead = lead
        chapters = [chapter for reader in self._companions for chapter in reader.chapters(lead)]
        if chapters:
            self._out.set_chapters(chapters)
        for reader in self._companions:
            reader.set_video_start(first)
        self._out.start_encoding()
        self._begun = True

    def mux(self, packets: list[Packet[Any]]) -> None:
        """Write video packets, each after the companion packets of earlier times."""
        for packet in packets:
            packet.stream = self.stream
            packet.time_base = self._format.time_base
            pts, dts = packet.pts or 0, packet.dts if packet.dts is not None else packet.pts or 0
            end = (pts + max(1, packet.duration or 0)) * self._format.time_base
            self._end = max(self._end, end)
            for reader in self._companions:
                for companion in reader.packets_until(dts * self._format.time_base, self._lead):
                    self._out.mux(companion)
            self._out.mux(packet)

    def finish(self) -> None:
        """Write the remaining companion packets and the index.

        After an exception the file is incomplete.
        """
        for reader in self._companions:
            for companion in reader.packets_until(None, self._lead, self._end):
                self._out.mux(companion)
            reader.close()
        self._out.close()

    def abort(self) -> None:
        """Close all files; the output is invalid."""
        for reader in self._companions:
            reader.close()
        if self._begun:
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                self._out.close()


def _container_options(settings: ContainerSettings, time_base: Fraction) -> dict[str, str]:
    if settings.muxer in ("mp4", "mov"):
        flags = "+frag_keyframe+delay_moov+default_base_moof" if settings.piped else "+faststart"
        if settings.muxer == "mov" or not fits_plain_mp4(settings.metadata):
            flags += "+use_metadata_tags"
        clock = _movie_clock(settings.companions, time_base)
        return {"movflags": flags, "movie_timescale": str(clock)}
    if settings.muxer == "mpegts":
        return {"mpegts_copyts": "1"}
    if settings.muxer in ("matroska", "webm"):
        return {"fflags": "+bitexact"}  # no random names of the file and its tracks
    return {"loop": "0"} if settings.muxer in ("gif", "webp") else {}


def _movie_clock(companions: tuple[CompanionSource, ...], time_base: Fraction) -> int:
    """Return the ticks per second of an mp4's movie clock, which stores the start of each track.

    They are a common multiple of the tracks' clocks, so that all starts are exact. FFmpeg's default
    of 1000 shifts a track that does not begin at zero by up to half a millisecond.
    """
    ticks = time_base.denominator
    rates = {rate for source in companions for rate in _sample_rates(source.path)}
    for rate in sorted(rates):
        both = math.lcm(ticks, rate)
        ticks = both if both < 2**31 else ticks
    return ticks * math.ceil(1000 / ticks)


def _sample_rates(path: Path) -> list[int]:
    """Return the sample rates of a file's audio tracks that can be decoded."""
    with open_input(path) as container:
        contexts = [stream.codec_context for stream in container.streams.audio]
        return [int(c.sample_rate) for c in contexts if c is not None and c.sample_rate]

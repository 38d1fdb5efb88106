"""The streams beside the picture: copied packet by packet when the container can hold them, else transcoded, else named.

They are read while the picture is written, never ahead of it by more than a packet, so memory does not grow with length.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from thcli.core.events import Listener, Warned
from thcli.media.reading.container import opened, picture_stream
from thcli.media.writing.subtitles import Captions, text_codec
from thcli.media.writing.transcode_audio import Transcoded

_MOV = ("mp4", "mov")
# what may lie before zero in these containers: the encoder's lead-in, which the container itself marks as to be skipped
_KEEPS_LEAD_IN = ("libopus", "opus", "vorbis")


@dataclass(frozen=True, slots=True)
class Part:
    """What to take from one input. start, stop: seconds of that input, None open.  to_start: its beginning, or `start`, goes to the picture's.

    ends_with_picture: nothing of it may last longer than the picture.
    """

    path: Path
    audio: bool = True
    others: bool = True
    first_only: bool = False
    start: Fraction | None = None
    stop: Fraction | None = None
    to_start: bool = False
    ends_with_picture: bool = False


class Track(Protocol):
    """Makes output packets of input packets; lead: seconds to subtract from every time stamp."""

    def packets(self, packet: Packet[Any], lead: Fraction) -> list[Packet[Any]]: ...


class Copied:
    """A stream whose packets go over untouched."""

    def __init__(self, out: OutputContainer, stream: Any, muxer: str) -> None:
        self._out = out.add_stream_from_template(stream)
        _describe(stream, self._out)
        name = stream.codec_context.name if stream.codec_context is not None else ""
        self._may_lead = muxer in _MOV or name in _KEEPS_LEAD_IN
        self._gap = (
            0 if muxer in ("matroska", "webm") else 1
        )  # two events at one time are common in subtitles there
        self._last: int | None = None

    def packets(self, packet: Packet[Any], lead: Fraction) -> list[Packet[Any]]:
        if packet.size == 0:
            return []
        shift = round(lead / packet.time_base)
        packet.dts = _time(packet.dts, packet.pts) - shift
        packet.pts = _time(packet.pts, packet.dts) - (shift if packet.pts is not None else 0)
        if packet.pts < 0 and not self._may_lead:
            return []  # would push everything else, the picture too, to a later time
        if self._last is not None and packet.dts < self._last + self._gap:
            packet.dts = (
                self._last + self._gap
            )  # a broken input must not end the job: muxers refuse a step back
            packet.pts = max(packet.pts, packet.dts)
        self._last = packet.dts
        packet.stream = self._out
        return [packet]


class Feed:
    """One input's companions on their way into the output."""

    def __init__(self, out: OutputContainer, muxer: str, part: Part, on: Listener) -> None:
        self._stack = ExitStack()
        self._part = part
        self._input: InputContainer = self._stack.enter_context(opened(part.path))
        self._tracks: dict[int, Track] = {}
        self._held: Packet[Any] | None = None
        self._source: Iterator[Packet[Any]] = iter(())
        chosen = [stream for stream in self._input.streams if self._wanted(stream)]
        if part.first_only:
            chosen = chosen[:1]
        for stream in chosen:
            track = _carry(out, muxer, stream)
            if track is not None:
                self._tracks[stream.index] = track
            elif not (
                stream.type == "data" and stream.codec_context is None and _chapters(self._input)
            ):
                on(
                    Warned(
                        f"The {_title(stream)} of {part.path.name} is left out: a {muxer} file cannot hold it."
                    )
                )
        self.audio = any(stream.type == "audio" for stream in chosen)
        attached = {stream.index for stream in chosen if stream.type == "attachment"}
        live = [
            stream
            for stream in chosen
            if stream.index in self._tracks and stream.index not in attached
        ]
        if live:
            if part.start:
                self._input.seek(int(part.start * av.time_base), backward=True)
            self._source = self._input.demux(*live)
        self._lead: Fraction | None = None

    def chapters(self, lead: Fraction) -> list[Any]:
        """The input's chapters on the output's time line."""
        found = []
        for chapter in _chapters(self._input):
            unit = chapter["time_base"] or Fraction(1, 1000)
            start, end = chapter["start"] * unit - lead, chapter["end"] * unit - lead
            if self._part.stop is not None:
                end = min(end, self._part.stop - lead)
            if end > max(start, Fraction(0)):
                found.append(
                    {
                        **chapter,
                        "start": round(max(start, Fraction(0)) / unit),
                        "end": round(end / unit),
                    }
                )
        return found

    def until(
        self, time: Fraction | None, lead: Fraction, picture_end: Fraction | None = None
    ) -> Iterator[Packet[Any]]:
        """Output packets up to a time of the output in seconds, all that are left without one.

        lead: the picture's; what comes from elsewhere (`to_start`) brings its own.
        """
        part = self._part
        if self._lead is None:
            self._lead = lead
            if part.to_start:
                begin = part.start or Fraction(self._input.start_time or 0, av.time_base)
                self._lead = begin - self._offset
        while True:
            packet = self._held if self._held is not None else next(self._source, None)
            self._held = None
            if packet is None:
                return
            if packet.size == 0:  # the end of a stream: what its decoder and encoder still hold
                yield from self._tracks[packet.stream.index].packets(packet, self._lead)
                continue
            at = _time(packet.pts, packet.dts) * packet.time_base
            if time is not None and at - self._lead > time:
                self._held = packet
                return
            if packet.stream.type == "subtitle" and part.start is not None and at < part.start:
                at = _clip(packet, part.start)
            ends = at - self._lead + (packet.duration or 0) * packet.time_base
            late = part.ends_with_picture and picture_end is not None and ends > picture_end
            if (
                late
                or (part.stop is not None and at >= part.stop)
                or (part.start is not None and at < part.start)
            ):
                continue
            yield from self._tracks[packet.stream.index].packets(packet, self._lead)

    _offset = Fraction(0)

    def begins_at(self, time: Fraction) -> None:
        """Where on the output's time line the picture begins, for what starts with it."""
        self._offset = time

    def close(self) -> None:
        self._stack.close()

    def _wanted(self, stream: Stream) -> bool:
        if stream.type == "audio":
            return self._part.audio
        if stream.type == "video":
            return (
                self._part.others
                and stream is not picture_stream(self._input)
                and not _same_picture(self._input, stream)
            )
        return self._part.others and not self._part.first_only


def _time(*stamps: int | None) -> int:
    """The first time stamp that there is."""
    return next((stamp for stamp in stamps if stamp is not None), 0)


def _clip(packet: Packet[Any], start: Fraction) -> Fraction:
    """Lets a subtitle that is still shown at `start` begin there; returns its time, earlier than `start` when it is over by then."""
    begin = -(-start // packet.time_base)
    gone = int(begin) - packet.pts if packet.pts is not None else 0
    if packet.pts is not None and packet.duration and packet.duration > gone:
        packet.pts = packet.dts = int(begin)
        packet.duration -= gone
    return (packet.pts or 0) * packet.time_base


def _same_picture(container: InputContainer, stream: Stream) -> bool:
    picture = picture_stream(container)
    return picture is not None and picture.index == stream.index


def _carry(out: OutputContainer, muxer: str, stream: Any) -> Track | None:
    """The way a stream can go into the output, None when there is none."""
    if stream.type == "data" and stream.codec_context is None and muxer not in _MOV:
        return None
    if stream.type != "video" and _holds(muxer, stream):
        return Copied(out, stream, muxer)
    if stream.type == "audio" and stream.codec_context is not None:
        return Transcoded.make(out, muxer, stream)
    if stream.type == "subtitle" and stream.codec_context is not None:
        target = text_codec(muxer)
        if target and Captions.reads(stream.codec_context.name):
            return Captions(out, target, stream)
    return None


def _holds(muxer: str, stream: Any) -> bool:
    """Tries whether a container accepts the stream, by writing the header of one that holds nothing else."""
    if muxer in ("gif", "webp"):
        return False
    name = stream.codec_context.name if stream.codec_context is not None else ""
    if muxer == "mp4" and name.startswith(
        "pcm_"
    ):  # it can, but few players play it, and the muxer fails with some layouts
        return False
    trial = av.open(io.BytesIO(), "w", format=muxer)
    try:
        copy = trial.add_stream_from_template(stream)
        copy.metadata.update(stream.metadata)
        trial.start_encoding()
        trial.close()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _describe(stream: Stream, copy: Stream) -> None:
    for key in ("language", "title", "handler_name", "filename", "mimetype"):
        if stream.metadata.get(key):
            copy.metadata[key] = stream.metadata[key]
    copy.disposition = stream.disposition


def _chapters(container: InputContainer) -> list[Any]:
    return list(container.chapters())


def _title(stream: Stream) -> str:
    name = stream.codec_context.name if stream.codec_context is not None else ""
    words = [
        "cover or second picture" if stream.type == "video" else f"{stream.type} stream",
        f"#{stream.index}",
        f"({name})" if name else "",
    ]
    return " ".join(word for word in words if word)

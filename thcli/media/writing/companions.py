"""Companion streams: audio, subtitles, data and attachments of the inputs.

A stream is copied packet by packet when the container can hold it, else transcoded, else reported
as left out. Companions are read while the video is written, at most one packet ahead, so memory
does not grow with the length.
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
from av.stream import Disposition, Stream

from thcli.core.events import Listener, Warned
from thcli.media.reading.container import find_video_stream, open_input
from thcli.media.stream_tags import copy_tags
from thcli.media.writing.subtitles import SubtitleTranscoder, subtitle_codec
from thcli.media.writing.transcode_audio import AudioTranscoder

_MOV = ("mp4", "mov")
# codecs with packets before time 0 in any container: encoder delay, marked there as to be skipped
_KEEPS_LEAD_IN = ("libopus", "opus", "vorbis")


@dataclass(frozen=True, slots=True)
class CompanionSource:
    """Companion streams to take from one input.

    path: the input file.
    audio: take its audio.
    others: take its other companion streams and chapters.
    first_only: take only the first of these streams.
    start, stop: range in seconds of that input, None for an open end.
    to_start: shift its beginning, or `start`, to the beginning of the video.
    ends_with_video: drop packets that last longer than the video.
    only_aac: transcode audio of other codecs.
    """

    path: Path
    audio: bool = True
    others: bool = True
    first_only: bool = False
    start: Fraction | None = None
    stop: Fraction | None = None
    to_start: bool = False
    ends_with_video: bool = False
    only_aac: bool = False


class PacketTransfer(Protocol):
    """The transfer of one stream to the output: copy or transcoder."""

    def convert(self, packet: Packet[Any], lead: Fraction) -> list[Packet[Any]]:
        """Convert an input packet to output packets.

        Args:
            packet: of the input; an empty one marks the end of the stream.
            lead: seconds to subtract from every time stamp.
        """
        ...


class StreamCopy:
    """Copy of a stream without transcoding."""

    def __init__(self, out: OutputContainer, stream: Any, muxer: str) -> None:
        self._out = out.add_stream_from_template(stream)
        copy_tags(stream, self._out, out)
        name = stream.codec_context.name if stream.codec_context is not None else ""
        self._may_lead = muxer in _MOV or name in _KEEPS_LEAD_IN
        # simultaneous subtitles are common in Matroska; other muxers need increasing times
        self._min_step = 0 if muxer in ("matroska", "webm") else 1
        self._last: int | None = None

    def convert(self, packet: Packet[Any], lead: Fraction) -> list[Packet[Any]]:
        """Shift the time stamps of a packet, and repair those that decrease."""
        if packet.size == 0:
            return []
        shift = round(lead / packet.time_base)
        packet.dts = _time(packet.dts, packet.pts) - shift
        packet.pts = _time(packet.pts, packet.dts) - (shift if packet.pts is not None else 0)
        if packet.pts < 0 and not self._may_lead:
            return []  # a negative time would shift all other streams, the video included
        # muxers refuse decreasing times; a damaged input must not end the job
        if self._last is not None and packet.dts < self._last + self._min_step:
            packet.dts = self._last + self._min_step
            packet.pts = max(packet.pts, packet.dts)
        self._last = packet.dts
        packet.stream = self._out
        return [packet]


class CompanionReader:
    """Reader of the companion streams of one input, as output packets.

    out: the output container.
    muxer: FFmpeg's name of its format.
    source: the streams to take.
    on: receives warnings on streams that are left out.
    """

    def __init__(
        self, out: OutputContainer, muxer: str, source: CompanionSource, on: Listener
    ) -> None:
        self._stack = ExitStack()
        self._source = source
        self._input: InputContainer = self._stack.enter_context(open_input(source.path))
        self._transfers: dict[int, PacketTransfer] = {}
        self._next: Packet[Any] | None = None
        self._demuxed: Iterator[Packet[Any]] = iter(())
        chosen = [stream for stream in self._input.streams if self._is_wanted(stream)]
        if source.first_only:
            chosen = chosen[:1]
        for stream in chosen:
            transfer = _create_transfer(out, muxer, stream, source.only_aac)
            if transfer is not None:
                self._transfers[stream.index] = transfer
            elif not (
                stream.type == "data" and stream.codec_context is None and _chapters(self._input)
            ):
                stream_name = f"The {_title(stream)} of {source.path.name}"
                on(Warned(f"{stream_name} is left out: {_why_left_out(stream, muxer)}."))
        attached = {stream.index for stream in chosen if stream.type == "attachment"}
        live = [
            stream
            for stream in chosen
            if stream.index in self._transfers and stream.index not in attached
        ]
        if live:
            if source.start:
                self._input.seek(int(source.start * av.time_base), backward=True)
            self._demuxed = self._input.demux(*live)
        self._lead: Fraction | None = None
        self._video_start = Fraction(0)

    def describe_video(self, copy: Stream, out: OutputContainer) -> None:
        """Give the output's video stream the title and language of the input's, if it has one."""
        video = find_video_stream(self._input)
        if video is not None and self._source.others:
            copy_tags(video, copy, out)

    def chapters(self, lead: Fraction) -> list[Any]:
        """Return the input's chapters, `lead` seconds earlier; [] where only its sound is taken."""
        found: list[Any] = []
        if not self._source.others:
            return found
        for chapter in _chapters(self._input):
            unit = chapter["time_base"] or Fraction(1, 1000)
            start, end = chapter["start"] * unit - lead, chapter["end"] * unit - lead
            if self._source.stop is not None:
                end = min(end, self._source.stop - lead)
            if end > max(start, Fraction(0)):
                found.append(
                    {
                        **chapter,
                        "start": round(max(start, Fraction(0)) / unit),
                        "end": round(end / unit),
                    }
                )
        return found

    def packets_until(
        self, time: Fraction | None, lead: Fraction, video_end: Fraction | None = None
    ) -> Iterator[Packet[Any]]:
        """Yield output packets up to a time.

        Args:
            time: seconds of the output; None yields all that remain.
            lead: seconds that the video subtracts from its time stamps. A source that is shifted
                by `to_start` computes its own.
            video_end: end of the video in seconds of the output, for `ends_with_video`.
        """
        source = self._source
        if self._lead is None:
            self._lead = lead
            if source.to_start:
                begin = source.start or Fraction(self._input.start_time or 0, av.time_base)
                self._lead = begin - self._video_start
        while True:
            packet = self._next if self._next is not None else next(self._demuxed, None)
            self._next = None
            if packet is None:
                return
            if packet.size == 0:  # end of the stream: flush decoder and encoder
                yield from self._transfers[packet.stream.index].convert(packet, self._lead)
                continue
            at = _time(packet.pts, packet.dts) * packet.time_base
            if time is not None and at - self._lead > time:
                self._next = packet
                return
            if packet.stream.type == "subtitle" and source.start is not None and at < source.start:
                at = _trim(packet, source.start)
            if packet.stream.type == "subtitle" and source.stop is not None and packet.duration:
                most = max(0, int((source.stop - at) / packet.time_base))
                packet.duration = min(packet.duration, most)
            ends = at - self._lead + (packet.duration or 0) * packet.time_base
            is_late = source.ends_with_video and video_end is not None and ends > video_end
            if (
                is_late
                or (source.stop is not None and at >= source.stop)
                or (source.start is not None and at < source.start)
            ):
                continue
            yield from self._transfers[packet.stream.index].convert(packet, self._lead)

    def set_video_start(self, time: Fraction) -> None:
        """Set the output time of the first video frame, for sources shifted by `to_start`."""
        self._video_start = time

    def close(self) -> None:
        """Close the input."""
        self._stack.close()

    def _is_wanted(self, stream: Stream) -> bool:
        if stream.type == "audio":
            return self._source.audio
        if stream.type == "video":
            return (
                self._source.others
                and stream is not find_video_stream(self._input)
                and not _is_video_stream(self._input, stream)
            )
        return self._source.others and not self._source.first_only


def _time(*stamps: int | None) -> int:
    """Return the first time stamp that is set, 0 without one."""
    return next((stamp for stamp in stamps if stamp is not None), 0)


def _trim(packet: Packet[Any], start: Fraction) -> Fraction:
    """Trim a subtitle that is still shown at `start` to begin there.

    Returns:
        Its time in seconds, earlier than `start` when it ends before.
    """
    begin = -(-start // packet.time_base)
    gone = int(begin) - packet.pts if packet.pts is not None else 0
    if packet.pts is not None and packet.duration and packet.duration > gone:
        packet.pts = packet.dts = int(begin)
        packet.duration -= gone
    return (packet.pts or 0) * packet.time_base


def _is_video_stream(container: InputContainer, stream: Stream) -> bool:
    video = find_video_stream(container)
    return video is not None and video.index == stream.index


def _create_transfer(
    out: OutputContainer, muxer: str, stream: Any, only_aac: bool
) -> PacketTransfer | None:
    """Choose copy or transcoding for a stream, None when the output cannot hold it."""
    if stream.type == "data" and stream.codec_context is None and muxer not in _MOV:
        return None
    coded = stream.codec_context.name if stream.codec_context is not None else ""
    is_foreign = only_aac and stream.type == "audio" and coded not in ("aac", "")
    if stream.type != "video" and not is_foreign and _can_copy(muxer, stream):
        return StreamCopy(out, stream, muxer)
    if stream.type == "audio" and stream.codec_context is not None:
        return AudioTranscoder.make(out, muxer, stream)
    if stream.type == "subtitle" and stream.codec_context is not None:
        target = subtitle_codec(muxer)
        if target and SubtitleTranscoder.reads(stream.codec_context.name):
            return SubtitleTranscoder(out, target, stream)
    return None


def _can_copy(muxer: str, stream: Any) -> bool:
    """Return True when a container accepts the stream, by writing a header with it alone."""
    if muxer in ("gif", "webp"):
        return False
    name = stream.codec_context.name if stream.codec_context is not None else ""
    # mp4 can hold PCM, but few players support it, and the muxer fails with some layouts
    if muxer == "mp4" and name.startswith("pcm_"):
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


def _chapters(container: InputContainer) -> list[Any]:
    return list(container.chapters())


def _title(stream: Stream) -> str:
    name = stream.codec_context.name if stream.codec_context is not None else ""
    kind = f"{stream.type} stream"
    if stream.type == "video":
        kind = "cover picture" if _is_cover(stream) else "second video stream"
    return f"{kind} #{stream.index}" + (f" ({name})" if name else "")


def _why_left_out(stream: Stream, muxer: str) -> str:
    if stream.type == "video":
        one = "an output has one video stream"
        return "it belongs to the input, not to the output" if _is_cover(stream) else one
    return f"{'an' if muxer == 'avi' else 'a'} {muxer} file cannot hold it"


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)

"""Resumable encoding (--resume): the video in segments with a journal, concatenated at the end.

Every segment has its own encoder and begins with a key frame, and its boundaries depend only on the
frames before them. An interrupted job therefore ends with the same packets as an uninterrupted one.
A segment is a file of packets in order, see _PACKET; `journal` says where it lies.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from av.codec.context import Flags
from av.packet import Packet

from thcli.media.parts import SEGMENT_FRAMES
from thcli.media.writing.encoder import VideoEncoder, VideoFormat, create_encoder
from thcli.media.writing.journal import Journal, Segment
from thcli.media.writing.mux import ContainerSettings, Muxer
from thcli.media.writing.sinks import Pixels
from thcli.media.writing.timing import TimelineState

_PACKET = struct.Struct("<qqqBI")  # pts, dts, duration, is a key frame, number of bytes


class SegmentSink:
    """A video file that is encoded in segments.

    muxes: False for a part of an output, whose segments are only kept.
    """

    def __init__(
        self,
        partial: Path,
        settings: ContainerSettings,
        video_format: VideoFormat,
        journal: Journal,
        *,
        muxes: bool = True,
    ) -> None:
        self._format, self._journal, self._muxes = video_format, journal, muxes
        # opened now, so that unsupported streams fail early
        self._muxer = Muxer(f"file:{partial.absolute()}", settings, video_format)
        self._global_header = bool(self._muxer.stream.codec_context.flags & Flags.global_header)
        self._latest = (journal.done, journal.state or TimelineState())
        self._file: BinaryIO | None = None
        self._encoder: VideoEncoder | None = None
        self._frames = 0
        self._pts: list[int] = []

    def begin(self, lead: Fraction, first: Fraction) -> None:
        self._journal.begin(lead, first)

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        if self._encoder is None or self._file is None:
            self._file = self._journal.segment(len(self._journal.segments)).open("wb")
            self._encoder = VideoEncoder(
                create_encoder(self._format, self._global_header), self._format
            )
            self._frames, self._pts = 0, []
        self._store(self._file, self._encoder.encode(pixels, pts, duration))
        self._frames += 1

    def checkpoint(self, done: int, state: TimelineState) -> None:
        """End the segment here if it has its full length."""
        self._latest = (done, state)
        if self._frames >= SEGMENT_FRAMES:  # every key frame costs bits
            self._close_segment()

    def finish(self) -> None:
        """Close the last segment, then mux all segments with the companion streams."""
        if self._encoder is not None:
            self._close_segment()
        if not self._muxes:
            self._muxer.abort()
            return
        self._muxer.begin(*(self._journal.begun or (Fraction(0), Fraction(0))))
        for packet in self._concatenate():
            self._muxer.mux([packet])
        self._muxer.finish()

    def abort(self) -> None:
        """Delete the unfinished segment; complete ones and the journal are kept."""
        if self._file is not None:
            with suppress(OSError):  # what a full disk did not take is discarded with the file
                self._file.close()
            self._journal.segment(len(self._journal.segments)).unlink(missing_ok=True)
        self._muxer.abort()

    def _store(self, file: BinaryIO, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            pts = packet.pts or 0
            self._pts.append(pts)
            dts = packet.dts if packet.dts is not None else pts
            file.write(
                _PACKET.pack(pts, dts, packet.duration or 0, packet.is_keyframe, packet.size)
            )
            file.write(memoryview(packet))

    def _close_segment(self) -> None:
        """Flush the segment to disk, then record it in the journal."""
        if self._encoder is None or self._file is None:
            return
        self._store(self._file, self._encoder.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._encoder, self._file, self._frames = None, None, 0
        display_order = {pts: rank for rank, pts in enumerate(sorted(self._pts))}
        delays = [rank - display_order[pts] for rank, pts in enumerate(self._pts)]
        journal = self._journal
        done, state = self._latest
        path = journal.segment(len(journal.segments))
        journal.add(Segment.of(path, done, max(delays, default=0), state))

    def _concatenate(self) -> Iterator[Packet[Any]]:
        """Yield all packets, with the decoding times that a single encoder would assign."""
        journal, decode_times = self._journal, deque[int]()
        for number in range(len(journal.segments)):
            journal.check(number)
            segment = journal.segment(number)
            times = sorted(pts for pts, _, _, _ in _packets(segment))
            if number == 0:
                step = times[1] - times[0] if len(times) > 1 else 1
                decode_times.extend(times[0] - step * back for back in range(journal.delay, 0, -1))
            decode_times.extend(times)
            for pts, duration, is_key, data in _packets(segment, with_data=True):
                packet: Packet[Any] = Packet(data)
                packet.pts, packet.dts = pts, decode_times.popleft()
                packet.duration, packet.is_keyframe = duration, is_key
                yield packet


def _packets(path: Path, with_data: bool = False) -> Iterator[tuple[int, int, bool, bytes]]:
    """Yield (pts, duration, is a key frame, data) of every packet of a segment.

    data is empty unless `with_data`.
    """
    with path.open("rb") as file:
        while header := file.read(_PACKET.size):
            pts, _, duration, key, size = _PACKET.unpack(header)
            if with_data:
                yield pts, duration, bool(key), file.read(size)
            else:
                file.seek(size, os.SEEK_CUR)
                yield pts, duration, bool(key), b""

"""Resumable encoding (--resume): the video in segments with a journal, concatenated at the end.

Every segment has its own encoder and begins with a key frame, and its boundaries depend only on the
frames before them. An interrupted job therefore ends with the same packets as an uninterrupted one.
Beside the target:

    .NAME.thcli-resume/journal.json     fingerprint, number of complete segments, timeline state
    .NAME.thcli-resume/000000.packets   the packets in order, see _PACKET
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from av.codec.context import Flags
from av.packet import Packet

from thcli.core.errors import OutputError
from thcli.core.events import Listener, Warned
from thcli.media.failures import to_output_error
from thcli.media.writing.encoder import VideoEncoder, VideoFormat, create_encoder
from thcli.media.writing.mux import ContainerSettings, Muxer
from thcli.media.writing.sinks import Pixels
from thcli.media.writing.target import OutputTarget
from thcli.media.writing.timing import TimelineState

_VERSION = 1
# frames per segment, and most frames to repeat after an interruption; every key frame costs bits
_LENGTH = 48
_PACKET = struct.Struct("<qqqBI")  # pts, dts, duration, is a key frame, number of bytes


class Journal:
    """Progress of a resumable job, written to disk after every segment.

    folder: of journal and segments.
    key: hash of all that determines the result.
    done: input frames that are encoded.
    segments: number of complete segments.
    delay: most frames by which a packet is decoded before it is displayed.
    begun: arguments of `Sink.begin` as text, None before the first frame.
    state: of the timeline after `done` frames.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.done = 0
        self.segments = 0
        self.delay = 0
        self.begun: tuple[str, str] | None = None
        self.state: TimelineState | None = None

    @classmethod
    def open(cls, target: OutputTarget, parts: tuple[str, ...], on: Listener) -> Journal | None:
        """Open the journal of an interrupted run of the same job, or a new one.

        Args:
            target: the output, beside which the journal is stored.
            parts: all that determines the result, as text.
            on: receives warnings.

        Returns:
            None for a target that cannot be resumed.
        """
        if target.kind != "container" or target.muxer in ("gif", "webp"):
            on(Warned(f"--resume does not apply to {target.name}: it is written in one step."))
            return None
        key = hashlib.sha256(json.dumps([_VERSION, *parts]).encode()).hexdigest()
        journal = cls(target.path.with_name(f".{target.path.name}.thcli-resume"), key)
        try:
            if journal.folder.exists() and not journal._load():
                other = f"{journal.folder.name} belongs to a job with other inputs or options"
                on(Warned(f"{other}: the job restarts."))
                shutil.rmtree(journal.folder)
        except OSError as exc:
            raise to_output_error(journal.folder, exc) from exc
        return journal

    def _load(self) -> bool:
        try:
            stored = json.loads((self.folder / "journal.json").read_text())
            if stored["key"] != self.key:
                return False
            state = TimelineState(**stored["moment"]) if stored["moment"] else None
            begun = tuple(stored["begun"]) if stored["begun"] else None
            done, segments, delay = (int(stored[key]) for key in ("done", "segments", "delay"))
            self.done, self.segments, self.delay = done, segments, delay
            self.state, self.begun = state, begun
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False
        return all(self.segment(number).is_file() for number in range(self.segments))

    def save(self) -> None:
        """Replace the journal on disk atomically."""
        text = json.dumps(
            {
                "key": self.key,
                "done": self.done,
                "segments": self.segments,
                "delay": self.delay,
                "begun": self.begun,
                "moment": asdict(self.state) if self.state else None,
            }
        )
        fresh = self.folder / "journal.new"
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.folder / "journal.json")

    def segment(self, number: int) -> Path:
        """Return the path of a segment, counted from 0."""
        return self.folder / f"{number:06d}.packets"

    def remove(self) -> None:
        """Delete journal and segments, when the job is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_if_empty(self) -> None:
        """Delete the folder when it has no complete segment."""
        if self.segments == 0:
            self.remove()


class SegmentSink:
    """A video file that is encoded in segments."""

    def __init__(
        self,
        partial: Path,
        settings: ContainerSettings,
        video_format: VideoFormat,
        journal: Journal,
    ) -> None:
        self._format, self._journal = video_format, journal
        # opened now, so that unsupported streams fail early
        self._muxer = Muxer(f"file:{partial.absolute()}", settings, video_format)
        self._global_header = bool(self._muxer.stream.codec_context.flags & Flags.global_header)
        self._latest = (journal.done, journal.state or TimelineState())
        self._file: BinaryIO | None = None
        self._encoder: VideoEncoder | None = None
        self._frames = 0
        self._pts: list[int] = []

    def begin(self, lead: Fraction, first: Fraction) -> None:
        self._journal.folder.mkdir(exist_ok=True)
        if self._journal.begun is None:
            self._journal.begun = (str(lead), str(first))

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        if self._encoder is None or self._file is None:
            self._file = self._journal.segment(self._journal.segments).open("wb")
            self._encoder = VideoEncoder(
                create_encoder(self._format, self._global_header), self._format
            )
            self._frames, self._pts = 0, []
        self._store(self._file, self._encoder.encode(pixels, pts, duration))
        self._frames += 1

    def checkpoint(self, done: int, state: TimelineState) -> None:
        """End the segment here if it has its full length."""
        self._latest = (done, state)
        if self._frames >= _LENGTH:
            self._close_segment()

    def finish(self) -> None:
        """Close the last segment, then mux all segments with the companion streams."""
        if self._encoder is not None:
            self._close_segment()
        lead, first = self._journal.begun or ("0", "0")
        self._muxer.begin(Fraction(lead), Fraction(first))
        for packet in self._concatenate():
            self._muxer.mux([packet])
        self._muxer.finish()

    def abort(self) -> None:
        """Delete the unfinished segment; complete ones and the journal are kept."""
        if self._file is not None:
            self._file.close()
            self._journal.segment(self._journal.segments).unlink(missing_ok=True)
        self._muxer.abort()
        self._journal.remove_if_empty()

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
        journal.delay = max([journal.delay, *delays])
        journal.segments += 1
        journal.done, journal.state = self._latest
        journal.save()

    def _concatenate(self) -> Iterator[Packet[Any]]:
        """Yield all packets, with the decoding times that a single encoder would assign."""
        journal, decode_times = self._journal, deque[int]()
        for number in range(journal.segments):
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
            if len(header) < _PACKET.size:
                raise OutputError(
                    f"{path} is truncated.", f"Delete {path.parent} and run the command again."
                )
            pts, _, duration, key, size = _PACKET.unpack(header)
            if with_data:
                yield pts, duration, bool(key), file.read(size)
            else:
                file.seek(size, os.SEEK_CUR)
                yield pts, duration, bool(key), b""

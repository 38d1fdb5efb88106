"""--resume: the picture in finished segments with a journal, joined at the end.

Every segment has an encoder of its own, begins with a key frame and ends at a frame that depends on nothing but the frames
before it; so a job that was interrupted ends with the same packets as one that was not. Beside the target:

    .NAME.thcli-resume/journal.json     what the job is, which segments are complete, where time stands
    .NAME.thcli-resume/000000.packets   packets one after the other, see _PACKET
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
from thcli.media.failures import unwritable
from thcli.media.writing.encoder import VideoEncoder, VideoFormat, standalone
from thcli.media.writing.mux import Muxer, Wrapping
from thcli.media.writing.sinks import Pixels
from thcli.media.writing.target import Target
from thcli.media.writing.timing import Moment

_VERSION = 1
_LENGTH = (
    48  # frames that are lost at most; shorter segments cost bits, each begins with a key frame
)
_PACKET = struct.Struct("<qqqBI")  # pts, dts, duration, is a key frame, bytes that follow


class Journal:
    """What is done of a resumable job, on disk after every segment."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.done = 0
        self.segments = 0
        self.delay = 0
        self.begun: tuple[str, str] | None = None
        self.moment: Moment | None = None

    @classmethod
    def open(cls, target: Target, parts: tuple[str, ...], on: Listener) -> Journal | None:
        """The journal beside a target: an earlier one of the same job, else a new one. None when the target cannot be resumed."""
        if target.kind != "container" or target.muxer in ("gif", "webp"):
            on(Warned(f"--resume does not apply to {target.name}: it is written in one go."))
            return None
        key = hashlib.sha256(json.dumps([_VERSION, *parts]).encode()).hexdigest()
        journal = cls(target.path.with_name(f".{target.path.name}.thcli-resume"), key)
        try:
            if journal.folder.exists() and not journal._load():
                on(
                    Warned(
                        f"{journal.folder.name} belongs to a job with other inputs or options: it is begun anew."
                    )
                )
                shutil.rmtree(journal.folder)
        except OSError as exc:
            raise unwritable(journal.folder, exc) from exc
        return journal

    def _load(self) -> bool:
        try:
            kept = json.loads((self.folder / "journal.json").read_text())
            if kept["key"] != self.key:
                return False
            moment = Moment(**kept["moment"]) if kept["moment"] else None
            begun = tuple(kept["begun"]) if kept["begun"] else None
            self.done, self.segments, self.delay = (
                int(kept["done"]),
                int(kept["segments"]),
                int(kept["delay"]),
            )
            self.moment, self.begun = moment, begun
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False
        return all(self.segment(number).is_file() for number in range(self.segments))

    def save(self) -> None:
        """Writes the journal so that it is either the old or the new one, whatever happens."""
        text = json.dumps(
            {
                "key": self.key,
                "done": self.done,
                "segments": self.segments,
                "delay": self.delay,
                "begun": self.begun,
                "moment": asdict(self.moment) if self.moment else None,
            }
        )
        fresh = self.folder / "journal.new"
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.folder / "journal.json")

    def segment(self, number: int) -> Path:
        return self.folder / f"{number:06d}.packets"

    def remove(self) -> None:
        """The job is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_if_empty(self) -> None:
        """Nothing was finished: nothing is worth keeping."""
        if self.segments == 0:
            self.remove()


class SegmentSink:
    """A video file by way of segments."""

    def __init__(
        self, partial: Path, wrapping: Wrapping, form: VideoFormat, journal: Journal
    ) -> None:
        self._partial, self._wrapping, self._form, self._journal = partial, wrapping, form, journal
        self._muxer = Muxer(
            f"file:{partial.absolute()}", wrapping, form
        )  # opened now, so that what it refuses is known now
        self._global_header = bool(self._muxer.stream.codec_context.flags & Flags.global_header)
        self._latest = (journal.done, journal.moment or Moment())
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
            self._encoder = VideoEncoder(standalone(self._form, self._global_header), self._form)
            self._frames, self._pts = 0, []
        self._store(self._file, self._encoder.encode(pixels, pts, duration))
        self._frames += 1

    def mark(self, done: int, moment: Moment) -> None:
        """A place where a segment may end."""
        self._latest = (done, moment)
        if self._frames >= _LENGTH:
            self._close()

    def finish(self) -> None:
        """Closes the last segment, then joins them all with everything that goes along."""
        if self._encoder is not None:
            self._close()
        lead, first = self._journal.begun or ("0", "0")
        self._muxer.begin(Fraction(lead), Fraction(first))
        for packet in self._joined():
            self._muxer.mux([packet])
        self._muxer.finish()

    def abort(self) -> None:
        """Drops the segment that is not finished; the others and the journal stay."""
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

    def _close(self) -> None:
        """The segment is complete once the journal says so."""
        if self._encoder is None or self._file is None:
            return
        self._store(self._file, self._encoder.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._encoder, self._file, self._frames = None, None, 0
        rank = {pts: place for place, pts in enumerate(sorted(self._pts))}
        journal = self._journal
        journal.delay = max(
            [journal.delay, *(place - rank[pts] for place, pts in enumerate(self._pts))]
        )
        journal.segments += 1
        journal.done, journal.moment = self._latest
        journal.save()

    def _joined(self) -> Iterator[Packet[Any]]:
        """All packets; the times of decoding are made anew, as one encoder would have counted them over all segments."""
        journal, times = self._journal, deque[int]()
        for number in range(journal.segments):
            shown = sorted(pts for pts, _, _, _ in _packets(journal.segment(number)))
            if number == 0:
                step = shown[1] - shown[0] if len(shown) > 1 else 1
                times.extend(shown[0] - step * back for back in range(journal.delay, 0, -1))
            times.extend(shown)
            for pts, duration, key, data in _packets(journal.segment(number), with_data=True):
                packet: Packet[Any] = Packet(data)
                packet.pts, packet.dts, packet.duration, packet.is_keyframe = (
                    pts,
                    times.popleft(),
                    duration,
                    key,
                )
                yield packet


def _packets(path: Path, with_data: bool = False) -> Iterator[tuple[int, int, bool, bytes]]:
    """pts, duration, is a key frame, data (empty unless asked for) of every packet of a segment."""
    with path.open("rb") as file:
        while header := file.read(_PACKET.size):
            if len(header) < _PACKET.size:
                raise OutputError(
                    f"{path} is cut off.", f"Remove {path.parent} and run the command again."
                )
            pts, _, duration, key, size = _PACKET.unpack(header)
            if with_data:
                yield pts, duration, bool(key), file.read(size)
            else:
                file.seek(size, os.SEEK_CUR)
                yield pts, duration, bool(key), b""

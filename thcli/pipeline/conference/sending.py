"""The sender: frames and their faces to packets, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from thcli.audio.opus import FRAME, RATE, OpusEncoder
from thcli.audio.read import read_blocks, start_time
from thcli.core.errors import MediaError, UsageError
from thcli.core.imaging import to_uint8
from thcli.core.options import TemplateOptions, TransmitOptions
from thcli.core.protocols import CropEngine, Engine
from thcli.core.types import Array32, Crop, Face, Frame, Image, Motion
from thcli.faces.compositing.pixel_device import pixel_ops
from thcli.faces.crops.crop import crop, transform_face
from thcli.media.atomic_file import AtomicFile
from thcli.media.writing.target import OutputTarget
from thcli.motion.codec.format import MAX_PICTURE, StreamError, StreamHeader, Tag, pack
from thcli.motion.codec.frames import CodedFrame, FrameDecoder, FrameEncoder, FrameFacts
from thcli.motion.codec.rate_control import RateControl
from thcli.motion.observe import observe
from thcli.pipeline.conference.live_rendering import LiveRenderer
from thcli.pipeline.conference.pictures import PictureReader, encode_picture
from thcli.pipeline.observe.crop_templates import crop_placement

_LOST_SECONDS = 1.0  # after which another face may be sent
_KEY_GAP = 0.5  # least seconds between key frames of a drifting shape
_PICTURE_GAP = 2.0  # least seconds between pictures of a drifting rendering
_DRIFT = 20.0  # mean difference of grey levels in the face from which a picture is sent again
_COMPARED = 48  # side in pixels at which rendering and truth are compared


@dataclass
class Counts:
    """Bits of a stream by content, and its key frames and pictures."""

    motion: int = 0
    sound: int = 0
    pictures: int = 0
    keys: int = 0
    sent_pictures: int = 0


def create_stream_file(target: str | Path, *, overwrite: bool) -> AtomicFile | None:
    """Return the file of a stream, which nothing is written to yet; None for standard output.

    Raises:
        OutputError: it exists or cannot be written.
        UsageError: standard output is a terminal.
    """
    if str(target) != "-":
        return AtomicFile(Path(target), overwrite)
    OutputTarget(target, overwrite).check(0)
    return None


class FaceChooser:
    """Choice of the face that is sent, without knowledge of later frames."""

    def __init__(self) -> None:
        self._track: int | None = None
        self._seen = Fraction(0)

    def choose(self, frame: Frame, faces: list[Face]) -> tuple[Face | None, bool]:
        """Return the face of a frame, and True when it is another one than before."""
        now = frame.pts * frame.time_base
        for face in faces:
            if face.track == self._track:
                self._seen = now
                return face, False
        if not faces or (self._track is not None and now - self._seen < _LOST_SECONDS):
            return None, False
        face = max(faces, key=lambda one: one.area)
        self._track, self._seen = face.track, now
        return face, True


@dataclass
class Sender:
    """State of a stream that is sent.

    header: of the stream.
    options: of the job.
    engine: observes crops, and renders where pictures are sent.
    pictures: reads the sent pictures as the receiver does.
    """

    header: StreamHeader
    options: TransmitOptions
    engine: Engine | None
    pictures: PictureReader
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._encoder, self._mirror = FrameEncoder(self.header), FrameDecoder(self.header)
        self._chooser, self._rate = FaceChooser(), RateControl(self.options.bitrate)
        self._level = self.options.quality
        self._placement: Crop | None = None
        self._renderer: LiveRenderer | None = None
        self._last_key: Fraction | None = None
        self._last_picture: Fraction | None = None
        self._shown = False  # a reference frame was sent

    def send(self, frame: Frame, faces: list[Face], *, cut: bool) -> list[bytes]:
        """Return the packets of a frame.

        Args:
            frame: with its own time stamp.
            faces: of the tracker.
            cut: it begins a new scene.
        """
        face, is_other = self._chooser.choose(frame, faces)
        now = frame.pts * frame.time_base
        row = None if face is None else self._observe(frame, face, fresh=is_other or cut)
        if row is not None and not row.valid[0]:
            row = None
        packets: list[bytes] = []
        is_reference = row is not None and (is_other or cut or not self._shown)
        is_key = self._last_key is None or is_reference
        if row is not None and self._last_key is not None and not is_key:
            due = now - self._last_key >= self.options.key_every
            is_key = due or (now - self._last_key >= _KEY_GAP and self._encoder.has_drifted(row))
        if self.header.pictures and (is_reference or self._last_key is None):
            picture, shows_face = self._picture(frame)
            if shows_face or self._last_key is None:  # the first one sets the size
                packets.append(picture)
                self._last_picture = now
                self.counts.pictures += 8 * len(picture)
                self.counts.sent_pictures += 1
            if not shows_face:  # the next frame with a face sends one again
                row, is_reference = None, False
                self._shown, is_key = False, self._last_key is None
        facts = self._facts(frame, row, is_key=is_key, is_reference=is_reference)
        try:
            content = self._encoder.encode(facts, row)
        except StreamError as exc:
            raise MediaError(
                f"Frame {frame.index} cannot be transmitted: {exc}.",
                "Cut the clip there with --start and --end.",
            ) from exc
        packets.append(pack(Tag.MOTION, content))
        self.counts.motion += 8 * len(packets[-1])
        self.counts.keys += is_key
        self._level = self._rate.next_level(self._level, 8 * len(packets[-1]), now)
        if is_key:
            self._last_key = now
        self._shown = self._shown or is_reference
        if self.header.pictures:
            self._compare(frame, face, self._mirror.decode(content), now)
        return packets

    def _facts(
        self, frame: Frame, row: Motion | None, *, is_key: bool, is_reference: bool
    ) -> FrameFacts:
        return FrameFacts(
            frame.pts, frame.duration, row is not None, self._level, is_key, is_reference
        )

    def _observe(self, frame: Frame, face: Face, *, fresh: bool) -> Motion:
        """Return the motion row of a face. fresh: a crop is placed anew."""
        if not isinstance(self.engine, CropEngine):
            return observe([frame], [face])
        if self._placement is None or fresh:
            template = TemplateOptions(template=self.engine.template, size=self.engine.crop_size)
            self._placement = crop_placement(face, template)
        pixels = np.asarray(crop(to_uint8(frame.pixels), self._placement), np.uint8)
        inside = Frame(pixels, frame.pts, frame.time_base, frame.index, frame.duration)
        return self.engine.observe(
            [inside], [transform_face(face, self._placement.crop_from_frame)]
        )

    def _picture(self, frame: Frame) -> tuple[bytes, bool]:
        """Return a picture packet, and whether the receiver finds a face in the picture."""
        content = encode_picture(to_uint8(frame.pixels), self.options.picture_quality)
        if len(content) > MAX_PICTURE:
            raise UsageError(
                f"A picture of {len(content)} bytes is too large for a stream: "
                f"at most {MAX_PICTURE} are sent.",
                "Give a lower --picture-quality.",
            )
        image, face = self.pictures.read(content)
        assert self.engine is not None  # loaded where pictures are sent
        if self._renderer is None:
            ops = pixel_ops(self.options.run.device)
            self._renderer = LiveRenderer(self.engine, image, face, ops)
        elif face is not None:
            self._renderer.show(image, face)
        return pack(Tag.PICTURE, content), face is not None

    def _compare(self, frame: Frame, face: Face | None, coded: CodedFrame, now: Fraction) -> None:
        """Render what the receiver shows; a frame that is far from the truth asks for a picture."""
        if self._renderer is None or face is None:
            return
        shown = self._renderer.render(coded)
        if self._last_picture is not None and now - self._last_picture < _PICTURE_GAP:
            return
        if face_difference(shown, to_uint8(frame.pixels), face) > _DRIFT:
            self._shown = False  # the next frame is a reference again


def face_difference(shown: Image, truth: Image, face: Face) -> float:
    """Return the mean absolute difference of grey levels in the face's box, 0..255."""
    left, top, right, bottom = (round(float(side)) for side in face.box)
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, truth.shape[1]), min(bottom, truth.shape[0])
    if right - left < 2 or bottom - top < 2:
        return 0.0
    small = [
        cv2.resize(
            image[top:bottom, left:right].mean(-1).astype(np.float32),
            (_COMPARED, _COMPARED),
            interpolation=cv2.INTER_AREA,
        )
        for image in (shown, truth)
    ]
    return float(np.abs(small[0] - small[1]).mean())


def sound_packets(
    path: Path, kbits: float, begin: Fraction, end: float | None
) -> Iterator[tuple[Fraction, bytes]]:
    """Yield Opus packets with their times since the first frame.

    Args:
        path: file with sound.
        kbits: kbit/s.
        begin: time of the first frame on the file's clock, in seconds.
        end: seconds of the file at which the sound ends, None for its end.
    """
    encoder = OpusEncoder(kbits)
    late = start_time(path) - begin
    until = None if end is None else float(Fraction(end) - start_time(path))
    count = 0

    def times(packets: list[bytes]) -> Iterator[tuple[Fraction, bytes]]:
        nonlocal count
        for packet in packets:
            yield Fraction(count * FRAME, RATE), packet
            count += 1

    lead = round(late * RATE)  # samples of silence before the sound, or of sound to leave out
    for position in range(0, lead, RATE):
        yield from times(encoder.encode(np.zeros(min(RATE, lead - position), np.float32)))
    skipped = max(0, -lead)
    if until is None or round(until * RATE) > 0:
        for block in read_blocks(path, RATE, 1.0, end=until):
            yield from times(encoder.encode(block[skipped:]))
            skipped = max(0, skipped - len(block))
    nothing: Array32 = np.zeros(0, np.float32)
    yield from times(encoder.encode(nothing, last=True))

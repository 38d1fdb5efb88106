"""The sender by itself: pictures without a face, sound, and what no stream can hold."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thcli
from tests.pipeline.command_line import to_argv
from tests.pipeline.conference.test_conference import CPU, TinyCropEngine
from thcli.cli.app import run
from thcli.core.errors import MediaError, UsageError
from thcli.core.options import TransmitOptions
from thcli.core.types import Array32, Face, Frame, Image
from thcli.motion.codec.format import StreamHeader, Tag, pack
from thcli.pipeline.conference import sending
from thcli.pipeline.conference.sending import Sender, face_difference, sound_packets
from thcli.pipeline.transmit import _packed

SIZE = (64, 64)
HEADER = StreamHeader("facevid2vid", SIZE, Fraction(1, 25), pictures=True)


def face(track: int = 1) -> Face:
    return Face(np.array([8, 8, 56, 56], np.float32), 0.9, track=track)


def frame(pts: int, duration: int = 1) -> Frame:
    return Frame(np.full((64, 64, 3), 90, np.uint8), pts, Fraction(1, 25), pts, duration)


class Reader:
    """Reader of sent pictures that finds a face when it is told to."""

    finds = True

    def read(self, content: bytes) -> tuple[Image, Face | None]:
        return np.zeros((64, 64, 3), np.uint8), face() if self.finds else None


def make_sender() -> tuple[Sender, Any]:
    reader: Any = Reader()
    engine: Any = TinyCropEngine()
    return Sender(HEADER, TransmitOptions(key_frame="image"), engine, reader), reader


def test_a_new_scene_without_a_face_in_its_picture_is_tried_again() -> None:
    sender, reader = make_sender()
    assert len(sender.send(frame(0), [face()], cut=False)) == 2
    reader.finds = False
    assert len(sender.send(frame(1), [face()], cut=True)) == 1
    assert sender.counts.keys == 1
    reader.finds = True
    assert sender.send(frame(2), [face()], cut=False)[0][0] == Tag.PICTURE
    assert sender.counts.keys == 2 and sender.counts.sent_pictures == 2


def test_times_that_no_stream_holds_end_with_a_sentence() -> None:
    sender, _ = make_sender()
    sender.send(frame(0), [face()], cut=False)
    with pytest.raises(MediaError, match="more than a day between"):
        sender.send(frame(25 * 86400 + 1), [face()], cut=False)


def test_a_picture_that_no_stream_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MAX_PICTURE", 10)
    with pytest.raises(UsageError, match="too large for a stream"):
        make_sender()[0].send(frame(0), [face()], cut=False)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (StreamHeader("mesh", (20000, 64), Fraction(1, 25)), "do not fit"),
        (StreamHeader("mesh", SIZE, Fraction(2)), "units of 2 s"),
    ],
)
def test_what_no_header_holds_is_refused(header: StreamHeader, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        _packed(header)


@pytest.mark.parametrize("box", [(50, 50, 90, 90), (64, 0, 99, 20), (-30, -30, -2, -2)])
def test_a_face_beyond_the_edges_is_compared_inside(box: tuple[int, ...]) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    outside = Face(np.array(box, np.float32), 0.9)
    found = face_difference(image, image + 9, outside)
    assert found == (pytest.approx(9) if box[0] == 50 else 0)


def packets(
    monkeypatch: pytest.MonkeyPatch, begin: float, end: float | None = None, fails: bool = False
) -> int:
    """Return the number of packets of a sound of two seconds whose clock begins at 10 s."""

    def blocks(path: Path, rate: int, seconds: float, *, end: float | None) -> Iterator[Array32]:
        if fails:
            raise MediaError("It cannot be read.")
        for _ in range(2):
            yield np.zeros(rate, np.float32)

    monkeypatch.setattr(sending, "start_time", lambda path: Fraction(10))
    monkeypatch.setattr(sending, "read_blocks", blocks)
    return len(list(sound_packets(Path("clip.mp4"), 12, Fraction(begin), end)))


def test_sound_is_placed_at_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = packets(monkeypatch, 10)
    assert 100 <= whole <= 102  # the encoder looks ahead
    assert packets(monkeypatch, 7) == whole + 150
    assert packets(monkeypatch, 11.5) == whole - 75
    assert packets(monkeypatch, 13) == packets(monkeypatch, 10, end=9) == 0


def test_sound_that_cannot_be_read_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MediaError, match="cannot be read"):
        packets(monkeypatch, 10, fails=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "no WebP file"),
        (b"RIFF\0\0\0\0WEBP" + bytes(40), "a picture or sound that cannot be read"),
    ],
)
def test_a_damaged_picture_names_the_stream(
    content: bytes, words: str, tmp_path: Path, capsys: Any
) -> None:
    bad, out = tmp_path / "bad.thc", tmp_path / "out.mp4"
    header = StreamHeader("mesh", SIZE, Fraction(1, 25), pictures=True)
    bad.write_bytes(header.pack() + pack(Tag.PICTURE, content) + pack(Tag.END))
    assert run(to_argv("receive", bad, "-o", out, CPU)) == 3
    said = capsys.readouterr().err
    assert words in said and str(bad) in said and "sent-picture" not in said


def test_a_motion_that_no_codec_holds_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The name of an engine from outside begins as one of ours."""
    from thcli.pipeline import transmit

    engine = TinyCropEngine()
    engine.motion_kind = "other"
    monkeypatch.setattr(transmit, "load_engine", lambda name, run: engine)
    with pytest.raises(thcli.UsageError, match="has no codec"):
        transmit._load_engine(TransmitOptions(engine="facevid2vid"))

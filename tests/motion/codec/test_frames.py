"""Frames of motion through the codec: errors within the steps, stamps, keys, damage."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.motion import synthetic_motion
from thcli.core.types import Array, Motion
from thcli.motion.canonical import eye_openings, mouth_opening, neutral
from thcli.motion.codec.format import (
    StreamError,
    StreamHeader,
    StreamVersionError,
    Tag,
    pack,
    read_header,
    read_packets,
)
from thcli.motion.codec.frames import LEVELS, CodedFrame, FrameDecoder, FrameEncoder, FrameFacts
from thcli.motion.codec.rate_control import RateControl

HEADER = StreamHeader("mesh", (640, 480), Fraction(1, 25), Fraction(25))
DRIVER = synthetic_motion.driver(30)


def rows_of(motion: Motion) -> list[Motion]:
    return [motion[slice(i, i + 1)] for i in range(len(motion))]


def values(motion: Motion, name: str) -> Array:
    return np.asarray(motion.arrays[name], np.float64)


def send(rows: list[Motion | None], level: int = 2, stamps: list[int] | None = None) -> list[bytes]:
    encoder = FrameEncoder(HEADER)
    found = []
    for i, row in enumerate(rows):
        pts = stamps[i] if stamps else i
        facts = FrameFacts(pts, 1, row is not None, level, i == 0, i == 0 and row is not None)
        found.append(encoder.encode(facts, row))
    return found


def receive(packets: list[bytes]) -> list[CodedFrame]:
    decoder = FrameDecoder(HEADER)
    return [decoder.decode(packet) for packet in packets]


@pytest.mark.parametrize("level", [0, 2, 8])
def test_motion_comes_back_within_the_steps(level: int) -> None:
    rows = rows_of(DRIVER)
    frames = receive(send(list(rows), level))
    steps = FrameEncoder(HEADER).layout.steps * 2 ** (level / 4)
    for row, frame in zip(rows, frames, strict=True):
        pose = np.abs(values(frame.motion, "pose") - values(row, "pose"))[0]
        assert (pose <= steps[:7] / 2 + 1e-9).all()
        gaze = np.abs(values(frame.motion, "gaze") - values(row, "gaze")).ravel()
        assert (gaze <= steps[-4:] / 2 + 1e-6).all()


def test_lips_and_lids_come_back() -> None:
    """The basis was learnt from other persons; openings are in parts of a width."""
    rows = rows_of(DRIVER)
    frames = receive(send(list(rows), 2))
    made, true = (
        neutral() + np.concatenate([values(one, "expression") for one in motions])
        for motions in ([frame.motion for frame in frames], rows)
    )
    assert np.abs(mouth_opening(made) - mouth_opening(true)).mean() < 0.03
    assert np.abs(eye_openings(made) - eye_openings(true)).mean() < 0.02


def test_a_frame_is_small_and_a_key_is_not() -> None:
    sizes = [len(packet) for packet in send(list(rows_of(DRIVER)))]
    assert sizes[0] < 1200 and np.mean(sizes[1:]) < 60


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=12),
    st.integers(-(2**33), 2**33),
    st.sets(st.integers(0, 11)),
)
@settings(max_examples=30, deadline=None)
def test_every_frame_keeps_its_stamp(steps: list[int], first: int, unseen: set[int]) -> None:
    """Variable frame rates, any start, and frames without a face."""
    stamps = np.cumsum([first, *steps]).tolist()
    rows = [None if i in unseen and i else DRIVER[slice(i, i + 1)] for i in range(len(stamps))]
    frames = receive(send(rows, stamps=stamps))
    assert [int(frame.motion.pts[0]) for frame in frames] == stamps
    assert [bool(frame.motion.valid[0]) for frame in frames] == [row is not None for row in rows]
    assert all(frame.duration == 1 for frame in frames)


def fast_header() -> StreamHeader:
    return StreamHeader("mesh", (640, 480), Fraction(1, 10**9))


def test_long_gaps_and_durations_keep_their_stamps() -> None:
    """A pause of a clip, and units of a nanosecond."""
    stamps = [0, 1, 1 + 2**21, 2 + 2**21]
    rows = [DRIVER[slice(i, i + 1)] for i in range(4)]
    assert [int(f.motion.pts[0]) for f in receive(send(list(rows), stamps=stamps))] == stamps
    encoder, decoder = FrameEncoder(fast_header()), FrameDecoder(fast_header())
    times = [(2**60, 2**30), (2**60 + 2**40, 1), (2**60 + 2**45, 2**30), (2**60 + 2**45 + 5, 0)]
    for i, (pts, duration) in enumerate(times):
        facts = FrameFacts(pts, duration, is_key=i in (0, 2))
        frame = decoder.decode(encoder.encode(facts, rows[i]))
        assert (int(frame.motion.pts[0]), frame.duration) == (pts, duration)


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        ([0, 25 * 86400 + 1], "more than a day"),
        ([5, 5], "do not increase"),
        ([2**40, 2**40 + 1], "time stamp is too large"),
    ],
)
def test_times_that_no_receiver_takes_are_not_sent(stamps: list[int], words: str) -> None:
    with pytest.raises(StreamError, match=words):
        send(list(rows_of(DRIVER[:2])), stamps=stamps)


def test_a_made_up_step_of_more_than_a_day_is_refused() -> None:
    """The writer's header has a unit of a nanosecond, the reader's one of a 25th of a second."""
    encoder, decoder = FrameEncoder(fast_header()), FrameDecoder(HEADER)
    decoder.decode(encoder.encode(FrameFacts(0, is_key=True), DRIVER[:1]))
    with pytest.raises(StreamError, match="more than a day"):
        decoder.decode(encoder.encode(FrameFacts(2**30), DRIVER[1:2]))


def test_a_key_frame_needs_nothing_before_it() -> None:
    encoder, rows = FrameEncoder(HEADER), rows_of(DRIVER)
    packets = [
        encoder.encode(FrameFacts(i, 1, True, 2, i % 10 == 0, i == 0), row)
        for i, row in enumerate(rows)
    ]
    whole, late = receive(packets), receive(packets[10:])
    for a, b in zip(whole[10:], late, strict=True):
        for name in a.motion.arrays:
            np.testing.assert_array_equal(values(a.motion, name), values(b.motion, name))
    with pytest.raises(StreamError, match="first frame is no key frame"):
        receive(packets[5:])


def test_a_shape_beyond_the_basis_asks_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row that is asked about is analysed once, and coded from these numbers."""
    encoder, (first, row) = FrameEncoder(HEADER), rows_of(DRIVER)[:2]
    encoder.encode(FrameFacts(0, 1, True, 2, True, True), first)
    analyse, asked = encoder.layout.analyse, []

    def count(row: Motion, key: Array) -> Array:
        asked.append(row)
        return analyse(row, key)

    monkeypatch.setattr(encoder.layout, "analyse", count)
    assert not encoder.has_drifted(row)
    encoder.encode(FrameFacts(1, 1, True, 2), row)
    assert len(asked) == 1
    bent = np.array(row.arrays["expression"], np.float64)
    bent[:, ::7] += 0.2  # no face does that
    other = Motion(row.kind, row.pts, row.time_base, row.valid, {**row.arrays, "expression": bent})
    assert encoder.has_drifted(other) and asked == [row, other]


def test_facevid2vid_has_51_numbers() -> None:
    header = StreamHeader("facevid2vid", (256, 256), Fraction(1, 25))
    generator = np.random.default_rng(0)
    arrays = {
        "angles": generator.normal(0, 9, (1, 3)).astype(np.float32),
        "shift": generator.normal(0, 0.05, (1, 3)).astype(np.float32),
        "expression": generator.normal(0, 0.03, (1, 15, 3)).astype(np.float32),
    }
    row = Motion("facevid2vid", np.zeros(1, np.int64), Fraction(1, 25), np.ones(1, bool), arrays)
    encoder = FrameEncoder(header)
    frame = FrameDecoder(header).decode(encoder.encode(FrameFacts(0, 1, True, 0, True, True), row))
    assert len(encoder.layout.steps) == 51
    for name, step in (("angles", 0.1), ("shift", 0.001), ("expression", 0.001)):
        error = values(frame.motion, name) - values(row, name)
        assert np.abs(error).max() <= step / 2 + 1e-6


def test_rate_control_meets_its_target() -> None:
    """Both ways, for frames whose bits halve every four levels."""
    for target in (10.0, 30.0):
        control, level, bits = RateControl(target), 6, []
        for i in range(500):
            bits.append(round(2400 * 2 ** (-level / 4)) + 100)
            level = control.next_level(level, bits[-1], Fraction(i, 25))
            assert 0 <= level < LEVELS
        assert sum(bits[250:]) / 10 / 1000 == pytest.approx(target, rel=0.15)
    assert RateControl(None).next_level(3, 10**6, Fraction(0)) == 3


def made_up(*terms: int) -> bytes:
    """Return a header of a false time base and rate with a true checksum."""
    fields = struct.pack(">BBHHIIII", 0, 0, 640, 480, *terms)
    return b"THCM\x01" + fields + zlib.crc32(fields).to_bytes(4, "big")


def stream(packets: list[bytes]) -> bytes:
    return b"".join([HEADER.pack(), *packets])


def test_packets_come_back_and_a_lost_tail_ends_the_stream() -> None:
    sent = [(Tag.MOTION, b"a"), (Tag.SOUND, b"b" * 300), (Tag.MOTION, b"c" * 900)]
    sent += [(Tag.PICTURE, b"d" * 70000), (Tag.END, b"")]
    content = stream([pack(tag, body) for tag, body in sent])
    file = io.BytesIO(content)
    assert read_header(file) == HEADER
    assert list(read_packets(file)) == sent
    for cut in range(len(HEADER.pack()), len(content), 997):
        file = io.BytesIO(content[:cut])
        read_header(file)
        found = list(read_packets(file))
        assert found == sent[: len(found)] and len(found) < len(sent)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "does not begin"),
        (b"THCM\x01abc", "ends inside of its header"),
        (HEADER.pack()[:-1] + b"?", "header is damaged"),
        (stream([b"\xfb\0\0"]), "unknown type 251"),
        (stream([b"\xfd\xff\xff\xff\xff"]), "a packet of 4294967295 bytes"),
        (stream([b"\x03?abc"]), "damaged packet"),
        (stream([pack(Tag.END, b"x")]), "last packet has a content"),
        (stream([pack(Tag.SOUND)]), "empty packet of sound"),
        (made_up(2, 1, 25, 1), "no valid time base"),
        (made_up(1, 2**31, 25, 1), "no valid time base"),
        (made_up(1, 25, 1001, 1), "no valid frame rate"),
        (made_up(1, 25, 25, 2**31), "no valid frame rate"),
    ],
)
def test_damage_is_named(content: bytes, words: str) -> None:
    file = io.BytesIO(content)
    with pytest.raises(StreamError, match=words):
        read_header(file)
        list(read_packets(file))


def test_a_packet_that_no_receiver_takes_is_not_packed() -> None:
    with pytest.raises(StreamError, match="a packet of 65536 bytes"):
        pack(Tag.SOUND, bytes(1 << 16))


def test_another_version_is_named() -> None:
    with pytest.raises(StreamVersionError, match="version 9"):
        read_header(io.BytesIO(b"THCM\x09" + bytes(40)))


@given(st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_packet_is_decoded_or_refused(content: bytes) -> None:
    decoder = FrameDecoder(HEADER)
    try:
        decoder.decode(send(list(rows_of(DRIVER[:1])))[0])
        frame = decoder.decode(content)
    except StreamError:
        return
    assert all(np.isfinite(values(frame.motion, name)).all() for name in frame.motion.arrays)

"""Container of a motion stream: a header, then packets, readable from a pipe.

docs/conferencing.md describes the bytes. Every length is bounded before anything is read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import BinaryIO

MAGIC, VERSION = b"THCM", 1
SUFFIX = ".thc"
KINDS = ("mesh", "facevid2vid")
MAX_SIDE = (1 << 14) - 1  # pixels of a frame, and of a WebP file
MAX_PICTURE = 1 << 24  # bytes of a key picture
_FIELDS = struct.Struct(">BBHHIIII")
_SHORT = 250  # motion packets below this many bytes have a length of one byte
_MAX_LONG = (1 << 16) - 1
_MAX_TERM = (1 << 31) - 1  # of a fraction, as FFmpeg holds them
MAX_RATE = 1000  # frames per second


class StreamError(ValueError):
    """Violation of the format.

    Its text completes the sentence "FILE is not a valid motion stream: ...".
    """


class StreamVersionError(StreamError):
    """Stream of another version of the format."""


class Tag(IntEnum):
    """First byte of a packet; smaller values are lengths of motion packets."""

    MOTION = 255
    SOUND = 254
    PICTURE = 253
    END = 252


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """Facts of a whole stream.

    kind: of the motion, one of KINDS.
    size: (width, height) of the sender's frames in pixels.
    time_base: seconds per unit of the time stamps.
    rate: average frames per second, 0 when unknown.
    sound: packets of sound will follow.
    pictures: key pictures will follow.
    """

    kind: str
    size: tuple[int, int]
    time_base: Fraction
    rate: Fraction = Fraction(0)
    sound: bool = False
    pictures: bool = False

    def pack(self) -> bytes:
        """Return the header's bytes.

        Raises:
            StreamError: no receiver takes it.
        """
        base = self.time_base.as_integer_ratio()
        rate = self.rate.limit_denominator(1 << 20).as_integer_ratio()
        _check(self.size, base, rate)
        flags = self.sound | self.pictures << 1
        fields = _FIELDS.pack(KINDS.index(self.kind), flags, *self.size, *base, *rate)
        return MAGIC + bytes([VERSION]) + fields + zlib.crc32(fields).to_bytes(4, "big")


def read_header(stream: BinaryIO) -> StreamHeader:
    """Read and check the header.

    Raises:
        StreamError: it is not that of a motion stream.
        StreamVersionError: it is one of another version.
    """
    start = stream.read(5)
    if start[:4] != MAGIC:
        raise StreamError("it does not begin with THCM")
    if len(start) == 5 and start[4] != VERSION:
        raise StreamVersionError(f"it has version {start[4]} of the format")
    fields, check = stream.read(_FIELDS.size), stream.read(4)
    if len(check) < 4:
        raise StreamError("it ends inside of its header")
    if zlib.crc32(fields).to_bytes(4, "big") != check:
        raise StreamError("its header is damaged")
    kind, flags, width, height, seconds, parts, frames, per = _FIELDS.unpack(fields)
    if kind >= len(KINDS) or flags > 3:
        raise StreamError("its header has an unknown kind of motion or content")
    _check((width, height), (seconds, parts), (frames, per))
    rate = Fraction(frames, per)
    return StreamHeader(
        KINDS[kind],
        (width, height),
        Fraction(seconds, parts),
        rate,
        sound=bool(flags & 1),
        pictures=bool(flags & 2),
    )


def _check(size: tuple[int, int], base: tuple[int, int], rate: tuple[int, int]) -> None:
    """Raise StreamError for frames, a time base or a rate that no stream has."""
    width, height = size
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise StreamError(f"its header has frames of {width} x {height} pixels")
    (seconds, parts), (frames, per) = base, rate
    if not 0 < seconds <= parts <= _MAX_TERM:
        raise StreamError("its header has no valid time base")
    if not (0 < per <= _MAX_TERM and 0 <= frames <= min(MAX_RATE * per, _MAX_TERM)):
        raise StreamError("its header has no valid frame rate")


def pack(tag: Tag, content: bytes = b"") -> bytes:
    """Return a packet: tag, length, checksum of one byte, content.

    Raises:
        StreamError: the content is too long for its tag.
    """
    if len(content) > (MAX_PICTURE if tag == Tag.PICTURE else _MAX_LONG):
        raise StreamError(f"it has a packet of {len(content)} bytes")
    check = bytes([zlib.crc32(content) & 255])
    if tag == Tag.MOTION and len(content) < _SHORT:
        return bytes([len(content)]) + check + content
    length = len(content).to_bytes(4 if tag == Tag.PICTURE else 2, "big")
    return bytes([tag]) + length + check + content


def read_packets(stream: BinaryIO) -> Iterator[tuple[Tag, bytes]]:
    """Yield the packets of a stream behind its header, the last one being END.

    A packet is yielded as soon as its last byte has arrived. A stream that breaks off between or
    inside of packets ends without END.

    Raises:
        StreamError: a packet is damaged.
    """
    while first := stream.read(1):
        tag = Tag.MOTION if first[0] < _SHORT else _tag(first[0])
        size = first[0]
        if first[0] >= _SHORT:
            width = 4 if tag == Tag.PICTURE else 2
            length = stream.read(width)
            if len(length) < width:
                return
            size = int.from_bytes(length, "big")
        if size > (MAX_PICTURE if tag == Tag.PICTURE else _MAX_LONG):
            raise StreamError(f"it has a packet of {size} bytes")
        if size and tag == Tag.END:
            raise StreamError("its last packet has a content")
        if not size and tag == Tag.SOUND:
            raise StreamError("it has an empty packet of sound")
        body = _read_exactly(stream, size + 1)
        if body is None:
            return
        if zlib.crc32(body[1:]) & 255 != body[0]:
            raise StreamError("it has a damaged packet")
        yield tag, body[1:]
        if tag == Tag.END:
            return


def _tag(value: int) -> Tag:
    if value not in set(Tag):
        raise StreamError(f"it has a packet of unknown type {value}")
    return Tag(value)


def _read_exactly(stream: BinaryIO, size: int) -> bytes | None:
    """Return `size` bytes, None at the end. Read in parts: a false length costs no memory."""
    parts, missing = [], size
    while missing:
        part = stream.read(min(missing, 1 << 16))
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)

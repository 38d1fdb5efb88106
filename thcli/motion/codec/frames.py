"""Frames of motion to packets and back; sender and receiver keep the same state.

Every number is rounded to a multiple of its step and coded as the difference to the frame before.
The sender knows what the receiver has, so errors do not add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.types import Array, Motion
from thcli.motion.codec.format import StreamError, StreamHeader
from thcli.motion.codec.layouts import make_layout
from thcli.motion.codec.range_coder import (
    MAX_MAGNITUDE,
    BitCoder,
    Bits,
    DecodingError,
    IntegerModel,
    RangeDecoder,
    RangeEncoder,
)
from thcli.motion.file.format import FormatError
from thcli.motion.file.kinds import check_values

LEVELS = 17  # of quality, 0 the finest; four levels double the steps
_BEYOND = 1 << 31  # seconds; no time stamp is further from 0
_LONGEST_GAP = 24 * 3600  # seconds from a frame to the next; a false stamp fills no disk
_SHAPE_GROUPS = 3  # models of a key shape, one for each axis


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """A decoded frame.

    motion: one row; not valid where no face was seen.
    duration: in units of the time base, 0 when unknown.
    is_key: it needs no frame before it.
    is_reference: changes of pose and expression count from it on.
    """

    motion: Motion
    duration: int
    is_key: bool
    is_reference: bool


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """Facts of a frame beside its motion.

    pts, duration: in units of the time base.
    valid: a face was seen.
    level: of the quality.
    is_key, is_reference: see `CodedFrame`.
    """

    pts: int
    duration: int = 0
    valid: bool = True
    level: int = 8
    is_key: bool = False
    is_reference: bool = False


class FrameCoder:
    """State that sender and receiver share."""

    def __init__(self, header: StreamHeader) -> None:
        self.header, self.layout = header, make_layout(header.kind)
        self._pts, self._begun = 0, False
        self._key = np.zeros(self.layout.key_size)
        self._numbers = np.zeros(len(self.layout.steps))
        self._analysed: tuple[Motion, Array, Array] | None = None  # row, key shape, numbers
        self._forget()

    def _analyse(self, row: Motion) -> Array:
        """Return the numbers of a row, those of the last one again when it is asked twice."""
        if (
            self._analysed is None
            or self._analysed[0] is not row
            or self._analysed[1] is not self._key
        ):
            self._analysed = row, self._key, self.layout.analyse(row, self._key)
        return self._analysed[2]

    def _forget(self) -> None:
        """Start all models again, so that a key frame needs nothing before it."""
        self._flags = Bits(3)
        self._time = [IntegerModel() for _ in range(3)]
        self._step_to, self._last_duration, self._level = 0, 0, 0
        self._shape = [IntegerModel() for _ in range(_SHAPE_GROUPS)]
        self._models = [IntegerModel() for _ in self.layout.steps]
        self._integers: list[int] | None = None

    def _code(self, coder: BitCoder, facts: FrameFacts, row: Motion | None) -> FrameFacts:
        """Code one frame; facts and row are ignored by a reader."""
        is_key = coder.code_even(facts.is_key)
        if is_key:
            self._forget()
        elif not self._begun:
            raise DecodingError("its first frame is no key frame")
        is_reference = coder.code(self._flags, 0, facts.is_reference) if is_key else False
        pts, duration = self._code_time(coder, facts, is_key=is_key)
        valid = coder.code(self._flags, 1, facts.valid)
        found = FrameFacts(pts, duration, valid, self._level, is_key, is_reference)
        if not valid:
            return found
        level = self._level + self._time[2].code(coder, facts.level - self._level)
        if not 0 <= level < LEVELS:
            raise DecodingError("a quality is out of range")
        steps = self.layout.steps * 2 ** (level / 4)
        if is_key and self.layout.key_size:
            self._key = self._code_shape(coder, self.layout.key(row) if row is not None else None)
        before = self._numbers / steps if self._integers is not None else np.zeros(len(steps))
        predicted = np.rint(before).astype(np.int64).tolist()
        wanted = predicted
        if row is not None:
            wanted = np.rint(self._analyse(row) / steps).astype(np.int64).tolist()
        self._integers = [
            old + model.code(coder, new - old)
            for model, old, new in zip(self._models, predicted, wanted, strict=True)
        ]
        self._numbers = np.array(self._integers, np.float64) * steps
        self._level = level
        return found

    def _code_time(self, coder: BitCoder, facts: FrameFacts, *, is_key: bool) -> tuple[int, int]:
        """Code time stamp and duration: the step to the next frame is mostly that of the last."""
        if is_key:
            pts = _code_long(coder, facts.pts)
        else:
            change = facts.pts - self._pts - self._step_to
            self._step_to += _code_wide(coder, self._time[0], change)
            pts = self._pts + self._step_to
        unit = self.header.time_base
        if abs(pts) * unit > _BEYOND:
            raise DecodingError("a time stamp is too large")
        if self._begun and pts <= self._pts:
            raise DecodingError("time stamps do not increase")
        if self._begun and (pts - self._pts) * unit > _LONGEST_GAP:
            raise DecodingError("there is more than a day between two frames")
        duration = self._last_duration + _code_wide(
            coder, self._time[1], facts.duration - self._last_duration
        )
        if not 0 <= duration * unit <= _LONGEST_GAP:
            raise DecodingError("a duration is negative or more than a day")
        self._pts, self._last_duration, self._begun = pts, duration, True
        return pts, duration

    def _code_shape(self, coder: BitCoder, shape: Array | None) -> Array:
        """Code a key shape in steps: differences along the points of each axis."""
        wanted = None if shape is None else np.rint(shape).astype(np.int64).tolist()
        found: list[int] = []
        for i in range(self.layout.key_size):
            before = found[i - _SHAPE_GROUPS] if i >= _SHAPE_GROUPS else 0
            change = 0 if wanted is None else wanted[i] - before
            found.append(before + self._shape[i % _SHAPE_GROUPS].code(coder, change))
        return np.array(found, np.float64)


class FrameEncoder(FrameCoder):
    """Sender's side."""

    def has_drifted(self, row: Motion) -> bool:
        """Return whether a key shape is due: the receiver's face is too far from a row."""
        return self.layout.has_drifted(row, self._analyse(row), self._key)

    def encode(self, facts: FrameFacts, row: Motion | None) -> bytes:
        """Return the content of a motion packet.

        Args:
            facts: of the frame; a first frame, and the first one with a face, must be keys.
            row: motion of one frame, of the header's kind; None without a face.

        Raises:
            StreamError: no receiver takes the frame's times or numbers.
        """
        coder = RangeEncoder()
        try:
            self._code(coder, facts, row)
        except DecodingError as exc:
            raise StreamError(str(exc)) from exc
        return coder.finish()


class FrameDecoder(FrameCoder):
    """Receiver's side."""

    def decode(self, content: bytes) -> CodedFrame:
        """Return the frame of a motion packet.

        Raises:
            StreamError: no sender writes these bits.
        """
        try:
            facts = self._code(RangeDecoder(content), FrameFacts(0), None)
        except DecodingError as exc:
            raise StreamError(str(exc)) from exc
        values = self.layout.synthesise(self._numbers, self._key)
        try:
            check_values(self.header.kind, values)
        except FormatError as exc:
            raise StreamError(str(exc)) from exc
        return CodedFrame(
            Motion(
                self.header.kind,
                np.array([facts.pts], np.int64),
                self.header.time_base,
                np.array([facts.valid]),
                dict(values),
                self.layout.constants(self.header.size),
            ),
            facts.duration,
            facts.is_key,
            facts.is_reference,
        )


def _code_wide(coder: BitCoder, model: IntegerModel, value: int) -> int:
    """Code any integer: the model's largest one says that the true one follows in full."""
    found = model.code(coder, MAX_MAGNITUDE if abs(value) >= MAX_MAGNITUDE else value)
    return _code_long(coder, value) if found == MAX_MAGNITUDE else found


def _code_long(coder: BitCoder, value: int) -> int:
    """Code an integer below 2**63: sign, number of bits, bits."""
    negative = coder.code_even(value < 0)
    size, length = abs(value), abs(value).bit_length()
    count = 0
    for place in range(5, -1, -1):
        count = (count << 1) | coder.code_even(bool(length >> place & 1))
    found = 0
    for place in range(count - 1, -1, -1):
        found = (found << 1) | coder.code_even(bool(size >> place & 1))
    return -found if negative else found

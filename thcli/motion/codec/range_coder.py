"""Adaptive binary range coder, and integers on top of it.

A probability belongs to a context and follows the bits that were coded in it, fast at first. Sender
and receiver make the same changes, so that no table is transmitted. Martin 1979, "Range encoding";
integers are binarised as zero flag, sign, unary prefix and Exp-Golomb suffix, as CABAC does
(Marpe, Schwarz & Wiegand 2003, sec. III-A).
"""

from __future__ import annotations

from typing import Protocol

ONE = 1 << 16  # probability 1
_LEAST = 64  # probability that a context never falls below
_SLOWEST = 5  # a probability moves by 2**-5 of its error in the long run
_BITS = 32  # of the range
_TOP = 1 << (_BITS - 8)
_UNARY = 14  # longest unary prefix
_MAX_SUFFIX = 24  # bits of an Exp-Golomb suffix
MAX_MAGNITUDE = 1 << 20


class DecodingError(ValueError):
    """Bits that no sender writes."""


class Bits:
    """Adaptive probabilities of a number of binary contexts.

    zero: probability that the next bit of each context is 0, in units of 1 / ONE.
    """

    def __init__(self, contexts: int) -> None:
        self.zero = [ONE // 2] * contexts
        self._shift = [1] * contexts

    def update(self, context: int, bit: bool) -> None:
        """Move a context's probability towards a bit."""
        shift = min(self._shift[context] + 1, _SLOWEST)
        self._shift[context] = shift
        zero = self.zero[context]
        zero += -(zero >> shift) if bit else (ONE - zero) >> shift
        self.zero[context] = min(max(zero, _LEAST), ONE - _LEAST)


class BitCoder(Protocol):
    """Writer or reader of bits. `bit` is ignored by a reader; both return the coded bit."""

    def code(self, bits: Bits, context: int, bit: bool) -> bool:
        """Code a bit with the probability of a context."""
        ...

    def code_even(self, bit: bool) -> bool:
        """Code a bit whose values are equally likely."""
        ...


class RangeEncoder:
    """Writer of one block of bits."""

    def __init__(self) -> None:
        self._low, self._range, self._width = 0, (1 << _BITS) - 1, _BITS

    def code(self, bits: Bits, context: int, bit: bool) -> bool:
        bound = (self._range >> 16) * bits.zero[context]
        self._take(bound, bit)
        bits.update(context, bit)
        return bit

    def code_even(self, bit: bool) -> bool:
        self._take(self._range >> 1, bit)
        return bit

    def _take(self, bound: int, bit: bool) -> None:
        if bit:
            self._low += bound
            self._range -= bound
        else:
            self._range = bound
        while self._range < _TOP:
            self._range <<= 8
            self._low <<= 8
            self._width += 8

    def finish(self) -> bytes:
        """Return the block: the shortest number inside the final range; zeros may follow it."""
        for kept in range(self._width // 8 + 1):
            rest = (1 << (self._width - 8 * kept)) - 1
            value = (self._low + rest) & ~rest
            if value < self._low + self._range:
                return (value >> (self._width - 8 * kept)).to_bytes(kept, "big")
        raise AssertionError("a range is never empty")


class RangeDecoder:
    """Reader of a block; behind its end there are zeros."""

    def __init__(self, block: bytes) -> None:
        self._block, self._next = block, 4
        self._code = int.from_bytes(block[:4].ljust(4, b"\0"), "big")
        self._range = (1 << _BITS) - 1

    def code(self, bits: Bits, context: int, bit: bool = False) -> bool:
        found = self._take((self._range >> 16) * bits.zero[context])
        bits.update(context, found)
        return found

    def code_even(self, bit: bool = False) -> bool:
        return self._take(self._range >> 1)

    def _take(self, bound: int) -> bool:
        found = self._code >= bound
        if found:
            self._code -= bound
            self._range -= bound
        else:
            self._range = bound
        while self._range < _TOP:
            following = self._block[self._next] if self._next < len(self._block) else 0
            self._next += 1
            self._range <<= 8
            self._code = (self._code << 8) | following
        return found


class IntegerModel:
    """Adaptive model of a sequence of integers, small ones being likely.

    The contexts are the size and the sign of the integer before.
    """

    def __init__(self) -> None:
        self._zero, self._sign = Bits(3), Bits(3)
        self._prefix = Bits(2 * _UNARY)
        self._size, self._last_sign = 0, 0

    def code(self, coder: BitCoder, value: int = 0) -> int:
        """Code an integer.

        Args:
            coder: writer or reader.
            value: to write; ignored by a reader.

        Returns:
            The integer.

        Raises:
            DecodingError: it is larger than MAX_MAGNITUDE.
        """
        if coder.code(self._zero, self._size, value == 0):
            self._size = self._last_sign = 0
            return 0
        negative = coder.code(self._sign, self._last_sign, value < 0)
        begin = _UNARY * (self._size > 0)
        rest, length = abs(value) - 1, 0
        while length < _UNARY and coder.code(self._prefix, begin + length, rest > length):
            length += 1
        if length == _UNARY:
            length += _code_suffix(coder, rest - _UNARY)
        size = length + 1
        if size > MAX_MAGNITUDE:
            raise DecodingError("an integer is too large")
        self._size, self._last_sign = (1 if size < 3 else 2), (2 if negative else 1)
        return -size if negative else size


def _code_suffix(coder: BitCoder, value: int) -> int:
    """Code an integer of 0 or more as an Exp-Golomb word."""
    digits = max(value + 1, 1).bit_length() - 1
    count = 0
    while coder.code_even(count < digits):
        count += 1
        if count > _MAX_SUFFIX:
            raise DecodingError("an integer is too long")
    found = 1
    for place in range(count - 1, -1, -1):
        found = (found << 1) | coder.code_even(bool((max(value, 0) + 1) >> place & 1))
    return found - 1

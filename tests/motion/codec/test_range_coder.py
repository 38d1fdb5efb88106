"""Range coder and integers: what is written comes back, in few bits."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.motion.codec.range_coder import (
    MAX_MAGNITUDE,
    Bits,
    DecodingError,
    IntegerModel,
    RangeDecoder,
    RangeEncoder,
)

INTEGERS = st.one_of(st.integers(-3, 3), st.integers(-MAX_MAGNITUDE, MAX_MAGNITUDE))


def write(values: list[int]) -> bytes:
    coder, model = RangeEncoder(), IntegerModel()
    for value in values:
        model.code(coder, value)
    return coder.finish()


def read(block: bytes, count: int) -> list[int]:
    coder, model = RangeDecoder(block), IntegerModel()
    return [model.code(coder) for _ in range(count)]


@given(st.lists(INTEGERS, max_size=60))
@settings(max_examples=80)
def test_integers_come_back(values: list[int]) -> None:
    assert read(write(values), len(values)) == values


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=300))
@settings(max_examples=60)
def test_bits_come_back(rows: list[tuple[int, bool, bool]]) -> None:
    """Of adaptive contexts and of even bits, also where a carry runs through many bytes."""
    coder, bits = RangeEncoder(), Bits(4)
    for context, bit, even in rows:
        coder.code(bits, context, bit)
        coder.code_even(even)
    block = coder.finish()
    reader, bits = RangeDecoder(block), Bits(4)
    assert [(c, reader.code(bits, c), reader.code_even()) for c, _, _ in rows] == rows


def test_likely_bits_are_cheap() -> None:
    assert write([]) == b""
    assert len(write([0] * 1000)) <= 6
    chance = random.Random(1)
    noise = [round(chance.gauss(0, 2)) for _ in range(2000)]
    entropy = 3.05  # bits of a rounded normal distribution of this width
    assert len(write(noise)) * 8 / 2000 < 1.1 * entropy


@given(st.binary(max_size=80))
@settings(max_examples=80)
def test_any_block_is_read_or_refused(block: bytes) -> None:
    """Reading ends: a number is bounded, and behind the end there are zeros."""
    coder, model = RangeDecoder(block), IntegerModel()
    try:
        found = [model.code(coder) for _ in range(200)]
    except DecodingError:
        return
    assert max(map(abs, found)) <= MAX_MAGNITUDE


def test_integers_beyond_the_limit_are_refused() -> None:
    with pytest.raises(DecodingError, match="too large"):
        read(write([2 * MAX_MAGNITUDE]), 1)

"""Rows at time stamps: exact on a row, linear between rows, the same in windows as in one piece."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.audio.resample_rows import (
    FeatureRows,
    count_frames,
    even_stamps,
    row_positions,
    row_windows,
    zip_parts,
)

RATES = st.sampled_from(
    [
        Fraction(25),
        Fraction(24),
        Fraction(30000, 1001),
        Fraction(24000, 1001),
        Fraction(50),
        Fraction(60),
        Fraction(12),
    ]
)
BASES = st.sampled_from(
    [
        Fraction(1, 25),
        Fraction(1, 90000),
        Fraction(1001, 30000),
        Fraction(1, 1000),
        Fraction(1, 12800),
    ]
)


@given(
    st.lists(st.integers(-(10**12), 10**12), max_size=20),
    BASES,
    st.sampled_from([Fraction(100), Fraction(50), Fraction(16000, 160)]),
)
def test_positions_are_exact(stamps: list[int], base: Fraction, rate: Fraction) -> None:
    rows, fractions = row_positions(np.array(stamps, np.int64), base, rate)
    for stamp, row, fraction in zip(stamps, rows, fractions, strict=True):
        exact = stamp * base * rate
        assert int(row) == exact.numerator // exact.denominator
        assert 0 <= fraction < 1 and abs(Fraction(float(fraction)) - (exact - int(row))) < Fraction(
            1, 10**12
        )


@given(RATES, st.integers(1, 400))
def test_rows_at_the_frame_rate_are_unchanged(rate: Fraction, count: int) -> None:
    values = np.random.default_rng(count).random((count, 3), np.float32)
    np.testing.assert_array_equal(
        FeatureRows(values, rate).interpolate(*even_stamps(count, rate)), values
    )


@given(st.lists(st.integers(0, 40000), min_size=1, max_size=30), BASES, st.integers(0, 50))
def test_a_ramp_returns_the_time(stamps: list[int], base: Fraction, first: int) -> None:
    """With values i / 100 in row i the value at t is t, constant outside of the rows."""
    rows = FeatureRows(
        ((first + np.arange(200)) / 100).astype(np.float32)[:, None], Fraction(100), first
    )
    found = rows.interpolate(np.array(stamps), base)[:, 0]
    np.testing.assert_allclose(
        found, np.clip(np.array(stamps) * float(base), first / 100, (first + 199) / 100), atol=1e-5
    )


def test_positions_are_exact_after_ten_hours() -> None:
    """A time stamp of 1/90000 s on a row gives that row alone."""
    row = 100 * 36000
    rows = FeatureRows(np.array([[1.0], [2.0], [4.0]], np.float32), Fraction(100), row - 1)
    assert rows.interpolate(np.array([row * 900]), Fraction(1, 90000)) == 2.0


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=60),
    st.integers(1, 40),
    st.integers(0, 60),
    st.integers(1, 17),
    st.integers(0, 3000),
)
def test_windows_equal_the_whole(
    steps: list[int], size: int, context: int, part: int, begin: int
) -> None:
    """Time stamps are uneven, may start late and run past the end; no unneeded rows are kept."""
    pts, base, rate = begin + np.cumsum(steps), Fraction(1, 1000), Fraction(100)
    values = np.random.default_rng(part).random((150, 2), np.float32)
    parts = [values[i : i + part] for i in range(0, len(values), part)]
    whole = FeatureRows(values, rate)
    done = 0
    for chosen, rows in row_windows(parts, rate, pts, base, Fraction(context, 1000), size):
        assert chosen.start == done
        done = chosen.stop
        np.testing.assert_array_equal(
            rows.interpolate(pts[chosen], base), whole.interpolate(pts[chosen], base)
        )
        span = int(pts[chosen.stop - 1] - pts[chosen.start]) / 10 + 2 * context / 10
        assert len(rows.values) <= span + 3
    assert done == len(pts)


def test_a_sound_without_rows_is_rejected() -> None:
    with pytest.raises(ValueError, match="no rows"):
        next(row_windows([], Fraction(100), np.arange(3), Fraction(1, 25)))


@pytest.mark.parametrize(
    ("samples", "rate", "expected"),
    [
        (16000, Fraction(25), 25),
        (16001, Fraction(25), 26),
        (1, Fraction(25), 1),
        (0, Fraction(25), 1),
        (16000, Fraction(30000, 1001), 30),
    ],
)
def test_frames_within_a_sound(samples: int, rate: Fraction, expected: int) -> None:
    assert count_frames(samples, 16000, rate) == expected


@given(st.lists(st.integers(0, 9), max_size=8), st.lists(st.integers(0, 9), max_size=8))
def test_streams_with_parts_of_different_lengths(left: list[int], right: list[int]) -> None:
    a, b = np.arange(sum(left), dtype=np.float32), 100 + np.arange(sum(right), dtype=np.float32)
    streams = (np.split(a, np.cumsum(left)), np.split(b, np.cumsum(right)))
    zipped = list(zip_parts(*streams))
    count = min(len(a), len(b))
    assert [x.shape for x, _ in zipped] == [y.shape for _, y in zipped]
    np.testing.assert_array_equal(np.concatenate([np.zeros(0), *(x for x, _ in zipped)]), a[:count])
    np.testing.assert_array_equal(np.concatenate([np.zeros(0), *(y for _, y in zipped)]), b[:count])

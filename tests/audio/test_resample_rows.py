"""Rows at time stamps: exact at their own, linear between, the same in windows as whole, for any rate and for none."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.audio.resample_rows import Rows, even, frames_in, places, together, windows

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
def test_places_are_exact(stamps: list[int], base: Fraction, rate: Fraction) -> None:
    below, share = places(np.array(stamps, np.int64), base, rate)
    for stamp, low, part in zip(stamps, below, share, strict=True):
        exact = stamp * base * rate
        assert int(low) == exact.numerator // exact.denominator
        assert 0 <= part < 1 and abs(Fraction(float(part)) - (exact - int(low))) < Fraction(
            1, 10**12
        )


@given(RATES, st.integers(1, 400))
def test_rows_of_the_frames_own_rate_come_back(rate: Fraction, count: int) -> None:
    values = np.random.default_rng(count).random((count, 3), np.float32)
    np.testing.assert_array_equal(Rows(values, rate).at(*even(count, rate)), values)


@given(st.lists(st.integers(0, 40000), min_size=1, max_size=30), BASES, st.integers(0, 50))
def test_a_ramp_is_the_time_itself(stamps: list[int], base: Fraction, first: int) -> None:
    """Of row i / 100 the value at t is t, held outside of the rows."""
    rows = Rows(((first + np.arange(200)) / 100).astype(np.float32)[:, None], Fraction(100), first)
    got = rows.at(np.array(stamps), base)[:, 0]
    np.testing.assert_allclose(
        got, np.clip(np.array(stamps) * float(base), first / 100, (first + 199) / 100), atol=1e-5
    )


def test_after_ten_hours_too() -> None:
    """A time stamp of 1/90000 s that is a row's own gives that row alone."""
    row = 100 * 36000
    rows = Rows(np.array([[1.0], [2.0], [4.0]], np.float32), Fraction(100), row - 1)
    assert rows.at(np.array([row * 900]), Fraction(1, 90000)) == 2.0


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=60),
    st.integers(1, 40),
    st.integers(0, 60),
    st.integers(1, 17),
    st.integers(0, 3000),
)
def test_windows_are_the_whole(
    steps: list[int], size: int, context: int, part: int, begin: int
) -> None:
    """Uneven time stamps, which may begin late and run past the end; and no more rows are given than are needed."""
    pts, base, rate = begin + np.cumsum(steps), Fraction(1, 1000), Fraction(100)
    values = np.random.default_rng(part).random((150, 2), np.float32)
    parts = [values[i : i + part] for i in range(0, len(values), part)]
    reach = context // 10
    whole = Rows(values, rate)
    done = 0
    for chosen, rows in windows(parts, rate, pts, base, Fraction(context, 1000), size):
        assert chosen.start == done
        done = chosen.stop
        np.testing.assert_array_equal(rows.at(pts[chosen], base), whole.at(pts[chosen], base))
        some = rows.around(pts[chosen], base, max(0, reach - 1), max(0, reach - 1))
        np.testing.assert_array_equal(
            some, whole.around(pts[chosen], base, max(0, reach - 1), max(0, reach - 1))
        )
        span = int(pts[chosen.stop - 1] - pts[chosen.start]) / 10 + 2 * context / 10
        assert len(rows.values) <= span + 3
    assert done == len(pts)


def test_no_rows_no_windows() -> None:
    with pytest.raises(ValueError, match="no rows"):
        next(windows([], Fraction(100), np.arange(3), Fraction(1, 25)))


def test_nearest_rows() -> None:
    rows = Rows(np.arange(10, dtype=np.float32)[:, None], Fraction(100))
    got = rows.around(np.array([0, 49, 50, 51, 999]), Fraction(1, 1000), 1, 1)[..., 0]
    assert got.tolist() == [[0, 0, 1], [4, 5, 6], [4, 5, 6], [4, 5, 6], [9, 9, 9]]


@pytest.mark.parametrize(
    ("samples", "rate", "wanted"),
    [
        (16000, Fraction(25), 25),
        (16001, Fraction(25), 26),
        (1, Fraction(25), 1),
        (0, Fraction(25), 1),
        (16000, Fraction(30000, 1001), 30),
    ],
)
def test_frames_that_a_sound_fills(samples: int, rate: Fraction, wanted: int) -> None:
    assert frames_in(samples, 16000, rate) == wanted


@given(st.lists(st.integers(0, 9), max_size=8), st.lists(st.integers(0, 9), max_size=8))
def test_streams_of_different_parts(left: list[int], right: list[int]) -> None:
    a, b = np.arange(sum(left), dtype=np.float32), 100 + np.arange(sum(right), dtype=np.float32)
    streams = (np.split(a, np.cumsum(left)), np.split(b, np.cumsum(right)))
    got = list(together(*streams))
    count = min(len(a), len(b))
    assert [x.shape for x, _ in got] == [y.shape for _, y in got]
    np.testing.assert_array_equal(np.concatenate([np.zeros(0), *(x for x, _ in got)]), a[:count])
    np.testing.assert_array_equal(np.concatenate([np.zeros(0), *(y for _, y in got)]), b[:count])

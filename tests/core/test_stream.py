"""Concurrent streams: order, memory bounds, exceptions, early ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.stream import Channel, ordered_map, prefetch, worker_pool


class Source:
    """A counter from 0 that records the items read and the closing."""

    def __init__(self, stop: int, fail_at: int = -1) -> None:
        self.read, self.closed = 0, False
        self.stop, self.fail_at = stop, fail_at

    def __iter__(self) -> Iterator[int]:
        return self._numbers()

    def _numbers(self) -> Iterator[int]:
        try:
            for number in range(self.stop):
                if number == self.fail_at:
                    raise KeyError("broken source")
                self.read += 1
                yield number
        finally:
            self.closed = True


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(), max_size=20), st.integers(1, 5), st.integers(1, 4))
def test_prefetch_and_ordered_map_keep_all_items_in_order(
    items: list[int], depth: int, workers: int
) -> None:
    assert list(prefetch(iter(items), depth)) == items
    assert list(ordered_map(lambda x: x * 2, prefetch(items, depth), workers, depth)) == [
        x * 2 for x in items
    ]


def test_order_is_kept_when_later_items_are_faster() -> None:
    def slow_first(x: int) -> int:
        time.sleep(0.05 if x == 0 else 0)
        return x

    assert list(ordered_map(slow_first, range(8), 4, 4)) == list(range(8))


def test_prefetch_reads_ahead_no_further_than_its_depth() -> None:
    source = Source(100)
    stream = prefetch(iter(source), 3)
    assert next(stream) == 0
    time.sleep(0.05)
    assert source.read <= 5  # one taken, three waiting, one in the making
    stream.close()
    assert source.closed


def test_ordered_map_holds_no_more_than_its_depth() -> None:
    source = Source(100)
    stream = ordered_map(lambda x: x, iter(source), 2, 4)
    assert next(stream) == 0
    assert source.read == 4
    stream.close()
    assert source.closed


def test_an_error_of_the_source_follows_the_items_before_it() -> None:
    seen = []
    with pytest.raises(KeyError, match="broken source"):
        for item in prefetch(iter(Source(10, fail_at=3)), 2):
            seen.append(item)
    assert seen == [0, 1, 2]


def test_an_error_of_the_function_follows_the_items_before_it() -> None:
    seen = []
    source = Source(20)
    with pytest.raises(ZeroDivisionError):
        for item in ordered_map(lambda x: 6 // (3 - x), iter(source), 2, 3):
            seen.append(item)
    assert seen == [2, 3, 6]
    assert source.closed


def test_an_early_end_leaves_no_thread() -> None:
    before = threading.active_count()
    for stream in (
        prefetch(iter(Source(50)), 2),
        ordered_map(lambda x: x, prefetch(Source(50), 2), 3, 6),
    ):
        next(stream)
        with pytest.raises(KeyboardInterrupt):
            stream.throw(KeyboardInterrupt())
    assert threading.active_count() == before


def test_maps_that_share_a_pool_leave_it_open() -> None:
    with worker_pool(2) as pool:
        first = ordered_map(lambda x: x + 1, iter(range(50)), pool, 3)
        second = ordered_map(lambda x: 2 * x, first, pool, 3)
        assert [next(second), next(second)] == [2, 4]
        second.close()
        assert list(ordered_map(lambda x: -x, range(3), pool, 2)) == [0, -1, -2]


def test_put_fails_after_the_consumer_has_stopped() -> None:
    channel: Channel[int] = Channel(1)
    assert channel.put(1)
    channel.stop()
    assert not channel.put(2)
    assert list(channel) == []


def test_an_abandoned_stream_may_be_collected_by_its_own_thread() -> None:
    holder: list[object] = []

    def source() -> Iterator[int]:
        yield 1
        holder.clear()  # the last reference goes while the producer runs
        yield 2

    stream = prefetch(source(), 1)
    holder.append(stream)
    next(stream)
    del stream
    time.sleep(0.05)
    assert not any(
        thread.name == "prefetch" and thread.is_alive() for thread in threading.enumerate()
    )

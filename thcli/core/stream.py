"""Overlap in bounded memory: a thread that reads ahead, and a map over threads that keeps the order.

Both are generators: closing one early (or an exception in its consumer, or Ctrl-C) stops its threads, closes the iterable
that it reads and waits for both; what fails in a thread is raised in the consumer, in its turn.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Channel(Generic[T]):
    """A bounded first-in first-out queue between two threads, which either side can end.

    The producer ends it with `finish` (with its error, if it has one), the consumer with `stop`; nobody waits for a side that is gone.
    """

    def __init__(self, depth: int) -> None:
        self._depth = max(1, depth)
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self._stopped = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Waits for room. Returns False when the consumer is gone."""
        with self._changed:
            while len(self._items) >= self._depth and not self._stopped:
                self._changed.wait()
            if self._stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def finish(self, error: BaseException | None = None) -> None:
        """No more items will come; an error is raised in the consumer after the items before it."""
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Nobody reads any more: what waits is dropped, and `put` returns False."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not self._items and not self._finished and not self._stopped:
                    self._changed.wait()
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


def prefetch(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Yields `items`, read ahead by a thread of its own: at most `depth` of them wait (one more is in the making)."""
    channel: Channel[T] = Channel(depth)

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not channel.put(item):
                    break
        except BaseException as exc:  # noqa: BLE001  - not swallowed: it crosses over to the consumer
            error = exc
        finally:
            _close(items)
            channel.finish(error)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        yield from channel
    finally:
        channel.stop()
        if (
            thread is not threading.current_thread()
        ):  # the collector may close a forgotten generator from anywhere
            thread.join()


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], workers: int, depth: int
) -> Generator[R, None, None]:
    """Yields function(item) in the order of `items`, computed by `workers` threads with at most `depth` items in flight.

    `items` is read in the calling thread, as far ahead as `depth` says (put a `prefetch` around it to read it elsewhere).
    """
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="ordered_map")
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= max(1, depth):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        _close(items)


def _close(items: object) -> None:
    """A generator that is left early ends here and now, not when the collector finds it."""
    if isinstance(items, Generator):
        items.close()

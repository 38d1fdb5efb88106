"""Concurrency in bounded memory: a read-ahead thread, and an ordered map over threads.

Both are generators. Closing one early (also by an exception in its consumer, or Ctrl-C) stops its
threads, closes the iterable that it reads, and waits for both. An exception in a thread is raised
in the consumer, after the items before it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Channel(Generic[T]):
    """A bounded first-in first-out queue between two threads that either side can end.

    The producer ends it with `finish`, with its error if it has one; the consumer with `stop`.
    Neither waits for a side that has ended.
    """

    def __init__(self, depth: int) -> None:
        self._depth = max(1, depth)
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self._stopped = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Wait for room and append an item. Return False when the consumer has stopped."""
        with self._changed:
            while len(self._items) >= self._depth and not self._stopped:
                self._changed.wait()
            if self._stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def finish(self, error: BaseException | None = None) -> None:
        """End the queue; `error` is raised in the consumer after the remaining items."""
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Drop the waiting items; `put` returns False from now on."""
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
    """Yield `items`, read ahead by a separate thread.

    Args:
        items: any iterable; a generator is closed at the end.
        depth: most items that wait; one more is being produced.
    """
    channel: Channel[T] = Channel(depth)

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not channel.put(item):
                    break
        except BaseException as exc:  # noqa: BLE001  - not swallowed: it is raised in the consumer
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
        # the garbage collector may close an abandoned generator in any thread, this one included
        if thread is not threading.current_thread():
            thread.join()


def worker_pool(workers: int) -> ThreadPoolExecutor:
    """Return a pool of threads for `ordered_map`."""
    return ThreadPoolExecutor(max(1, workers), thread_name_prefix="ordered_map")


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], workers: int | ThreadPoolExecutor, depth: int
) -> Generator[R, None, None]:
    """Yield function(item) in the order of `items`, computed by a pool of threads.

    Args:
        function: called in the worker threads.
        items: read in the calling thread, up to `depth` ahead; wrap it in `prefetch` to read it in
            another thread.
        workers: number of threads, or a pool that several maps share; it stays open.
        depth: most items in flight.
    """
    pending: deque[Future[R]] = deque()
    pool = worker_pool(workers) if isinstance(workers, int) else workers
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= max(1, depth):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        wait([future for future in pending if not future.cancel()])
        if pool is not workers:
            pool.shutdown()
        _close(items)


def _close(items: object) -> None:
    """Close a generator now rather than when the garbage collector finds it."""
    if isinstance(items, Generator):
        items.close()

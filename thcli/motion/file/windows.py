"""A motion read from its first frame to its last, in parts that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator

from thcli.core.protocols import MotionStore
from thcli.core.types import Motion

WINDOW = 256  # frames of motion in memory


def windows(store: MotionStore, start: int = 0) -> Iterator[Motion]:
    """Yield the frames of a motion from number `start` on, at most WINDOW at a time."""
    return (store.window(first, first + WINDOW) for first in range(start, len(store), WINDOW))

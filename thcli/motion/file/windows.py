"""A motion read from its first frame to its last, in parts that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator

from thcli.core.protocols import MotionStore
from thcli.core.types import Motion

WINDOW = 256  # frames of motion in memory


def windows(store: MotionStore) -> Iterator[Motion]:
    """Yield the frames of a motion in order, at most WINDOW at a time; none of an empty one."""
    return (store.window(start, start + WINDOW) for start in range(0, len(store), WINDOW))

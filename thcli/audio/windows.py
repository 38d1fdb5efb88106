"""Short windows of a sound in blocks of any size; the result does not depend on the blocks.

Frame t is centred at sample t * hop, with silence before the beginning and after the end. A sound
of N samples has ceil(N / hop) frames. Windows are processed in groups at fixed positions of
the sound, so that even rounding does not depend on the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from thcli.core.types import Array32

WINDOWS_PER_GROUP = 128  # windows processed at once


def map_windows(
    blocks: Iterable[Array32],
    hop: int,
    window: int,
    function: Callable[[Array32], Array32],
    first: int = 0,
) -> Iterator[Array32]:
    """Apply a function to all windows of a sound, group by group.

    Args:
        blocks: (N,) float32 each.
        hop, window: samples.
        function: maps (WINDOWS_PER_GROUP, window) read-only float32 to (WINDOWS_PER_GROUP, ...).
        first: sample at which frame 0 is centred; there are ceil((N - first) / hop) frames.

    Returns:
        (T, ...) parts that together hold every frame.
    """
    step = WINDOWS_PER_GROUP * hop
    span = step - hop + window
    available, skip = max(0, window // 2 - first), max(0, first - window // 2)
    pending: list[Array32] = [np.zeros(available, np.float32)]
    seen_samples, frame_count = -first, 0
    for block in blocks:
        seen_samples += len(block)
        kept = np.asarray(block, np.float32)[skip:]
        skip = max(0, skip - len(block))
        pending.append(kept)
        available += len(kept)
        while available >= span:
            sound = np.concatenate(pending)
            yield function(sliding_window_view(sound[:span], window)[::hop])
            pending, available, frame_count = (
                [sound[step:]],
                available - step,
                frame_count + WINDOWS_PER_GROUP,
            )
    remaining = -(-seen_samples // hop) - frame_count
    while remaining > 0:
        sound = np.concatenate([*pending, np.zeros(max(0, span - available), np.float32)])
        yield function(sliding_window_view(sound[:span], window)[::hop])[:remaining]
        pending, available, remaining = (
            [sound[step:]],
            len(sound) - step,
            remaining - WINDOWS_PER_GROUP,
        )


def concatenate_parts(parts: Iterable[Array32], *shape: int) -> Array32:
    """Concatenate parts; (0, *shape) when there are none."""
    return np.concatenate([np.zeros((0, *shape), np.float32), *parts])

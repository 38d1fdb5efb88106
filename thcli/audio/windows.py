"""Short windows of a sound that comes in blocks of any size: the same numbers whatever the blocks.

Frame t is centred at sample t * hop, with silence before the beginning and after the end; a sound of N samples has ceil(N / hop)
frames. Windows are worked on in groups that lie at fixed places of the sound, so that not even the rounding depends on the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from thcli.core.types import Array32

GROUP = 128  # windows worked on at once


def framed(
    blocks: Iterable[Array32],
    hop: int,
    window: int,
    function: Callable[[Array32], Array32],
    first: int = 0,
) -> Iterator[Array32]:
    """function of all windows of a sound, group by group: (GROUP, window) float32, read-only -> (GROUP, ...), the last cut short.

    blocks: (N,) float32 each.  hop, window: samples.  first: where frame 0 is centred; then there are
    ceil((N - first) / hop) frames.  Gives (T, ...) arrays which put together hold every frame.
    """
    step = GROUP * hop
    span = step - hop + window
    have, drop = max(0, window // 2 - first), max(0, first - window // 2)
    held: list[Array32] = [np.zeros(have, np.float32)]
    samples, done = -first, 0
    for block in blocks:
        samples += len(block)
        kept = np.asarray(block, np.float32)[drop:]
        drop = max(0, drop - len(block))
        held.append(kept)
        have += len(kept)
        while have >= span:
            sound = np.concatenate(held)
            yield function(sliding_window_view(sound[:span], window)[::hop])
            held, have, done = [sound[step:]], have - step, done + GROUP
    left = -(-samples // hop) - done
    while left > 0:
        sound = np.concatenate([*held, np.zeros(max(0, span - have), np.float32)])
        yield function(sliding_window_view(sound[:span], window)[::hop])[:left]
        held, have, left = [sound[step:]], len(sound) - step, left - GROUP


def joined(parts: Iterable[Array32], *shape: int) -> Array32:
    """Parts one after the other; (0, *shape) when there are none."""
    return np.concatenate([np.zeros((0, *shape), np.float32), *parts])

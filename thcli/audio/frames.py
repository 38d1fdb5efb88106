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


def framed(blocks: Iterable[Array32], hop: int, window: int, function: Callable[[Array32], Array32]) -> Iterator[Array32]:  # fmt: skip
    """function of all windows of a sound, group by group: (GROUP, window) float32, read-only -> (GROUP, ...), the last cut short.

    blocks: (N,) float32 each.  hop, window: samples.  Gives (T, ...) arrays which put together hold every frame.
    """
    step = GROUP * hop
    span = step - hop + window
    held: list[Array32] = [np.zeros(window // 2, np.float32)]
    have = window // 2
    samples = done = 0
    for block in blocks:
        held.append(np.asarray(block, np.float32))
        have += len(block)
        samples += len(block)
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

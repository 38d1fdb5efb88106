"""The likeliest path through candidates of a sound that does not fit into memory: Viterbi's algorithm, which gives what is decided.

A frame is decided when the best paths to all candidates of the newest frame have it in common; pauses decide everything before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

_MOST = 4096  # frames that wait for their decision; then the best path so far decides
_NEVER = np.float32(1e6)


@dataclass(frozen=True, slots=True)
class Costs:
    """jump: of an octave between two voiced frames.  voicing: of a change between voiced and unvoiced."""

    jump: float
    voicing: float


def likeliest(parts: Iterable[Array32], costs: Costs) -> Iterator[Array32]:
    """(T, C, 2) Hz and strength of each candidate (0: unvoiced, the others 0 Hz where there are none) -> parts (T,) of Hz, 0 unvoiced.

    Maximises the sum of strengths less the costs of the changes. Candidate 0 is there in every frame.
    """
    waiting = _Waiting()
    last: Array32 | None = None  # the candidates' Hz in the newest frame
    score = np.zeros(0, np.float32)
    for part in parts:
        hertz, strength = part[..., 0], part[..., 1].copy()
        strength[:, 1:][hertz[:, 1:] <= 0] = -_NEVER
        before = np.concatenate([hertz[:1] if last is None else last[None], hertz[:-1]])
        change = _changes(before, hertz, costs)
        back = np.zeros(hertz.shape, np.int16)
        for t in range(len(part)):
            if last is None and t == 0:
                score = strength[0]
                continue
            reached = score[:, None] - change[t]
            back[t] = reached.argmax(axis=0)
            score = reached[back[t], np.arange(len(score))] + strength[t]
            score -= score.max()
        last = hertz[-1] if len(part) else last
        waiting.add(hertz, back)
        yield waiting.decided(score)
    yield waiting.all(score)


def _changes(before: Array32, after: Array32, costs: Costs) -> Array32:
    """(T, C, C) cost from each candidate of the frame before to each of this."""
    old, new = before > 0, after > 0
    octaves = np.abs(
        np.log2(np.where(old, before, 1))[:, :, None] - np.log2(np.where(new, after, 1))[:, None]
    )
    both, neither = old[:, :, None] & new[:, None], ~old[:, :, None] & ~new[:, None]
    found: Array32 = np.where(
        both, costs.jump * octaves, np.where(neither, 0, costs.voicing)
    ).astype(np.float32)
    return found


class _Waiting:
    """Frames whose candidate is not chosen yet. hertz: (T, C).  back: (T, C) where the best path to a candidate comes from."""

    def __init__(self) -> None:
        self._hertz: Array32 | None = None
        self._back: npt.NDArray[np.int16] = np.zeros((0, 0), np.int16)

    def add(self, hertz: Array32, back: npt.NDArray[np.int16]) -> None:
        if self._hertz is None:
            self._hertz, self._back = hertz, back
        else:
            self._hertz = np.concatenate([self._hertz, hertz])
            self._back = np.concatenate([self._back, back])

    def decided(self, score: Array32) -> Array32:
        """Takes out what all paths have in common."""
        if self._hertz is None:
            return np.zeros(0, np.float32)
        if len(self._hertz) > _MOST:
            return self._take(len(self._hertz) - 1, int(score.argmax()), keep=1)
        alive = np.arange(len(score))
        for t in range(len(self._hertz) - 1, 0, -1):
            alive = np.unique(self._back[t][alive])
            if len(alive) == 1:
                return self._take(t - 1, int(alive[0]), keep=len(self._hertz) - t)
        return np.zeros(0, np.float32)

    def all(self, score: Array32) -> Array32:
        """Takes out the rest along the best path."""
        if self._hertz is None or not len(self._hertz):
            return np.zeros(0, np.float32)
        return self._take(len(self._hertz) - 1, int(score.argmax()), keep=0)

    def _take(self, end: int, candidate: int, keep: int) -> Array32:
        assert self._hertz is not None
        chosen = np.zeros(end + 1, np.float32)
        for t in range(end, -1, -1):
            chosen[t] = self._hertz[t, candidate]
            candidate = int(self._back[t, candidate])
        left = len(self._hertz) - keep
        self._hertz, self._back = self._hertz[left:], self._back[left:]
        return chosen[:left]

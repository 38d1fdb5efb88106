"""Viterbi decoding of a path through candidates, for sounds that do not fit into memory.

A frame is decided when the best paths to all candidates of the newest frame agree on it. Pauses
decide all frames before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

_MAX_UNDECIDED = 4096  # frames; beyond it the best path so far decides
_FORBIDDEN = np.float32(1e6)


@dataclass(frozen=True, slots=True)
class TransitionCosts:
    """Costs of a path.

    Attributes:
        jump: per octave between two voiced frames.
        voicing: per change between voiced and unvoiced.
    """

    jump: float
    voicing: float


def decode_path(parts: Iterable[Array32], costs: TransitionCosts) -> Iterator[Array32]:
    """Yield the path with the largest sum of strengths less transition costs.

    Args:
        parts: (T, C, 2) Hz and strength of each candidate. Candidate 0 is unvoiced and present in
            every frame; an absent candidate has 0 Hz.
        costs: costs of transitions.

    Returns:
        (T,) parts of Hz, 0 for unvoiced.
    """
    undecided = _UndecidedFrames()
    last: Array32 | None = None  # (C,) Hz of the newest frame's candidates
    score = np.zeros(0, np.float32)
    for part in parts:
        hertz, strength = part[..., 0], part[..., 1].copy()
        strength[:, 1:][hertz[:, 1:] <= 0] = -_FORBIDDEN
        previous = np.concatenate([hertz[:1] if last is None else last[None], hertz[:-1]])
        transition = _transition_costs(previous, hertz, costs)
        backpointers = np.zeros(hertz.shape, np.int16)
        for t in range(len(part)):
            if last is None and t == 0:
                score = strength[0]
                continue
            reachable = score[:, None] - transition[t]
            backpointers[t] = reachable.argmax(axis=0)
            score = reachable[backpointers[t], np.arange(len(score))] + strength[t]
            score -= score.max()
        last = hertz[-1] if len(part) else last
        undecided.add(hertz, backpointers)
        yield undecided.pop_decided(score)
    yield undecided.pop_all(score)


def _transition_costs(before: Array32, after: Array32, costs: TransitionCosts) -> Array32:
    """Return (T, C, C) costs from each candidate of the frame before to each of the frame after."""
    was_voiced, is_voiced = before > 0, after > 0
    octaves = np.abs(
        np.log2(np.where(was_voiced, before, 1))[:, :, None]
        - np.log2(np.where(is_voiced, after, 1))[:, None]
    )
    both = was_voiced[:, :, None] & is_voiced[:, None]
    neither = ~was_voiced[:, :, None] & ~is_voiced[:, None]
    result: Array32 = np.where(
        both, costs.jump * octaves, np.where(neither, 0, costs.voicing)
    ).astype(np.float32)
    return result


class _UndecidedFrames:
    """Frames without a decision: (T, C) Hz of their candidates and (T, C) backpointers."""

    def __init__(self) -> None:
        self._hertz: Array32 | None = None
        self._back: npt.NDArray[np.int16] = np.zeros((0, 0), np.int16)

    def add(self, hertz: Array32, back: npt.NDArray[np.int16]) -> None:
        if self._hertz is None:
            self._hertz, self._back = hertz, back
        else:
            self._hertz = np.concatenate([self._hertz, hertz])
            self._back = np.concatenate([self._back, back])

    def pop_decided(self, score: Array32) -> Array32:
        """Remove and return the frames on which all paths agree."""
        if self._hertz is None:
            return np.zeros(0, np.float32)
        if len(self._hertz) > _MAX_UNDECIDED:
            return self._pop(len(self._hertz) - 1, int(score.argmax()), keep=1)
        reached = np.arange(len(score))
        for t in range(len(self._hertz) - 1, 0, -1):
            reached = np.unique(self._back[t][reached])
            if len(reached) == 1:
                return self._pop(t - 1, int(reached[0]), keep=len(self._hertz) - t)
        return np.zeros(0, np.float32)

    def pop_all(self, score: Array32) -> Array32:
        """Remove and return the remaining frames along the best path."""
        if self._hertz is None or not len(self._hertz):
            return np.zeros(0, np.float32)
        return self._pop(len(self._hertz) - 1, int(score.argmax()), keep=0)

    def _pop(self, end: int, candidate: int, keep: int) -> Array32:
        assert self._hertz is not None
        chosen = np.zeros(end + 1, np.float32)
        for t in range(end, -1, -1):
            chosen[t] = self._hertz[t, candidate]
            candidate = int(self._back[t, candidate])
        left = len(self._hertz) - keep
        self._hertz, self._back = self._hertz[left:], self._back[left:]
        return chosen[:left]

"""Rate control: the quality follows the bits that were sent."""

from __future__ import annotations

from fractions import Fraction

from thcli.motion.codec.frames import LEVELS

_WINDOW = 1.0  # seconds of the target that may be owed or saved
_PAUSE = 0.2  # seconds between two changes


class RateControl:
    """Level of the next frame for a target.

    kbits: target in kbit/s, None to keep the level.
    """

    def __init__(self, kbits: float | None) -> None:
        self._kbits = kbits
        self._owed = 0.0  # bits beyond the target
        self._last: Fraction | None = None
        self._changed: Fraction | None = None

    def next_level(self, level: int, bits: int, now: Fraction) -> int:
        """Return the level of the next frame.

        Args:
            level: of this frame.
            bits: of this frame.
            now: its time in seconds.
        """
        if self._kbits is None:
            return level
        per_second = 1000 * self._kbits
        passed = 0.0 if self._last is None else float(now - self._last)
        self._last = now
        most = _WINDOW * per_second
        self._owed = min(max(self._owed + bits - passed * per_second, -most), 8 * most)
        if self._changed is not None and now - self._changed < _PAUSE:
            return level
        step = (self._owed > most / 2) - (self._owed < -most / 2)
        if step:
            self._changed = now
        return min(max(level + step, 0), LEVELS - 1)

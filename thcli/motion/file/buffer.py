"""Motion in memory."""

from __future__ import annotations

from dataclasses import dataclass

from thcli.core.types import Motion


@dataclass(frozen=True, slots=True)
class MotionBuffer:
    """A short motion in memory as a MotionStore."""

    motion: Motion

    @property
    def kind(self) -> str:
        return self.motion.kind

    def __len__(self) -> int:
        return len(self.motion)

    def window(self, start: int, stop: int) -> Motion:
        """Return frames start..stop, limited to the motion's frames."""
        return self.motion[max(start, 0) : max(stop, 0)]

"""Free view of face vid2vid: head poses of a file in place of the driver's."""

from __future__ import annotations

import numpy as np

from thcli.core.options import MotionOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import Array32
from thcli.engines.shared.motion_rows import Rows, SmoothedMotion
from thcli.motion.control.poses import ANGLES, PoseCurve

YAW_PITCH_ROLL = [ANGLES.index(name) for name in ("yaw", "pitch", "roll")]


class PosedDriving(SmoothedMotion):
    """A driver whose head has given poses at the source's place; its expression stays."""

    def __init__(
        self, store: MotionStore, options: MotionOptions, poses: PoseCurve, source: Rows
    ) -> None:
        """Read which frames show a face. Raises as `SmoothedMotion`.

        Args:
            store: the driver's motion.
            options: mode and smoothing.
            poses: head poses; absolute angles, or turns of the source's head since the first.
            source: the source's own motion, (1, ...) each.
        """
        super().__init__(store, "facevid2vid", options.smooth, causal=options.causal)
        self.poses, self.shift = poses, source["shift"]
        self.origin = np.zeros((1, 3))
        if options.mode == "relative":
            self.origin = source["angles"] - poses.degrees[:1, YAW_PITCH_ROLL]

    def rows(self, start: int, stop: int) -> Rows:
        """Return the rows of frames start..stop, the head's as given and not smoothed."""
        rows = super().rows(start, stop)
        degrees = self.poses.sample(self.seconds[start:stop] - self.seconds[0])
        angles: Array32 = (degrees[:, YAW_PITCH_ROLL] + self.origin).astype(np.float32)
        return rows | {"angles": angles, "shift": np.repeat(self.shift, len(angles), 0)}

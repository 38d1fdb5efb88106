"""The three small networks at work: stitching to the source's shoulders, opening eyes and lips as far as asked.

Every frame is computed by itself, so that a result does not depend on how frames are grouped. Keypoints are (T, 21, 3).
Source: LivePortrait src/live_portrait_wrapper.py at 1986663.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from thcli.core.options import LivePortraitOptions
from thcli.core.types import Array32
from thcli.engines.liveportrait.networks import Layers

PARTED = 0.03  # lip opening of the source from which its mouth counts as open


class Corrections(NamedTuple):
    """Networks on the CPU."""

    stitching: Layers
    lips: Layers
    eyes: Layers

    def stitched(self, own: Array32, moved: Array32) -> Array32:
        """The moved keypoints, corrected so that what lies around the face stays where it is in the source."""
        out = self.stitching_raw(own, moved)
        moved = moved + out[:, :63].reshape(-1, 21, 3)
        moved[..., :2] += out[:, None, 63:]
        return moved

    def stitching_raw(self, own: Array32, moved: Array32) -> Array32:
        """(T, 65): a correction of each keypoint, and a shift in x and y of all."""
        return _rows(self.stitching, own.reshape(-1, 63), moved.reshape(-1, 63))

    def eye_change(self, own: Array32, eyes: Array32, target: Array32) -> Array32:
        """Correction that opens eyes, now open by `eyes` (T, 2), to `target` (T, 1)."""
        return _rows(self.eyes, own.reshape(-1, 63), eyes, target).reshape(-1, 21, 3)

    def lip_change(self, own: Array32, lips: Array32, target: Array32) -> Array32:
        """Correction that opens lips, now open by `lips` (T, 1), to `target` (T, 1)."""
        return _rows(self.lips, own.reshape(-1, 63), lips, target).reshape(-1, 21, 3)

    def closing(self, own: Array32, openings: Array32) -> Array32:
        """Correction that closes the lips of each source frame where they are parted; openings (T, 3)."""
        change = self.lip_change(own, openings[:, 2:], np.zeros_like(openings[:, 2:]))
        return np.where(openings[:, 2:, None] >= PARTED, change, np.float32(0))

    def apply(
        self,
        own: Array32,
        moved: Array32,
        openings: tuple[Array32, Array32],
        options: LivePortraitOptions,
        *,
        relative: bool,
        added: Array32 | None = None,
    ) -> Array32:
        """What is asked for, in the reference's order.

        own: the source's keypoints (1 or T rows).  openings: (1 or T, 3) of the source and (T, 3) of the driver.  added: to be added after stitching.
        As in the reference, relative motion is dropped where eyes or lips are retargeted: they alone move.
        """
        mine, theirs = openings
        if options.retarget_eyes or options.retarget_lips:
            out = np.broadcast_to(own, (max(len(own), len(theirs)), 21, 3)) if relative else moved
            if options.retarget_eyes:
                out = out + self.eye_change(
                    own, mine[:, :2], theirs[:, :1]
                )  # the driver's left eye is the target of both
            if options.retarget_lips:
                out = out + self.lip_change(own, mine[:, 2:], theirs[:, 2:])
            return self.stitched(own, out) if options.stitching else out
        out = self.stitched(own, moved) if options.stitching else moved
        if options.close_lips and relative:
            out = out + self.closing(own, mine)
        return out if added is None else out + added


def _rows(network: Layers, *parts: Array32) -> Array32:
    """The network's output for each row of the parts side by side."""
    count = max(len(part) for part in parts)
    rows = np.concatenate(
        [np.broadcast_to(part, (count, part.shape[1])) for part in parts], 1
    ).astype(np.float32)
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        return np.concatenate(
            [network(torch.from_numpy(rows[i : i + 1])).numpy() for i in range(count)]
        )

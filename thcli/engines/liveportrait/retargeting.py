"""The three small networks that correct keypoints: stitching, eyes and lips.

Every frame is computed by itself, so that a result does not depend on how frames are grouped.
Keypoints are (T, 21, 3).
Source: LivePortrait src/live_portrait_wrapper.py at 1986663.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from thcli.core.options import LivePortraitOptions
from thcli.core.types import Array32
from thcli.engines.liveportrait.networks import Mlp

PARTED_LIPS = 0.03  # lip opening of the source from which its mouth counts as open


class RetargetingNetworks(NamedTuple):
    """Stitching and retargeting networks, on the CPU."""

    stitching: Mlp
    lips: Mlp
    eyes: Mlp

    def stitch(self, own: Array32, moved: Array32) -> Array32:
        """Correct moved keypoints so that the surroundings of the face stay as in the source."""
        out = self.stitching_output(own, moved)
        moved = moved + out[:, :63].reshape(-1, 21, 3)
        moved[..., :2] += out[:, None, 63:]
        return moved

    def stitching_output(self, own: Array32, moved: Array32) -> Array32:
        """Compute (T, 65): an offset of each keypoint, then a shift of all in x and y."""
        return _run_by_row(self.stitching, own.reshape(-1, 63), moved.reshape(-1, 63))

    def eye_offsets(self, own: Array32, eyes: Array32, target: Array32) -> Array32:
        """Compute offsets that open eyes from openings `eyes` (T, 2) to `target` (T, 1)."""
        return _run_by_row(self.eyes, own.reshape(-1, 63), eyes, target).reshape(-1, 21, 3)

    def lip_offsets(self, own: Array32, lips: Array32, target: Array32) -> Array32:
        """Compute offsets that open lips from openings `lips` (T, 1) to `target` (T, 1)."""
        return _run_by_row(self.lips, own.reshape(-1, 63), lips, target).reshape(-1, 21, 3)

    def lip_closing_offsets(self, own: Array32, openings: Array32) -> Array32:
        """Compute offsets that close the lips of source frames in which they are parted.

        openings: (T, 3).
        """
        offsets = self.lip_offsets(own, openings[:, 2:], np.zeros_like(openings[:, 2:]))
        return np.where(openings[:, 2:, None] >= PARTED_LIPS, offsets, np.float32(0))

    def apply(
        self,
        own: Array32,
        moved: Array32,
        openings: tuple[Array32, Array32],
        options: LivePortraitOptions,
        *,
        relative: bool,
        extra_offsets: Array32 | None = None,
    ) -> Array32:
        """Apply the options' corrections in the reference's order.

        As in the reference, relative motion is dropped when eyes or lips are retargeted: they
        alone move.

        Args:
            own: the source's keypoints (1 or T rows).
            moved: the target keypoints.
            openings: (1 or T, 3) of the source and (T, 3) of the driver.
            options: the corrections.
            relative: the motion is relative.
            extra_offsets: (T, 21, 3) added after stitching.
        """
        own_openings, driving_openings = openings
        if options.retarget_eyes or options.retarget_lips:
            frames = max(len(own), len(driving_openings))
            out = np.broadcast_to(own, (frames, 21, 3)) if relative else moved
            if options.retarget_eyes:
                # the driver's left eye is the target of both
                out = out + self.eye_offsets(own, own_openings[:, :2], driving_openings[:, :1])
            if options.retarget_lips:
                out = out + self.lip_offsets(own, own_openings[:, 2:], driving_openings[:, 2:])
            return self.stitch(own, out) if options.stitching else out
        out = self.stitch(own, moved) if options.stitching else moved
        if options.close_lips and relative:
            out = out + self.lip_closing_offsets(own, own_openings)
        return out if extra_offsets is None else out + extra_offsets


def _run_by_row(network: Mlp, *parts: Array32) -> Array32:
    """Run a network on each row of the concatenated parts (T, C), float32."""
    count = max(len(part) for part in parts)
    repeated = [np.broadcast_to(part, (count, part.shape[1])) for part in parts]
    rows = np.concatenate(repeated, 1).astype(np.float32)
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        outputs = [network(torch.from_numpy(rows[i : i + 1])).numpy() for i in range(count)]
    return np.concatenate(outputs)

"""Inputs of the LivePortrait stages: numbers, images, points and motion by offset."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tests.golden import fill
from thcli.core.types import Array32
from thcli.engines.liveportrait.transfer import HeadMotion, rotation


class GoldenInputs:
    """Numbers, images and points of an offset."""

    def __init__(self, offset: int):
        self.offset = offset

    def normal(self, index: int, *shape: int) -> Array32:
        return fill.normal(f"LIVEPORTRAIT/input-{index}", shape, self.offset)

    def image(self, index: int) -> Tensor:
        return torch.from_numpy(1 / (1 + np.exp(-self.normal(index, 1, 3, 256, 256))))

    def points(self, index: int, count: int = 203) -> Array32:
        """Create a face of 203 or 106 points."""
        q = 60 * self.normal(index, count, 2).astype(np.float64)
        left, right, mouth, angle = (
            (slice(0, 24), slice(24, 48), slice(48, 108), 0.25)
            if count == 203
            else (slice(33, 43), slice(87, 97), slice(52, 72), -0.35)
        )
        q[left] = 0.15 * q[left] + (-60, -50)
        q[right] = 0.15 * q[right] + (60, -50)
        q[mouth] = 0.3 * q[mouth] + (0, 80)
        c, s = np.cos(angle), np.sin(angle)
        return np.asarray(q @ np.array([[c, s], [-s, c]]) + (480, 390), np.float32)

    def rows(self, base: int) -> tuple[HeadMotion, Array32, Array32]:
        """Create five frames: motion, canonical keypoints, openings."""
        moves = HeadMotion(
            1 + 0.05 * self.normal(base, 5, 1, 1)[..., 0],
            rotation(10 * self.normal(base + 1, 5, 3)),
            0.02 * self.normal(base + 2, 5, 1, 21, 3)[:, 0],
            0.05 * self.normal(base + 3, 5, 1, 3)[:, 0],
        )
        eyes = np.abs(0.3 + 0.05 * self.normal(base + 5, 5, 1, 2)[:, 0])
        lips = np.abs(0.1 * self.normal(base + 6, 5, 1, 1)[:, 0])
        return (
            moves,
            0.3 * self.normal(base + 4, 5, 1, 21, 3)[:, 0],
            np.concatenate([eyes, lips], 1),
        )

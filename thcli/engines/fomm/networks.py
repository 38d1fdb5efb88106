"""The two networks of the first-order model, keys as published (configs vox-256 and vox-adv-256).

Pictures are (B, 3, 256, 256) float32 RGB in [0, 1]; points and grids as in `blocks.grid`.
Source: first-order-model modules/{keypoint_detector,dense_motion,generator}.py at c027484.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.networks import grid
from thcli.engines.shared.networks.layers import (
    AntiAlias,
    Down,
    Hourglass,
    Same,
    Up,
    convolution,
    residuals,
)

KEYPOINTS = 10


class Keypoints(NamedTuple):
    """value: (B, K, 2) points.  jacobian: (B, K, 2, 2), row-major, the local affine map."""

    value: Tensor
    jacobian: Tensor


class Encoded(NamedTuple):
    """What a source gives once. small: (1, 3, 64, 64) the reduced picture.  feature: (1, 256, 64, 64).  keypoints: of the source."""

    small: Tensor
    feature: Tensor
    keypoints: Keypoints


class Field(NamedTuple):
    """Dense motion at 64 x 64. deformation: (B, 64, 64, 2).  occlusion: (B, 1, 64, 64) in 0..1.  mask: (B, K+1, 64, 64).

    moved: (B, K+1, 3, 64, 64) the small source under each keypoint's own motion, background first.
    """

    deformation: Tensor
    occlusion: Tensor
    mask: Tensor
    moved: Tensor


class KeypointDetector(nn.Module):
    """Picture -> keypoints.

    single_jacobian: one map of local affine maps for all keypoints (config mgif).  narrow: divides every width (1: as published).
    """

    VERBATIM = True

    def __init__(self, *, single_jacobian: bool = False, narrow: int = 1):
        super().__init__()
        self.predictor = Hourglass(32 // narrow, 3, 5, 1024 // narrow)
        # The heatmap loses 3 pixels a side, yet its grid spans -1..1, as published.
        self.kp = convolution(2, self.predictor.channels, KEYPOINTS, 7, padding=0)
        maps = 1 if single_jacobian else KEYPOINTS
        self.jacobian = convolution(2, self.predictor.channels, 4 * maps, 7, padding=0)
        self.down = AntiAlias(3, 4)

    def forward(self, picture: Tensor) -> Keypoints:
        feature = self.predictor(self.down(picture))
        heat = grid.softmax_maps(self.kp(feature).float(), 0.1)
        maps = self.jacobian(feature).float()
        maps = maps.view(len(maps), -1, 4, *maps.shape[2:])
        jacobian = (maps * heat[:, :, None]).sum((-1, -2))
        points = grid.identity((heat.shape[2], heat.shape[3]), heat.device, heat.dtype)
        value = (heat[..., None] * points).sum((2, 3))  # in the published order, bit for bit
        return Keypoints(value, jacobian.view(*jacobian.shape[:2], 2, 2))


class DenseMotion(nn.Module):
    """Small source and two sets of keypoints -> where each output pixel comes from, and whether it can be seen."""

    VERBATIM = True

    def __init__(self, *, aligned: bool, narrow: int = 1):
        super().__init__()
        self.hourglass = Hourglass(64 // narrow, 4 * (KEYPOINTS + 1), 5, 1024 // narrow)
        self.mask = convolution(2, self.hourglass.channels, KEYPOINTS + 1, 7)
        self.occlusion = convolution(2, self.hourglass.channels, 1, 7)
        self.down = AntiAlias(3, 4)
        self.aligned = aligned

    def forward(self, small: Tensor, source: Keypoints, driving: Keypoints) -> Field:
        batch, size = len(driving.value), (small.shape[2], small.shape[3])
        heat = grid.gaussians(driving.value, size, 0.01) - grid.gaussians(source.value, size, 0.01)
        heat = F.pad(heat, (0, 0, 0, 0, 1, 0))  # background first: no heat
        motions = self.sparse(size, source, driving)
        copies = small[:, None].expand(batch, motions.shape[1], *small.shape[1:]).flatten(0, 1)
        moved = grid.sample(copies, motions.flatten(0, 1), aligned=self.aligned).view(
            batch, -1, *small.shape[1:]
        )
        feature = self.hourglass(torch.cat([heat[:, :, None], moved], 2).flatten(1, 2))
        mask = F.softmax(self.mask(feature).float(), 1)
        deformation = (motions.permute(0, 1, 4, 2, 3) * mask[:, :, None]).sum(1).permute(0, 2, 3, 1)
        return Field(deformation, torch.sigmoid(self.occlusion(feature).float()), mask, moved)

    @staticmethod
    def sparse(size: tuple[int, int], source: Keypoints, driving: Keypoints) -> Tensor:
        """(B, K+1, h, w, 2): T(z) = J_source J_driving^-1 (z - driving) + source of each keypoint; identity first."""
        base = grid.identity(size, driving.value.device, driving.value.dtype)
        linear = source.jacobian @ torch.linalg.inv(driving.jacobian)
        away = base - driving.value[:, :, None, None]
        motions = (linear[:, :, None, None] @ away[..., None])[..., 0] + source.value[
            :, :, None, None
        ]
        return torch.cat([base.expand(len(motions), 1, -1, -1, -1), motions], 1)


class Generator(nn.Module):
    """Warps the source's features by the dense motion, hides what was not seen, and paints.

    aligned: align_corners of every grid reading; True is what the published checkpoints were trained with (torch 1.0).
    narrow: divides every width (1: as published).
    """

    def __init__(self, *, aligned: bool = True, narrow: int = 1):
        super().__init__()
        a, b, c = 64 // narrow, 128 // narrow, 256 // narrow
        self.dense_motion_network = DenseMotion(aligned=aligned, narrow=narrow)
        self.first = Same(3, a, 7)
        self.down_blocks = nn.ModuleList([Down(a, b), Down(b, c)])
        self.up_blocks = nn.ModuleList([Up(c, b), Up(b, a)])
        self.bottleneck = residuals("r", 6, c)
        self.final = convolution(2, a, 3, 7)
        self.aligned = aligned

    def encode(self, picture: Tensor, keypoints: Keypoints) -> Encoded:
        """The part that depends on the source alone; picture (1, 3, 256, 256)."""
        feature = self.first(picture)
        for block in self.down_blocks:
            feature = block(feature)
        return Encoded(self.dense_motion_network.down(picture), feature, keypoints)

    def motion(self, source: Encoded, driving: Keypoints) -> Field:
        """Dense motion for a batch of driving keypoints."""
        out: Field = self.dense_motion_network(source.small, source.keypoints, driving)
        return out

    def paint(self, source: Encoded, field: Field) -> Tensor:
        """The picture (B, 3, 256, 256) in [0, 1]."""
        feature = source.feature.expand(len(field.deformation), -1, -1, -1)
        warped = grid.sample(feature, field.deformation, aligned=self.aligned) * field.occlusion
        x = self.bottleneck(warped)
        for block in self.up_blocks:
            x = block(x)
        return torch.sigmoid(self.final(x).float())

    def forward(self, source: Encoded, driving: Keypoints) -> Tensor:
        return self.paint(source, self.motion(source, driving))

    def deformed(self, picture: Tensor, field: Field) -> Tensor:
        """The source picture itself under the deformation: what training looks at."""
        height, width = picture.shape[2:]
        fine = F.interpolate(
            field.deformation.permute(0, 3, 1, 2),
            (height, width),
            mode="bilinear",
            align_corners=False,
        )
        return grid.sample(
            picture.expand(len(fine), -1, -1, -1), fine.permute(0, 2, 3, 1), aligned=self.aligned
        )

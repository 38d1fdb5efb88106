"""The two networks of the first-order model, with the keys as published.

Configs vox-256 and vox-adv-256. Images are (B, 3, 256, 256) float32 RGB in [0, 1]; points and grids
as in `shared.networks.grid`.
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
    DownBlock,
    Hourglass,
    PyramidSize,
    SameBlock,
    UpBlock,
    convolution,
    residual_blocks,
)

KEYPOINTS = 10


class Keypoints(NamedTuple):
    """Keypoints with local affine maps.

    value: (B, K, 2) points.  jacobian: (B, K, 2, 2), row-major.
    """

    value: Tensor
    jacobian: Tensor


class EncodedSource(NamedTuple):
    """Features of a source, computed once.

    small: (1, 3, 64, 64) downsampled image.  feature: (1, 256, 64, 64).  keypoints: of the source.
    """

    small: Tensor
    feature: Tensor
    keypoints: Keypoints


class MotionField(NamedTuple):
    """Dense motion at 64 x 64.

    deformation: (B, 64, 64, 2) sampling grid.  occlusion: (B, 1, 64, 64) in 0..1.  mask: (B, K+1,
    64, 64).  sparse_deformed: (B, K+1, 3, 64, 64), the downsampled source under each keypoint's own
    motion, background first.
    """

    deformation: Tensor
    occlusion: Tensor
    mask: Tensor
    sparse_deformed: Tensor


class KeypointDetector(nn.Module):
    """Keypoint detector.

    single_jacobian: one local affine map for all keypoints (config mgif).  width_divisor: divides
    every width (1: as published).
    """

    VERBATIM = True

    def __init__(self, *, single_jacobian: bool = False, width_divisor: int = 1):
        super().__init__()
        size = PyramidSize(32 // width_divisor, 3, 5, 1024 // width_divisor)
        self.predictor = Hourglass(size)
        # The heatmap loses 3 pixels a side, yet its grid spans -1..1, as published.
        self.kp = convolution(2, self.predictor.channels, KEYPOINTS, 7, padding=0)
        maps = 1 if single_jacobian else KEYPOINTS
        self.jacobian = convolution(2, self.predictor.channels, 4 * maps, 7, padding=0)
        self.down = AntiAlias(3, 4)

    def forward(self, image: Tensor) -> Keypoints:
        feature = self.predictor(self.down(image))
        heat = grid.softmax_maps(self.kp(feature).float(), 0.1)
        maps = self.jacobian(feature).float()
        maps = maps.view(len(maps), -1, 4, *maps.shape[2:])
        jacobian = (maps * heat[:, :, None]).sum((-1, -2))
        points = grid.identity((heat.shape[2], heat.shape[3]), heat.device, heat.dtype)
        value = (heat[..., None] * points).sum((2, 3))  # in the published order, bit for bit
        return Keypoints(value, jacobian.view(*jacobian.shape[:2], 2, 2))


class DenseMotion(nn.Module):
    """Downsampled source and two sets of keypoints to motion field and occlusion."""

    VERBATIM = True

    def __init__(self, *, aligned: bool, width_divisor: int = 1):
        super().__init__()
        inputs = 4 * (KEYPOINTS + 1)
        size = PyramidSize(64 // width_divisor, inputs, 5, 1024 // width_divisor)
        self.hourglass = Hourglass(size)
        self.mask = convolution(2, self.hourglass.channels, KEYPOINTS + 1, 7)
        self.occlusion = convolution(2, self.hourglass.channels, 1, 7)
        self.down = AntiAlias(3, 4)
        self.aligned = aligned

    def forward(self, small: Tensor, source: Keypoints, driving: Keypoints) -> MotionField:
        batch, size = len(driving.value), (small.shape[2], small.shape[3])
        heat = grid.gaussians(driving.value, size, 0.01) - grid.gaussians(source.value, size, 0.01)
        heat = F.pad(heat, (0, 0, 0, 0, 1, 0))  # background first: no heat
        motions = self.sparse_motions(size, source, driving)
        copies = small[:, None].expand(batch, motions.shape[1], *small.shape[1:]).flatten(0, 1)
        sparse_deformed = grid.sample(copies, motions.flatten(0, 1), aligned=self.aligned).view(
            batch, -1, *small.shape[1:]
        )
        feature = self.hourglass(torch.cat([heat[:, :, None], sparse_deformed], 2).flatten(1, 2))
        mask = F.softmax(self.mask(feature).float(), 1)
        deformation = (motions.permute(0, 1, 4, 2, 3) * mask[:, :, None]).sum(1).permute(0, 2, 3, 1)
        return MotionField(
            deformation, torch.sigmoid(self.occlusion(feature).float()), mask, sparse_deformed
        )

    @staticmethod
    def sparse_motions(size: tuple[int, int], source: Keypoints, driving: Keypoints) -> Tensor:
        """Compute each keypoint's own motion, (B, K+1, h, w, 2), identity first.

        T(z) = J_source J_driving^-1 (z - driving) + source.
        """
        base = grid.identity(size, driving.value.device, driving.value.dtype)
        linear = source.jacobian @ torch.linalg.inv(driving.jacobian)
        away = base - driving.value[:, :, None, None]
        motions = (linear[:, :, None, None] @ away[..., None])[..., 0]
        motions = motions + source.value[:, :, None, None]
        return torch.cat([base.expand(len(motions), 1, -1, -1, -1), motions], 1)


class Generator(nn.Module):
    """Generator: warps the source's features, masks what is occluded, and decodes.

    aligned: align_corners of every grid sampling; the published checkpoints were trained with True
    (torch 1.0).  width_divisor: divides every width (1: as published).
    """

    def __init__(self, *, aligned: bool = True, width_divisor: int = 1):
        super().__init__()
        a, b, c = 64 // width_divisor, 128 // width_divisor, 256 // width_divisor
        self.dense_motion_network = DenseMotion(aligned=aligned, width_divisor=width_divisor)
        self.first = SameBlock(3, a, 7)
        self.down_blocks = nn.ModuleList([DownBlock(a, b), DownBlock(b, c)])
        self.up_blocks = nn.ModuleList([UpBlock(c, b), UpBlock(b, a)])
        self.bottleneck = residual_blocks("r", 6, c)
        self.final = convolution(2, a, 3, 7)
        self.aligned = aligned

    def encode(self, image: Tensor, keypoints: Keypoints) -> EncodedSource:
        """Encode the source image (1, 3, 256, 256), once."""
        feature = self.first(image)
        for block in self.down_blocks:
            feature = block(feature)
        return EncodedSource(self.dense_motion_network.down(image), feature, keypoints)

    def motion(self, source: EncodedSource, driving: Keypoints) -> MotionField:
        """Compute the dense motion for a batch of driving keypoints."""
        out: MotionField = self.dense_motion_network(source.small, source.keypoints, driving)
        return out

    def synthesize(self, source: EncodedSource, field: MotionField) -> Tensor:
        """Render images (B, 3, 256, 256) in [0, 1]."""
        feature = source.feature.expand(len(field.deformation), -1, -1, -1)
        warped = grid.sample(feature, field.deformation, aligned=self.aligned) * field.occlusion
        x = self.bottleneck(warped)
        for block in self.up_blocks:
            x = block(x)
        return torch.sigmoid(self.final(x).float())

    def forward(self, source: EncodedSource, driving: Keypoints) -> Tensor:
        return self.synthesize(source, self.motion(source, driving))

    def deform(self, image: Tensor, field: MotionField) -> Tensor:
        """Warp the source image itself by the deformation, for training."""
        height, width = image.shape[2:]
        fine = F.interpolate(
            field.deformation.permute(0, 3, 1, 2),
            (height, width),
            mode="bilinear",
            align_corners=False,
        )
        return grid.sample(
            image.expand(len(fine), -1, -1, -1), fine.permute(0, 2, 3, 1), aligned=self.aligned
        )

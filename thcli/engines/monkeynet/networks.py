"""The two networks of Monkey-Net, with the keys as published (config vox).

The published kernels are (1, k, k) over video tensors: frames are independent. The generator is 2-D
here, and `checkpoint.load` drops its time axis. The detector and the dense motion keep it, and the
published order of operations bit for bit: their errors show up to 128 times larger in the warped
image. Images are (B, 3, 256, 256) float32 RGB in [0, 1]; points and grids as in
`shared.networks.grid`.
Source: monkey-net modules/{keypoint_detector,movement_embedding,dense_motion_module,generator}.py
at 0c8aa4e.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.networks import grid
from thcli.engines.shared.networks.layers import (
    FLAT,
    Decoder,
    Encoder,
    Hourglass,
    PyramidSize,
    SameBlock,
    residual_blocks,
)

KEYPOINTS = 10
REDUCTION = 4  # nearest: every fourth pixel, no filter
NORM_CONST = 1 / 100  # as published
MIN_VARIANCE = 0.001


class Keypoints(NamedTuple):
    """Keypoints with covariances.

    mean: (B, K, 2) points.  var: (B, K, 2, 2).
    """

    mean: Tensor
    var: Tensor


class EncodedSource(NamedTuple):
    """Features of a source, computed once.

    small: (1, 3, 64, 64) downsampled image.  skips: features of 256, 128, … 2 pixels, the image
    first.  keypoints: of the source.  heat: their heatmaps.
    """

    small: Tensor
    skips: list[Tensor]
    keypoints: Keypoints
    heat: Tensor


class MotionField(NamedTuple):
    """Dense motion.

    deformation: (B, 64, 64, 2) sampling grid.  heat: (B, K, 64, 64) driving minus source.
    embedding: (B, 44, 64, 64), the input from which it is predicted.
    """

    deformation: Tensor
    heat: Tensor
    embedding: Tensor


def downsample(image: Tensor) -> Tensor:
    """Downsample (B, C, 256, 256) to (B, C, 64, 64), nearest."""
    return image[..., ::REDUCTION, ::REDUCTION]


def heatmaps(points: Keypoints, sizes: tuple[int, int]) -> Tensor:
    """Compute exp(-(z - mean)^T var^-1 (z - mean) / 2) / 100 at every position z: (B, K, h, w)."""
    base = grid.identity(sizes, points.mean.device, points.mean.dtype)
    away = base - points.mean[:, :, None, None]
    inverse = torch.linalg.inv(points.var)
    return (
        torch.exp(torch.einsum("bkhwi,bkij,bkhwj->bkhw", away, inverse, away) * -0.5) * NORM_CONST
    )


class KeypointDetector(nn.Module):
    """Keypoint detector. width_divisor: divides every width (1: as published)."""

    VERBATIM = True

    def __init__(self, *, width_divisor: int = 1):
        super().__init__()
        size = PyramidSize(32 // width_divisor, 3, 5, 1024 // width_divisor)
        self.predictor = Hourglass(size, dims=FLAT, outputs=KEYPOINTS)

    def forward(self, image: Tensor) -> Keypoints:
        logits = self.predictor(downsample(image)[:, :, None].contiguous())[:, :, 0].float()
        heat = grid.softmax_maps(logits, 0.1) + 1e-7  # as published, not renormalised
        points = grid.identity((heat.shape[2], heat.shape[3]), heat.device, heat.dtype)
        mean = (heat[..., None] * points).sum((2, 3))
        away = points - mean[:, :, None, None]
        var = (away[..., :, None] * away[..., None, :] * heat[..., None, None]).sum((2, 3))
        a, b, c, d = var.flatten(2).unbind(-1)
        total = a**2 + b**2 + c**2 + d**2
        difference = torch.sqrt((a**2 + b**2 - c**2 - d**2) ** 2 + 4 * (a * c + b * d) ** 2)
        least = torch.sqrt((total - difference) / 2)[..., None, None]  # the smaller singular value
        return Keypoints(mean, least.clamp(min=MIN_VARIANCE) * var / least)


class DenseMotion(nn.Module):
    """Downsampled source and keypoints to optical flow.

    The flow is a mixture of the keypoints' translations plus a correction.
    """

    VERBATIM = True

    def __init__(self, *, aligned: bool, width_divisor: int = 1):
        super().__init__()
        regions = KEYPOINTS + 1
        self.group_blocks = nn.Sequential(
            *(SameBlock(4 * regions, 4 * regions, 1, dims=FLAT, groups=regions) for _ in range(2))
        )
        size = PyramidSize(32 // width_divisor, 4 * regions, 5, 1024 // width_divisor)
        self.hourglass = Hourglass(size, dims=FLAT, outputs=regions + 2)
        self.aligned = aligned

    def forward(self, source: EncodedSource, driving: Keypoints) -> MotionField:
        sizes = (source.small.shape[2], source.small.shape[3])
        heat = heatmaps(driving, sizes) - source.heat
        # background first: no heat, no motion
        offsets = F.pad(source.keypoints.mean - driving.mean, (0, 0, 1, 0))
        base = grid.identity(sizes, offsets.device, offsets.dtype)
        # one source for all frames, or one for each
        small = source.small[:, None].expand(*offsets.shape[:2], *source.small.shape[1:])
        motions = (base + offsets[:, :, None, None]).flatten(0, 1)
        warped = grid.sample(small.flatten(0, 1), motions, aligned=self.aligned)
        parts = [
            F.pad(heat, (0, 0, 0, 0, 1, 0))[:, :, None],
            warped.view(*offsets.shape[:2], -1, *sizes),
        ]
        embedding = torch.cat(parts, 2).flatten(1, 2)
        out = self.hourglass(self.group_blocks(embedding[:, :, None]))[:, :, 0].float()
        mask, correction = F.softmax(out[:, :-2], 1), out[:, -2:]
        flow = (mask[..., None] * offsets[:, :, None, None]).sum(1) + correction.permute(0, 2, 3, 1)
        return MotionField(flow + base, heat, embedding)


class Generator(nn.Module):
    """Generator: warps every skip of an encoder by the dense motion, then decodes and refines.

    aligned: align_corners of every grid sampling; checkpoints of torch 0.4.1 were trained with
    True. width_divisor: divides every width (1: as published).
    """

    def __init__(self, *, aligned: bool = True, width_divisor: int = 1):
        super().__init__()
        self.dense_motion_module = DenseMotion(aligned=aligned, width_divisor=width_divisor)
        size = PyramidSize(32 // width_divisor, 3, 7, 1024 // width_divisor)
        self.appearance_encoder = Encoder(size)
        self.video_decoder = Decoder(size, extra=KEYPOINTS)
        self.refinement_module = residual_blocks("r", 4, self.video_decoder.channels)
        self.refinement_module.add_module("conv-last", nn.Conv2d(self.video_decoder.channels, 3, 1))
        self.aligned = aligned

    def encode(self, image: Tensor, keypoints: Keypoints) -> EncodedSource:
        """Encode the source image (1, 3, 256, 256), once."""
        small = downsample(image)
        heat = heatmaps(keypoints, (small.shape[2], small.shape[3]))
        return EncodedSource(small, self.appearance_encoder(image), keypoints, heat)

    def motion(self, source: EncodedSource, driving: Keypoints) -> MotionField:
        """Compute the dense motion for a batch of driving keypoints."""
        out: MotionField = self.dense_motion_module(source, driving)
        return out

    def decode(self, source: EncodedSource, field: MotionField) -> Tensor:
        """Decode to (B, 45, 256, 256): features, the warped image and the heatmaps."""
        skips = [
            torch.cat([self.warp(skip, field), resize(field.heat, skip.shape[2:])], 1)
            for skip in source.skips
        ]
        out: Tensor = self.video_decoder(skips)
        return out

    def warp(self, skip: Tensor, field: MotionField) -> Tensor:
        """Warp a feature (1, C, h, w) of the source by the deformation."""
        flow = resize(field.deformation.permute(0, 3, 1, 2), skip.shape[2:]).permute(0, 2, 3, 1)
        return grid.sample(skip.expand(len(flow), -1, -1, -1), flow, aligned=self.aligned)

    def synthesize(self, decoded: Tensor) -> Tensor:
        """Render images (B, 3, 256, 256) in [0, 1] from decoded features."""
        return torch.sigmoid(self.refinement_module(decoded).float())

    def forward(self, source: EncodedSource, driving: Keypoints) -> Tensor:
        return self.synthesize(self.decode(source, self.motion(source, driving)))


def resize(maps: Tensor, sizes: Sequence[int]) -> Tensor:
    """Resize bilinearly with align_corners False, torch's behaviour here in every version."""
    if maps.shape[2:] == tuple(sizes):
        return maps
    return F.interpolate(maps, tuple(sizes), mode="bilinear", align_corners=False)

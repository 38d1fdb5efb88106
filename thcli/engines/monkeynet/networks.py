"""The two networks of Monkey-Net, keys as published (config vox).

The published kernels are (1, k, k) over video tensors: frames are independent, so those that paint are 2-D here, and
`checkpoint.load` drops their time axis. Those that measure keep it, and the published order of operations, bit for bit: an error
of theirs shows up to 128 times larger in the warped picture. Pictures are (B, 3, 256, 256) float32 RGB in [0, 1]; points and grids as in `blocks.grid`.
Source: monkey-net modules/{keypoint_detector,movement_embedding,dense_motion_module,generator}.py at 0c8aa4e.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.networks import grid
from thcli.engines.shared.networks.layers import FLAT, Decoder, Encoder, Hourglass, Same, residuals

KEYPOINTS = 10
REDUCTION = 4  # nearest: every fourth pixel, no filter
HEAT = 1 / 100  # the published norm_const
LEAST_VARIANCE = 0.001


class Keypoints(NamedTuple):
    """mean: (B, K, 2) points.  var: (B, K, 2, 2) covariances."""

    mean: Tensor
    var: Tensor


class Encoded(NamedTuple):
    """What a source gives once. small: (1, 3, 64, 64).  skips: features at 256, 128, … 2 pixels, the picture first.  heat: of its keypoints."""

    small: Tensor
    skips: list[Tensor]
    keypoints: Keypoints
    heat: Tensor


class Field(NamedTuple):
    """Dense motion. deformation: (B, 64, 64, 2).  heat: (B, K, 64, 64) driving minus source.  embedding: (B, 44, 64, 64) what it was seen from."""

    deformation: Tensor
    heat: Tensor
    embedding: Tensor


def reduce(picture: Tensor) -> Tensor:
    """(B, C, 256, 256) -> (B, C, 64, 64), nearest."""
    return picture[..., ::REDUCTION, ::REDUCTION]


def heatmaps(points: Keypoints, sizes: tuple[int, int]) -> Tensor:
    """exp(-(z - mean)^T var^-1 (z - mean) / 2) / 100: (B, K, h, w)."""
    away = (
        grid.identity(sizes, points.mean.device, points.mean.dtype) - points.mean[:, :, None, None]
    )
    inverse = torch.linalg.inv(points.var)
    return torch.exp(torch.einsum("bkhwi,bkij,bkhwj->bkhw", away, inverse, away) * -0.5) * HEAT


class KeypointDetector(nn.Module):
    """Picture -> keypoints. narrow: divides every width (1: as published)."""

    VERBATIM = True

    def __init__(self, *, narrow: int = 1):
        super().__init__()
        self.predictor = Hourglass(32 // narrow, 3, 5, 1024 // narrow, dims=FLAT, outputs=KEYPOINTS)

    def forward(self, picture: Tensor) -> Keypoints:
        logits = self.predictor(reduce(picture)[:, :, None].contiguous())[:, :, 0].float()
        heat = grid.softmax_maps(logits, 0.1) + 1e-7  # as published, not renormalised
        points = grid.identity((heat.shape[2], heat.shape[3]), heat.device, heat.dtype)
        mean = (heat[..., None] * points).sum((2, 3))
        away = points - mean[:, :, None, None]
        var = (away[..., :, None] * away[..., None, :] * heat[..., None, None]).sum((2, 3))
        a, b, c, d = var.flatten(2).unbind(-1)
        total = a**2 + b**2 + c**2 + d**2
        apart = torch.sqrt((a**2 + b**2 - c**2 - d**2) ** 2 + 4 * (a * c + b * d) ** 2)
        least = torch.sqrt((total - apart) / 2)[..., None, None]  # the smaller singular value
        return Keypoints(mean, least.clamp(min=LEAST_VARIANCE) * var / least)


class DenseMotion(nn.Module):
    """Small source and keypoints -> flow: a mixture of the keypoints' translations plus a free correction."""

    VERBATIM = True

    def __init__(self, *, aligned: bool, narrow: int = 1):
        super().__init__()
        regions = KEYPOINTS + 1
        self.group_blocks = nn.Sequential(
            *(Same(4 * regions, 4 * regions, 1, dims=FLAT, groups=regions) for _ in range(2))
        )
        self.hourglass = Hourglass(
            32 // narrow, 4 * regions, 5, 1024 // narrow, dims=FLAT, outputs=regions + 2
        )
        self.aligned = aligned

    def forward(self, source: Encoded, driving: Keypoints) -> Field:
        sizes = (source.small.shape[2], source.small.shape[3])
        heat = heatmaps(driving, sizes) - source.heat
        offsets = F.pad(
            source.keypoints.mean - driving.mean, (0, 0, 1, 0)
        )  # background first: no heat, no motion
        base = grid.identity(sizes, offsets.device, offsets.dtype)
        small = source.small[:, None].expand(
            *offsets.shape[:2], *source.small.shape[1:]
        )  # one source, or one each
        moved = grid.sample(
            small.flatten(0, 1),
            (base + offsets[:, :, None, None]).flatten(0, 1),
            aligned=self.aligned,
        )
        seen = [
            F.pad(heat, (0, 0, 0, 0, 1, 0))[:, :, None],
            moved.view(*offsets.shape[:2], -1, *sizes),
        ]
        embedding = torch.cat(seen, 2).flatten(1, 2)
        out = self.hourglass(self.group_blocks(embedding[:, :, None]))[:, :, 0].float()
        mask, correction = F.softmax(out[:, :-2], 1), out[:, -2:]
        flow = (mask[..., None] * offsets[:, :, None, None]).sum(1) + correction.permute(0, 2, 3, 1)
        return Field(flow + base, heat, embedding)


class Generator(nn.Module):
    """Warps every skip of an encoder by the dense motion, then decodes and refines.

    aligned: align_corners of every grid reading; True is what checkpoints of torch 0.4.1 were trained with.
    narrow: divides every width (1: as published).
    """

    def __init__(self, *, aligned: bool = True, narrow: int = 1):
        super().__init__()
        self.dense_motion_module = DenseMotion(aligned=aligned, narrow=narrow)
        self.appearance_encoder = Encoder(32 // narrow, 3, 7, 1024 // narrow)
        self.video_decoder = Decoder(32 // narrow, 3, 7, 1024 // narrow, extra=KEYPOINTS)
        self.refinement_module = residuals("r", 4, self.video_decoder.channels)
        self.refinement_module.add_module("conv-last", nn.Conv2d(self.video_decoder.channels, 3, 1))
        self.aligned = aligned

    def encode(self, picture: Tensor, keypoints: Keypoints) -> Encoded:
        """The part that depends on the source alone; picture (1, 3, 256, 256)."""
        small = reduce(picture)
        heat = heatmaps(keypoints, (small.shape[2], small.shape[3]))
        return Encoded(small, self.appearance_encoder(picture), keypoints, heat)

    def motion(self, source: Encoded, driving: Keypoints) -> Field:
        """Dense motion for a batch of driving keypoints."""
        out: Field = self.dense_motion_module(source, driving)
        return out

    def decode(self, source: Encoded, field: Field) -> Tensor:
        """(B, 45, 256, 256): the decoder's features, the warped picture, the heat."""
        skips = [
            torch.cat([self.warped(skip, field), resized(field.heat, skip.shape[2:])], 1)
            for skip in source.skips
        ]
        out: Tensor = self.video_decoder(skips)
        return out

    def warped(self, skip: Tensor, field: Field) -> Tensor:
        """(1, C, h, w) of the source, carried by the deformation."""
        where = resized(field.deformation.permute(0, 3, 1, 2), skip.shape[2:]).permute(0, 2, 3, 1)
        return grid.sample(skip.expand(len(where), -1, -1, -1), where, aligned=self.aligned)

    def paint(self, decoded: Tensor) -> Tensor:
        """The picture (B, 3, 256, 256) in [0, 1]."""
        return torch.sigmoid(self.refinement_module(decoded).float())

    def forward(self, source: Encoded, driving: Keypoints) -> Tensor:
        return self.paint(self.decode(source, self.motion(source, driving)))


def resized(maps: Tensor, sizes: Sequence[int]) -> Tensor:
    """Bilinear, align_corners False, as torch has always done it here."""
    if maps.shape[2:] == tuple(sizes):
        return maps
    return F.interpolate(maps, tuple(sizes), mode="bilinear", align_corners=False)

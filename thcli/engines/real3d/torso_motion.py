"""Dense motion of the torso between two sets of keypoints, conditioned on the rendered head.

Source: Real3DPortrait modules/real3d/facev2v_warp/network2.py at a9d70c7 (MotionFieldEstimator),
after face vid2vid (Wang et al. 2021), sec. 3.2. Grids are sampled with align_corners True.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.real3d.blocks import ConvBlock, DownBlock, ResidualBlock, UpBlock
from thcli.engines.real3d.config import FEATURES, Real3DConfig
from thcli.engines.shared.networks import grid
from thcli.engines.shared.networks.volume import COMPRESSED, DEPTH, VARIANCE

KEYPOINTS = (0, 8, 16, 27)  # of the 68 landmarks: jaw left, chin, jaw right, nose bridge
LEVELS = (64, 128, 256, 512, 1024)
HEAD = 32  # channels of the head's features


class TorsoMotion(NamedTuple):
    """Motion of the torso.

    deformation: (B, 16, S, S, 3) sampling grid.  occlusion: (B, 1, S, S) in 0..1, where the torso
    is seen.
    """

    deformation: Tensor
    occlusion: Tensor


class MotionFieldEstimator(nn.Module):
    """Compressed torso volume, two sets of keypoints and the head to the torso's motion."""

    EXACT = True

    def __init__(self, config: Real3DConfig):
        super().__init__()
        divisor = config.width_divisor
        volume, self.regions = FEATURES // divisor, len(KEYPOINTS) + 1
        self.head_sizes = config.plane_size // 2, config.plane_size // 4
        inputs, head = self.regions * (1 + COMPRESSED), HEAD // divisor
        levels = [width // divisor for width in LEVELS]
        self.compress = nn.Conv3d(volume + 2, COMPRESSED, 1)
        down = pairwise([inputs, *levels])
        up = pairwise([*reversed(levels), volume])
        self.down = nn.Sequential(*(DownBlock(a, b, dims=3) for a, b in down))
        self.up = nn.Sequential(*(UpBlock(a, b, dims=3) for a, b in up))
        blocks = (ResidualBlock(head) for _ in range(3))
        self.tgt_head_encoder = nn.Sequential(ConvBlock(4, head, 7), *blocks)
        self.tgt_head_fuser = nn.Conv3d(head + inputs + volume, head, 7, padding=3)
        self.mask_conv = nn.Conv3d(head, self.regions, 7, padding=3)
        # The first occlusion map is in the checkpoint, but nothing reads it.
        self.occlusion_conv = nn.Conv2d(head * DEPTH, 1, 7, padding=3)
        self.occlusion_conv2 = nn.Conv2d(head * DEPTH, 1, 7, padding=3)

    def compress_source(self, volume: Tensor, masks: Tensor) -> Tensor:
        """Compress a torso volume (B, 32, 16, S, S) and its masks (B, 2, S, S), once a source."""
        repeated = masks[:, :, None].expand(-1, -1, volume.shape[2], -1, -1)
        out: Tensor = self.compress(torch.cat([volume, repeated], 1))
        return out

    def forward(self, small: Tensor, source: Tensor, driving: Tensor, head: Tensor) -> TorsoMotion:
        """Estimate the motion.

        Args:
            small: (B, 4, 16, S, S) compressed source.
            source, driving: (B, 4, 3) keypoints in [-1, 1].
            head: (B, 4, 4 S, 4 S), the rendered head's RGB and weights.
        """
        sizes = tuple(small.shape[2:])
        heat = grid.gaussians(driving, sizes, VARIANCE) - grid.gaussians(source, sizes, VARIANCE)
        heat = F.pad(heat, (0,) * 6 + (1, 0))  # first the background: no heat, no motion
        offsets = F.pad(source - driving, (0, 0, 1, 0))
        warped = grid.sample_shifted(small, offsets, aligned=True)
        evidence = torch.cat([heat[:, :, None], warped], 2).flatten(1, 2)
        features = torch.cat([evidence, self.up(self.down(evidence))], 1)
        fused = self.fuse(features, self.head_features(head))
        mask = F.softmax(self.mask_conv(fused).float(), 1)
        flow = (mask.flatten(2).transpose(1, 2) @ offsets).view(len(mask), *sizes, 3)
        deformation = flow + grid.identity(sizes, flow.device, flow.dtype)
        occlusion = torch.sigmoid(self.occlusion_conv2(fused.flatten(1, 2)).float())
        return TorsoMotion(deformation, occlusion)

    def head_features(self, head: Tensor) -> Tensor:
        """Encode the rendered head's RGB and weights to (B, 32, S, S)."""
        middle, small = self.head_sizes
        x = F.interpolate(head, (middle, middle), mode="bilinear", align_corners=False)
        x = self.tgt_head_encoder(x)
        return F.interpolate(x, (small, small), mode="bilinear", align_corners=False)

    def fuse(self, features: Tensor, head: Tensor) -> Tensor:
        """Fuse the volume (B, 57, 16, S, S) with the head (B, 32, S, S), equal at every depth."""
        repeated = head[:, :, None].expand(-1, -1, features.shape[2], -1, -1)
        out: Tensor = self.tgt_head_fuser(torch.cat([features, repeated], 1))
        return out

"""The U-Net of Diffused Heads, under the keys of its checkpoints, and the smaller one of dh-s.

Source: Stypulkowski et al. 2024; the layout is that of MStypulkowski/diffused-heads, branch `train` (facts, not code).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.diffusion.blocks import sinusoid
from thcli.diffusion.unet import UNet, UNetShape


@dataclass(frozen=True, slots=True)
class Shape:
    """size: pixels.  width: of the U-Net's first level.  heard: numbers of one sound embedding.  around: embeddings on each side (m_y).

    motion: channels of a motion frame (3, or 1 where they are grey).  frames: motion frames (m_x).  variance: whether it gives one.
    patch: squares of so many pixels a side become channels before the first convolution (1: as published).
    attention: factors of downsampling with attention.  steep: with the published code's odd sinusoids of the step.
    """

    size: int = 128
    width: int = 256
    times: tuple[int, ...] = (1, 2, 3)
    blocks: int = 2
    attention: tuple[int, ...] = (4,)
    head: int = 64
    heard: int = 256
    around: int = 2
    motion: int = 3
    frames: int = 2
    variance: bool = True
    patch: int = 1
    dropout: float = 0.1
    steep: bool = True

    @property
    def window(self) -> int:
        """Sound embeddings that one frame hears."""
        return 2 * self.around + 1


OFFICIAL = Shape()
GREY = Shape(motion=1)


class TimeEmbedding(nn.Module):
    """The step's sinusoid through two layers."""

    def __init__(self, width: int, steep: bool) -> None:
        super().__init__()
        self.width, self.steep = width, steep
        self.fc = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width)
        )

    def forward(self, timesteps: Tensor) -> Tensor:
        """(B,) -> (B, 4 width). steep: the divisor is 2 * width, not width / 2, in the published code, whose weights know no other."""
        divisor = 2 * self.width if self.steep else None
        out: Tensor = self.fc(sinusoid(timesteps, self.width, divisor=divisor))
        return out


class DiffusedHeads(UNet):
    """Gives the noise (and the variance) in a frame from an identity frame, the frames before, and what is heard around it."""

    def __init__(self, shape: Shape = OFFICIAL) -> None:
        square = shape.patch**2
        inside = (3 + shape.frames * shape.motion + 3) * square
        out = 3 * (2 if shape.variance else 1) * square
        wide = 4 * shape.width
        trunk = UNetShape(
            inside,
            out,
            shape.width,
            shape.times,
            shape.blocks,
            shape.attention,
            shape.head,
            shape.dropout,
        )
        super().__init__(trunk, {"t_emb_layers": wide, "audio_emb_layers": wide})
        self.shape = shape
        self.time_embed = TimeEmbedding(shape.width, shape.steep)
        self.audio_embed = nn.Sequential(
            nn.Linear(shape.window * shape.heard, wide), nn.SiLU(), nn.Linear(wide, wide)
        )

    def forward(
        self, x: Tensor, timesteps: Tensor, identity: Tensor, motion: Tensor, heard: Tensor
    ) -> Tensor:
        """(B, 3 or 6, S, S).

        x: (B, 3, S, S) noisy frame.  timesteps: (B,) of the full schedule.  identity: (B, 3, S, S).  motion: (B, frames * motion, S, S),
        oldest first.  heard: (B, window, heard), oldest first.  Pictures in [-1, 1].
        """
        inside = torch.cat([x, motion, identity], 1)
        if self.shape.patch > 1:
            inside = F.pixel_unshuffle(inside, self.shape.patch)
        out = self.trunk(inside, (self.time_embed(timesteps), self.audio_embed(heard.flatten(1))))
        return F.pixel_shuffle(out, self.shape.patch) if self.shape.patch > 1 else out

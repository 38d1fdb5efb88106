"""U-Net of Diffused Heads under the keys of its checkpoints, and the smaller one of dh-s.

Stypulkowski et al. 2024; the layout is that of MStypulkowski/diffused-heads, branch `train` (facts,
not code).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.diffusion.blocks import sinusoidal_embedding
from thcli.diffusion.unet import UNet, UNetConfig


@dataclass(frozen=True, slots=True)
class DiffusedHeadsConfig:
    """Sizes of the network.

    Attributes:
        size: side of an image in pixels.
        base_channels: channels of the U-Net's first level.
        channel_multipliers, blocks_per_level, attention_factors, head_channels, dropout: see
            `UNetConfig`.
        audio_width: width of an audio embedding.
        audio_context: audio embeddings on each side of a frame's own (m_y).
        motion_channels: channels of a motion frame (3, or 1 if they are grey).
        motion_frames: number of motion frames (m_x).
        learn_variance: whether the network predicts a variance.
        patch: side of the squares that become channels before the first convolution (1 in the
            published network).
        published_sinusoid: whether the time embedding has the published code's divisor.
    """

    size: int = 128
    base_channels: int = 256
    channel_multipliers: tuple[int, ...] = (1, 2, 3)
    blocks_per_level: int = 2
    attention_factors: tuple[int, ...] = (4,)
    head_channels: int = 64
    audio_width: int = 256
    audio_context: int = 2
    motion_channels: int = 3
    motion_frames: int = 2
    learn_variance: bool = True
    patch: int = 1
    dropout: float = 0.1
    published_sinusoid: bool = True

    @property
    def window(self) -> int:
        """Return the number of audio embeddings of a frame."""
        return 2 * self.audio_context + 1


OFFICIAL = DiffusedHeadsConfig()
GREY = DiffusedHeadsConfig(motion_channels=1)


class TimeEmbedding(nn.Module):
    """Sinusoidal time embedding with two layers."""

    def __init__(self, width: int, published_sinusoid: bool) -> None:
        super().__init__()
        self.width, self.published_sinusoid = width, published_sinusoid
        self.fc = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width)
        )

    def forward(self, timesteps: Tensor) -> Tensor:
        """Return the embedding (B, 4 width) of time steps (B,).

        The published code divides by 2 * width instead of width / 2, and its weights depend on
        that.
        """
        divisor = 2 * self.width if self.published_sinusoid else None
        out: Tensor = self.fc(sinusoidal_embedding(timesteps, self.width, divisor=divisor))
        return out


class DiffusedHeads(UNet):
    """Denoiser of a frame, conditioned on identity, previous frames and audio."""

    def __init__(self, config: DiffusedHeadsConfig = OFFICIAL) -> None:
        patch_area = config.patch**2
        in_channels = (3 + config.motion_frames * config.motion_channels + 3) * patch_area
        out_channels = 3 * (2 if config.learn_variance else 1) * patch_area
        embedding_width = 4 * config.base_channels
        unet_config = UNetConfig(
            in_channels,
            out_channels,
            config.base_channels,
            config.channel_multipliers,
            config.blocks_per_level,
            config.attention_factors,
            config.head_channels,
            config.dropout,
        )
        names = ("t_emb_layers", "audio_emb_layers")
        super().__init__(unet_config, dict.fromkeys(names, embedding_width))
        self.config = config
        self.time_embed = TimeEmbedding(config.base_channels, config.published_sinusoid)
        self.audio_embed = nn.Sequential(
            nn.Linear(config.window * config.audio_width, embedding_width),
            nn.SiLU(),
            nn.Linear(embedding_width, embedding_width),
        )

    def forward(
        self, x: Tensor, timesteps: Tensor, identity: Tensor, motion: Tensor, audio: Tensor
    ) -> Tensor:
        """Predict the noise (or x0) and, if learned, the variance.

        Args:
            x: (B, 3, S, S) noisy frame.
            timesteps: (B,) steps of the full schedule.
            identity: (B, 3, S, S).
            motion: (B, motion_frames * motion_channels, S, S) previous frames, oldest first.
            audio: (B, window, audio_width), oldest first.

        Returns:
            (B, 3 or 6, S, S). Images are in [-1, 1].
        """
        inputs = torch.cat([x, motion, identity], 1)
        if self.config.patch > 1:
            inputs = F.pixel_unshuffle(inputs, self.config.patch)
        embeds = (self.time_embed(timesteps), self.audio_embed(audio.flatten(1)))
        out = self.forward_unet(inputs, embeds)
        return F.pixel_shuffle(out, self.config.patch) if self.config.patch > 1 else out

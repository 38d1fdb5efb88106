"""Noise estimator of Diffusion Video Autoencoders, under the keys of its checkpoint.

Source: Kim et al. 2023; the layout follows man805/Diffusion-Video-Autoencoders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thcli.diffusion.blocks import (
    Resample,
    ResidualBlock,
    group_norm,
    sinusoidal_embedding,
    zero_init,
)
from thcli.diffusion.unet import UNet, UNetConfig

ONE_HEAD = 1 << 20  # channels per head; more than any level has


@dataclass(frozen=True, slots=True)
class NoiseEstimatorShape:
    """Sizes of the U-Net.

    size: side of an image, pixels.
    width: of the first level, times `times` for each level.
    blocks: residual blocks of a level.
    attention: downsampling factors with attention.
    embedding: length of the time and face embeddings.
    """

    size: int = 256
    width: int = 128
    times: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    blocks: int = 2
    attention: tuple[int, ...] = (16,)
    embedding: int = 512
    dropout: float = 0.1


OFFICIAL = NoiseEstimatorShape()


class TwiceModulated(ResidualBlock):
    """Residual block with two modulated norms after its first convolution.

    Each norm precedes a convolution of its own: the first embedding (time) modulates one, the
    second (face) the other.
    # differs from ADM and DiffAE: there both embeddings modulate one norm, before one convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out: int,
        embeds: Mapping[str, int],
        *,
        dropout: float = 0.0,
        resample: Resample = "",
    ) -> None:
        super().__init__(in_channels, out, embeds, dropout=dropout, resample=resample)
        first = (group_norm(out), nn.SiLU(), nn.Conv2d(out, out, 3, padding=1))
        second = (
            group_norm(out),
            nn.SiLU(),
            nn.Dropout(dropout),
            zero_init(nn.Conv2d(out, out, 3, padding=1)),
        )
        self.out_layers = nn.Sequential(*first, *second)

    def forward(self, x: Tensor, embeds: Sequence[Tensor]) -> Tensor:
        """Map x (B, C, H, W); embeds: (B, width) of time and of the face."""
        layers = self.out_layers
        h = self.in_layers[2](self._resample(self.in_layers[1](self.in_layers[0](x))))
        h = layers[2](layers[1](self._modulate(layers[0](h), 0, embeds)))
        h = layers[6](layers[5](layers[4](self._modulate(layers[3](h), 1, embeds))))
        out: Tensor = self.skip_connection(self._resample(x)) + h
        return out

    def _modulate(self, h: Tensor, which: int, embeds: Sequence[Tensor]) -> Tensor:
        """Scale and shift the features by an embedding."""
        modulation = self.get_submodule(self.embedding_names[which])(embeds[which])
        scale, shift = modulation[..., None, None].chunk(2, 1)
        return torch.addcmul(shift, h, 1 + scale)


class TimeEmbedding(nn.Module):
    """Sinusoidal step embedding through two layers. Its key repeats its name, as published."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.width = width
        self.time_embed = nn.Sequential(
            nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )

    def forward(self, timesteps: Tensor) -> Tensor:
        """Map steps (B,) to (B, embedding)."""
        out: Tensor = self.time_embed(sinusoidal_embedding(timesteps, self.width))
        return out


class NoiseEstimator(UNet):
    """U-Net that estimates the noise in x_t, given z_face."""

    # Inversion and sampling amplify rounding errors up to 150 times. Those of Winograd convolutions
    # are too large, and so are those of torch's group norm in channels-last memory, which are 50
    # times those in contiguous memory.
    VERBATIM = True

    def __init__(self, shape: NoiseEstimatorShape = OFFICIAL) -> None:
        config = UNetConfig(
            3, 3, shape.width, shape.times, shape.blocks, shape.attention, ONE_HEAD, shape.dropout
        )
        embeddings = {"emb_layers": shape.embedding, "cond_emb_layers": shape.embedding}
        super().__init__(config, embeddings, TwiceModulated)
        self.shape = shape
        self.time_embed = TimeEmbedding(shape.width, shape.embedding)

    def forward(self, x: Tensor, timesteps: Tensor, face: Tensor) -> Tensor:
        """Estimate the noise (B, 3, H, W).

        Args:
            x: (B, 3, H, W), sides multiples of 32.
            timesteps: (B,) of the thousand.
            face: z_face (B, embedding).
        """
        return self.forward_unet(x, (self.time_embed(timesteps), face))

"""The conditional noise estimator of Diffusion Video Autoencoders, under the keys of its checkpoint.

Source: Kim et al. 2023; the layout is that of man805/Diffusion-Video-Autoencoders (facts, not code).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thcli.diffusion.blocks import Resample, Residual, norm, sinusoid, zeroed
from thcli.diffusion.unet import UNet, UNetShape

ONE_HEAD = 1 << 20  # channels a head: more than there are anywhere


@dataclass(frozen=True, slots=True)
class Shape:
    """size: pixels of a picture's side.  width: of the U-Net's first level, times `times` for each.  blocks: residual blocks a level.

    attention: factors of downsampling with attention.  embedding: numbers of the time's and of the face's embedding.
    """

    size: int = 256
    width: int = 128
    times: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    blocks: int = 2
    attention: tuple[int, ...] = (16,)
    embedding: int = 512
    dropout: float = 0.1


OFFICIAL = Shape()


class TwiceModulated(Residual):
    """Two norms after the first convolution, each before one of its own: the first embedding (time) moves one, the second (the face) the other.

    # differs from ADM and DiffAE: there both embeddings move one norm, before one convolution.
    """

    def __init__(
        self,
        inside: int,
        out: int,
        embeds: Mapping[str, int],
        *,
        dropout: float = 0.0,
        resample: Resample = "",
    ) -> None:
        super().__init__(inside, out, embeds, dropout=dropout, resample=resample)
        first = (norm(out), nn.SiLU(), nn.Conv2d(out, out, 3, padding=1))
        second = (
            norm(out),
            nn.SiLU(),
            nn.Dropout(dropout),
            zeroed(nn.Conv2d(out, out, 3, padding=1)),
        )
        self.out_layers = nn.Sequential(*first, *second)

    def forward(self, x: Tensor, embeds: Sequence[Tensor]) -> Tensor:
        """x (B, C, H, W); embeds: (B, width) of time and of the face."""
        layers = self.out_layers
        h = self.in_layers[2](self._resampled(self.in_layers[1](self.in_layers[0](x))))
        h = layers[2](layers[1](self._moved(layers[0](h), 0, embeds)))
        h = layers[6](layers[5](layers[4](self._moved(layers[3](h), 1, embeds))))
        out: Tensor = self.skip_connection(self._resampled(x)) + h
        return out

    def _moved(self, h: Tensor, which: int, embeds: Sequence[Tensor]) -> Tensor:
        """Scaled and shifted as that embedding says."""
        scale, shift = self.get_submodule(self.names[which])(embeds[which])[..., None, None].chunk(
            2, 1
        )
        return torch.addcmul(shift, h, 1 + scale)


class TimeEmbedding(nn.Module):
    """The step's sinusoid through two layers. Its key holds its name twice, as published."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.width = width
        self.time_embed = nn.Sequential(
            nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )

    def forward(self, timesteps: Tensor) -> Tensor:
        """(B,) -> (B, embedding)."""
        out: Tensor = self.time_embed(sinusoid(timesteps, self.width))
        return out


class NoiseEstimator(UNet):
    """The noise in x_t, given the face that the picture shows."""

    # The way to noise and back multiplies rounding by up to 150: Winograd's is too much for it, and so is that of torch's group norm
    # over channels-last memory, fifty times the other's.
    VERBATIM = True

    def __init__(self, shape: Shape = OFFICIAL) -> None:
        trunk = UNetShape(
            3, 3, shape.width, shape.times, shape.blocks, shape.attention, ONE_HEAD, shape.dropout
        )
        super().__init__(
            trunk,
            {"emb_layers": shape.embedding, "cond_emb_layers": shape.embedding},
            TwiceModulated,
        )
        self.shape = shape
        self.time_embed = TimeEmbedding(shape.width, shape.embedding)

    def forward(self, x: Tensor, timesteps: Tensor, face: Tensor) -> Tensor:
        """x (B, 3, H, W), sides multiples of 32; timesteps (B,) of the thousand; face: z_face (B, embedding) -> (B, 3, H, W)."""
        return self.trunk(x, (self.time_embed(timesteps), face))

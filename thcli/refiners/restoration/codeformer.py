"""CodeFormer: a transformer predicts the codes of a clean face.

Source: Zhou et al. 2022 (CodeFormer), sec. 3; keys and sizes as published in sczhou/CodeFormer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.refiners.restoration.autoencoder import (
    ENCODER_BLOCKS,
    AutoencoderShape,
    Codebook,
    Decoder,
    Encoder,
)
from thcli.refiners.restoration.blocks import Attention, ResBlock

EPSILON = 1e-5
LEAK = 0.2


@dataclass(frozen=True, slots=True)
class CodeFormerShape:
    """Size of the network; the defaults are the published ones.

    latent: positions of the code map. embedding, heads, layers: of the transformer. fused: levels
    whose features the decoder takes from the encoder, under their published names.
    """

    autoencoder: AutoencoderShape = field(default_factory=AutoencoderShape)
    latent: int = 256
    embedding: int = 512
    heads: int = 8
    layers: int = 9
    fused: tuple[tuple[int, str], ...] = ((1, "256"), (2, "128"), (3, "64"), (4, "32"))


class TransformerLayer(nn.Module):
    """Self-attention and two linear layers, each after a normalisation."""

    def __init__(self, shape: CodeFormerShape) -> None:
        super().__init__()
        width = shape.embedding
        self.self_attn = nn.MultiheadAttention(width, shape.heads)
        self.linear1, self.linear2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, rows: Tensor, position: Tensor) -> Tensor:
        """Compute (positions, B, width)."""
        inner = self.norm1(rows)
        place = inner + position
        rows = rows + self.self_attn(place, place, value=inner, need_weights=False)[0]
        out: Tensor = rows + self.linear2(F.gelu(self.linear1(self.norm2(rows))))
        return out


class Fusion(nn.Module):
    """Controllable feature transformation: the encoder scales and shifts the decoder's features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encode_enc = ResBlock(2 * channels, channels)
        self.scale, self.shift = (
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.LeakyReLU(LEAK),
                nn.Conv2d(channels, channels, 3, padding=1),
            )
            for _ in range(2)
        )

    def forward(self, encoded: Tensor, decoded: Tensor, weight: float) -> Tensor:
        both = self.encode_enc(torch.cat([encoded, decoded], 1))
        change: Tensor = decoded * self.scale(both) + self.shift(both)
        return decoded + weight * change


class CodeFormer(nn.Module):
    """The published network for faces of 512 x 512 pixels."""

    VERBATIM = True  # rounding of Winograd convolutions would exceed 1e-4 of the result

    def __init__(self, shape: CodeFormerShape | None = None) -> None:
        super().__init__()
        shape = shape or CodeFormerShape()
        base = shape.autoencoder
        self.encoder, self.generator = Encoder(base, Attention), Decoder(base, Attention)
        self.quantize = Codebook(base)
        self.position_emb = nn.Parameter(torch.zeros(shape.latent, shape.embedding))
        self.feat_emb = nn.Linear(base.code, shape.embedding)
        self.ft_layers = nn.ModuleList(TransformerLayer(shape) for _ in range(shape.layers))
        self.idx_pred_layer = nn.Sequential(
            nn.LayerNorm(shape.embedding), nn.Linear(shape.embedding, base.codes, bias=False)
        )
        self.fuse_convs_dict = nn.ModuleDict(
            {name: Fusion(base.channels[level]) for level, name in reversed(shape.fused)}
        )
        self.shape = shape
        step = ENCODER_BLOCKS + 1
        # a level's last block in the encoder; its first one in the decoder, after the 16 x 16 part
        first = 4 + 2 * base.decoder_blocks + 1
        last = len(base.multipliers) - 1
        self._taken = {level * step + ENCODER_BLOCKS: name for level, name in shape.fused}
        self._fused = {
            first + (last - 1 - level) * (base.decoder_blocks + 1): name
            for level, name in shape.fused
        }

    def encode(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode images (B, 3, S, S) in -1..1; also return the features of the fused levels."""
        x, features = image, {}
        for number, block in enumerate(self.encoder.blocks):
            x = block(x)
            if number in self._taken:
                features[self._taken[number]] = x
        return x, features

    def logits(self, encoded: Tensor) -> Tensor:
        """Predict the code of each position, (B, positions, codes), at the end in float32."""
        rows = self.feat_emb(encoded.flatten(2).permute(2, 0, 1))
        position = self.position_emb[:, None]
        for layer in self.ft_layers:
            rows = layer(rows, position)
        with torch.autocast(rows.device.type, enabled=False):
            out: Tensor = self.idx_pred_layer(rows.float())
        return out.transpose(0, 1)

    def forward(self, image: Tensor, weight: float) -> Tensor:
        """Restore images (B, 3, S, S) in -1..1.

        Args:
            image: coarse faces.
            weight: of the encoder's features: 0 the most quality, 1 the most fidelity.
        """
        encoded, features = self.encode(image)
        numbers = self.logits(encoded).argmax(-1).reshape(len(image), *encoded.shape[-2:])
        x = adapt_statistics(self.quantize.look_up(numbers), encoded)
        for number, block in enumerate(self.generator.blocks):
            x = block(x)
            if weight > 0 and number in self._fused:
                name = self._fused[number]
                x = self.fuse_convs_dict[name](features[name], x, weight)
        return x


def adapt_statistics(content: Tensor, style: Tensor) -> Tensor:
    """Give maps (B, C, H, W) the mean and deviation of each channel of other ones."""

    def statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
        return maps.mean((2, 3), keepdim=True), (maps.var((2, 3), keepdim=True) + EPSILON).sqrt()

    mean, deviation = statistics(content)
    wanted_mean, wanted_deviation = statistics(style)
    return (content - mean) / deviation * wanted_deviation + wanted_mean

"""RestoreFormer: the degraded face queries a dictionary of clean faces.

Source: Wang et al. 2022 (RestoreFormer), sec. 3; sizes and keys as published in
wzhouxiff/RestoreFormer. Published keys name levels; `flat_keys` numbers them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from thcli.refiners.restoration.autoencoder import (
    ENCODER_BLOCKS,
    AutoencoderShape,
    Codebook,
    Decoder,
    Encoder,
)
from thcli.refiners.restoration.blocks import GuidedAttention

MIDDLE = ("mid.block_1", "mid.attn_1", "mid.block_2")
END = ("norm_out", "conv_out")


@dataclass(frozen=True, slots=True)
class RestoreFormerShape:
    """Size of the network; the defaults are the published ones."""

    autoencoder: AutoencoderShape = field(
        default_factory=lambda: AutoencoderShape(decoder_blocks=3)
    )
    heads: int = 8


class RestoreFormer(nn.Module):
    """The published network for faces of 512 x 512 pixels."""

    def __init__(self, shape: RestoreFormerShape | None = None) -> None:
        super().__init__()
        shape = shape or RestoreFormerShape()
        base = shape.autoencoder

        def attention(channels: int) -> nn.Module:
            return GuidedAttention(channels, shape.heads)

        self.encoder, self.decoder = Encoder(base, attention), Decoder(base, attention)
        self.quantize = Codebook(base)
        self.quant_conv = nn.Conv2d(base.code, base.code, 1)
        self.post_quant_conv = nn.Conv2d(base.code, base.code, 1)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode images (B, 3, S, S) in -1..1.

        Returns:
            The codes, and the maps before and after the attention in the middle.
        """
        *body, before, attention, after, norm, last = self.encoder.blocks
        x = image
        for block in body:
            x = block(x)
        first = before(x)
        second = after(attention(first))
        return self.quant_conv(last(F.silu(norm(second)))), first, second

    def forward(self, image: Tensor) -> Tensor:
        """Restore images (B, 3, S, S) in -1..1."""
        codes, first, second = self.encode(image)
        start, before, attention, after, *body, norm, last = self.decoder.blocks
        x = start(self.post_quant_conv(self.quantize.nearest(codes)))
        x = after(attention(before(x), second))
        for block in body:
            x = block(x, first) if isinstance(block, GuidedAttention) else block(x)
        out: Tensor = last(F.silu(norm(x)))
        return out


def flat_keys(tensors: Mapping[str, Tensor], shape: AutoencoderShape) -> dict[str, Tensor]:
    """Rename tensors from the published layout to `RestoreFormer`'s."""
    names = dict(layer_names(shape))
    out = {}
    for key, tensor in tensors.items():
        stem, rest = key, ""
        while stem and stem not in names:
            stem, _, more = stem.rpartition(".")
            rest = f".{more}{rest}"
        renamed = names[stem] + rest if stem else key
        out[renamed.replace(".nin_shortcut.", ".conv_out.")] = tensor
    return out


def layer_names(shape: AutoencoderShape) -> Iterator[tuple[str, str]]:
    """Yield the published name of each layer and ours."""
    for part, order in (("encoder", _encoder_order), ("decoder", _decoder_order)):
        for number, own in enumerate(order(shape)):
            yield f"{part}.{own}", f"{part}.blocks.{number}"


def _encoder_order(shape: AutoencoderShape) -> Iterator[str]:
    yield "conv_in"
    last = len(shape.multipliers) - 1
    for level in range(last + 1):
        yield from _blocks("down", level, ENCODER_BLOCKS, attends=level == last)
        if level < last:
            yield f"down.{level}.downsample"
    yield from (*MIDDLE, *END)


def _decoder_order(shape: AutoencoderShape) -> Iterator[str]:
    yield from ("conv_in", *MIDDLE)
    last = len(shape.multipliers) - 1
    for level in range(last, -1, -1):
        yield from _blocks("up", level, shape.decoder_blocks, attends=level == last)
        if level:
            yield f"up.{level}.upsample"
    yield from END


def _blocks(part: str, level: int, count: int, *, attends: bool) -> Iterator[str]:
    for number in range(count):
        yield f"{part}.{level}.block.{number}"
        if attends:
            yield f"{part}.{level}.attn.{number}"

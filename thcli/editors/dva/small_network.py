"""Networks of dva-s: appearance encoder, projection to z_face, face decoder, residual denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.diffusion.blocks import ResidualBlock, group_norm
from thcli.diffusion.unet import UNet, UNetConfig
from thcli.editors.dva.network import TimeEmbedding, TwiceModulated

IDENTITY, LANDMARKS = 512, 68 * 2
NO_EMBEDS: tuple[Tensor, ...] = ()


@dataclass(frozen=True, slots=True)
class SmallDvaShape:
    """Sizes of the networks.

    size: side of a crop, pixels.
    patch: pixels of a patch's side, even; a patch becomes channels before any convolution.
    width: of the U-Net's first level, times `times` for each level.
    blocks: residual blocks of a level.
    attention: downsampling factors with attention, with `head` channels per head.
    embedding: length of z_face and of the time embedding.
    appearance: length of the learnt appearance code.
    encoder_widths, decoder_widths: of the appearance encoder and the face decoder. Each level
    halves or doubles the map.
    fine: channels of the U-Net's two last convolutions, at full resolution.
    """

    size: int = 128
    patch: int = 4
    width: int = 32
    times: tuple[int, ...] = (1, 2, 3)
    blocks: int = 1
    attention: tuple[int, ...] = (4,)
    head: int = 32
    embedding: int = 192
    appearance: int = 128
    encoder_widths: tuple[int, ...] = (40, 80, 112, 128)
    decoder_widths: tuple[int, ...] = (176, 144, 96, 48, 24)
    fine: int = 16

    @property
    def grid(self) -> int:
        """Return the number of patches along a side."""
        return self.size // self.patch

    @property
    def channels(self) -> int:
        """Return the number of channels of a patch."""
        return 3 * self.patch**2

    @property
    def coarse_side(self) -> int:
        """Return the side of the smallest map of the encoder and of the face decoder."""
        return self.grid >> (len(self.encoder_widths) - 1)


class AppearanceEncoder(nn.Module):
    """Network that maps images (B, 3, S, S) in [-1, 1] to appearance codes (B, appearance).

    The codes are not normalised.
    """

    def __init__(self, shape: SmallDvaShape) -> None:
        super().__init__()
        in_channels, *rest = shape.encoder_widths
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(shape.patch),
            nn.Conv2d(shape.channels, in_channels, 3, padding=1),
        ]
        for out_channels in rest:
            layers += [
                group_norm(in_channels),
                nn.SiLU(),
                nn.Conv2d(in_channels, in_channels, 3, padding=1),
                group_norm(in_channels),
                nn.SiLU(),
            ]
            layers += [nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)]
            in_channels = out_channels
        layers += [group_norm(in_channels), nn.SiLU(), nn.Flatten()]
        layers += [nn.Linear(in_channels * shape.coarse_side**2, shape.appearance)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.layers(images)
        return out


class FaceDecoder(nn.Module):
    """Network that maps z_face (B, embedding) to a base image (B, 3, S, S), about in [-1, 1].

    Its last map is enlarged bilinearly, because patches of pixels would leave a grid in edits.
    """

    VERBATIM = True  # text edits send gradients through it

    def __init__(self, shape: SmallDvaShape) -> None:
        super().__init__()
        in_channels, *rest = shape.decoder_widths
        self.side, self.size = shape.coarse_side, shape.size
        self.begin = nn.Linear(shape.embedding, in_channels * self.side**2)
        embeds = {"emb_layers": shape.embedding}
        self.blocks = nn.ModuleList()
        for out_channels in rest:
            self.blocks.append(ResidualBlock(in_channels, out_channels, embeds, resample="up"))
            in_channels = out_channels
        self.blocks.append(ResidualBlock(in_channels, in_channels, embeds))
        self.out = nn.Sequential(
            group_norm(in_channels),
            nn.SiLU(),
            nn.Upsample((self.size, self.size), mode="bilinear"),
            nn.Conv2d(in_channels, 3, 3, padding=1),
        )

    def forward(self, face: Tensor) -> Tensor:
        x = self.begin(face).unflatten(1, (-1, self.side, self.side))
        for block in self.blocks:
            x = block(x, (face,))
        out: Tensor = self.out(x)
        return out


class ResidualDenoiser(UNet):
    """U-Net that predicts v of a noised residual, given the base image and z_face.

    It works on patches of pixels. Two convolutions at full resolution, which also see its input,
    give the result: the patches have more pixels than the U-Net has channels.
    """

    # Inversion and sampling amplify rounding errors; Winograd's are too large for it (see
    # `network.NoiseEstimator`).
    VERBATIM = True

    def __init__(self, shape: SmallDvaShape) -> None:
        s = shape
        config = UNetConfig(
            2 * s.channels, s.channels, s.width, s.times, s.blocks, s.attention, s.head
        )
        embeddings = {"emb_layers": s.embedding, "cond_emb_layers": s.embedding}
        super().__init__(config, embeddings, TwiceModulated)
        self.patch = s.patch
        self.time_embed = TimeEmbedding(s.width, s.embedding)
        self.fine_in = nn.Conv2d(s.channels // 4 + 6, s.fine, 3, padding=1)
        self.fine_time = nn.Linear(s.embedding, 2 * s.fine)
        self.fine_out = nn.Conv2d(s.fine, 3, 3, padding=1)

    def forward(self, x: Tensor, timesteps: Tensor, face: Tensor, base_image: Tensor) -> Tensor:
        """Predict v (B, 3, S, S).

        Args:
            x, base_image: (B, 3, S, S).
            timesteps: (B,) of the thousand.
            face: z_face (B, embedding).
        """
        images, time = torch.cat([x, base_image], 1), self.time_embed(timesteps)
        out = self.forward_unet(F.pixel_unshuffle(images, self.patch), (time, face))
        out = F.interpolate(F.pixel_shuffle(out, 2), images.shape[2:], mode="bilinear")
        scale, shift = self.fine_time(F.silu(time))[..., None, None].chunk(2, 1)
        fine = self.fine_in(torch.cat([out, images], 1)) * (1 + scale) + shift
        v: Tensor = self.fine_out(F.silu(fine))
        return v


class FaceProjection(nn.Module):
    """Linear layer from z_id and z_lnd to z_face, as in the paper, on inputs of equal scale."""

    middle: Tensor
    spread: Tensor

    def __init__(self, shape: SmallDvaShape) -> None:
        super().__init__()
        self.linear = nn.Linear(IDENTITY + shape.appearance + LANDMARKS, shape.embedding)
        self.register_buffer("middle", torch.zeros(LANDMARKS))
        self.register_buffer("spread", torch.ones(()))

    def forward(
        self, identity: Tensor, landmarks: Tensor, keep: Sequence[Tensor] = NO_EMBEDS
    ) -> Tensor:
        """Map both parts of z_id and the landmarks to z_face (B, embedding).

        Args:
            identity: (B or 1, 512 + appearance).
            landmarks: (B, 136) in shares of the crop.
            keep: in training two of (B, 1), 0 where identity-s or the landmarks are dropped.
        """
        parts = [
            normalize_rows(identity[:, :IDENTITY]),
            normalize_rows(identity[:, IDENTITY:]),
            (landmarks - self.middle) / self.spread,
        ]
        if keep:
            parts = [parts[0] * keep[0], parts[1], parts[2] * keep[1]]
        count = max(len(part) for part in parts)
        out: Tensor = self.linear(torch.cat([part.expand(count, -1) for part in parts], 1))
        return out


def normalize_rows(rows: Tensor) -> Tensor:
    """Scale rows (N, D) to length sqrt(D), so that their numbers are about 1."""
    out: Tensor = F.normalize(rows.float()) * rows.shape[1] ** 0.5
    return out


class SmallDva(nn.Module):
    """All networks of dva-s under one set of keys.

    `labels` predicts the 40 attributes from the appearance code, which keeps them linear in it.
    """

    def __init__(self, shape: SmallDvaShape, attributes: int = 40) -> None:
        super().__init__()
        self.shape = shape
        self.looker, self.facer = AppearanceEncoder(shape), FaceProjection(shape)
        self.painter, self.remainder = FaceDecoder(shape), ResidualDenoiser(shape)
        self.labels = nn.Linear(shape.appearance, attributes)

"""The networks of dva-s: who a face is and how it moves -> one vector; that vector painted; the noise estimator of what the painting leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.diffusion.blocks import Residual, norm
from thcli.diffusion.unet import UNet, UNetShape
from thcli.editors.dva.network import TimeEmbedding, TwiceModulated

IDENTITY, LANDMARKS = 512, 68 * 2
NO_EMBEDS: tuple[Tensor, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """size: pixels of a crop's side.  patch: squares of so many pixels a side become channels before any convolution.

    width: of the U-Net's first level, times `times` for each.  blocks: residual blocks a level.  attention: factors with attention, of
    head channels a head.  embedding: numbers of z_face and of the time's embedding.  look: numbers of the learnt code of looks.
    seen, painted: widths of the looker and of the painter, which halve and double their map from one to the next.
    """

    size: int = 96
    patch: int = 3
    width: int = 32
    times: tuple[int, ...] = (1, 2, 3)
    blocks: int = 1
    attention: tuple[int, ...] = (4,)
    head: int = 32
    embedding: int = 192
    look: int = 128
    seen: tuple[int, ...] = (40, 80, 112, 128)
    painted: tuple[int, ...] = (176, 144, 96, 48)

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.size // self.patch

    @property
    def channels(self) -> int:
        """Of a patch."""
        return 3 * self.patch**2


class Looker(nn.Module):
    """A picture -> the code of its looks: (B, 3, S, S) in [-1, 1] -> (B, look), of any length."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        first, *rest = shape.seen
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(shape.patch),
            nn.Conv2d(shape.channels, first, 3, padding=1),
        ]
        for after in rest:
            layers += [
                norm(first),
                nn.SiLU(),
                nn.Conv2d(first, first, 3, padding=1),
                norm(first),
                nn.SiLU(),
            ]
            layers += [nn.Conv2d(first, after, 3, stride=2, padding=1)]
            first = after
        side = shape.grid >> len(rest)
        layers += [norm(first), nn.SiLU(), nn.Flatten(), nn.Linear(first * side**2, shape.look)]
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> Tensor:
        out: Tensor = self.layers(pictures)
        return out


class Painter(nn.Module):
    """z_face (B, embedding) -> the picture that it says by itself, (B, 3, S, S), about in [-1, 1]."""

    VERBATIM = True  # text edits send gradients through it

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        first, *rest = shape.painted
        self.side, self.patch = shape.grid >> len(rest), shape.patch
        self.begin = nn.Linear(shape.embedding, first * self.side**2)
        embeds = {"emb_layers": shape.embedding}
        self.blocks = nn.ModuleList()
        for after in rest:
            self.blocks.append(Residual(first, after, embeds, resample="up"))
            first = after
        self.blocks.append(Residual(first, first, embeds))
        self.out = nn.Sequential(
            norm(first), nn.SiLU(), nn.Conv2d(first, shape.channels, 3, padding=1)
        )

    def forward(self, face: Tensor) -> Tensor:
        x = self.begin(face).unflatten(1, (-1, self.side, self.side))
        for block in self.blocks:
            x = block(x, (face,))
        return F.pixel_shuffle(self.out(x), self.patch)


class Remainder(UNet):
    """What is noise (v) in a noised remainder of a picture, given the painting that it is the remainder of, and the face."""

    # The way to noise and back multiplies rounding: Winograd's is too much for it (see `network.NoiseEstimator`).
    VERBATIM = True

    def __init__(self, shape: Shape) -> None:
        s = shape
        trunk = UNetShape(
            2 * s.channels, s.channels, s.width, s.times, s.blocks, s.attention, s.head
        )
        super().__init__(
            trunk, {"emb_layers": s.embedding, "cond_emb_layers": s.embedding}, TwiceModulated
        )
        self.patch = s.patch
        self.time_embed = TimeEmbedding(s.width, s.embedding)

    def forward(self, x: Tensor, timesteps: Tensor, face: Tensor, painting: Tensor) -> Tensor:
        """x, painting: (B, 3, S, S); timesteps (B,) of the thousand; face: (B, embedding) -> (B, 3, S, S)."""
        inside = F.pixel_unshuffle(torch.cat([x, painting], 1), self.patch)
        return F.pixel_shuffle(self.trunk(inside, (self.time_embed(timesteps), face)), self.patch)


class Facer(nn.Module):
    """z_id and z_lnd -> z_face: one linear layer, as in the paper; both parts of z_id and the landmarks are first brought to one scale."""

    middle: Tensor
    spread: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.linear = nn.Linear(IDENTITY + shape.look + LANDMARKS, shape.embedding)
        self.register_buffer("middle", torch.zeros(LANDMARKS))
        self.register_buffer("spread", torch.ones(()))

    def forward(
        self, identity: Tensor, landmarks: Tensor, held: Sequence[Tensor] = NO_EMBEDS
    ) -> Tensor:
        """identity: (B or 1, 512 + look).  landmarks: (B, 136) in shares of the crop -> (B, embedding).

        held: in training (B, 1) each of 0 and 1, whether identity-s and the landmarks are shown.
        """
        who, look = identity[:, :IDENTITY], identity[:, IDENTITY:]
        parts = [unit(who), unit(look), (landmarks - self.middle) / self.spread]
        if held:
            parts = [parts[0] * held[0], parts[1], parts[2] * held[1]]
        count = max(len(part) for part in parts)
        out: Tensor = self.linear(torch.cat([part.expand(count, -1) for part in parts], 1))
        return out


def unit(rows: Tensor) -> Tensor:
    """Rows whose numbers are about 1: of length sqrt(D)."""
    out: Tensor = F.normalize(rows.float()) * rows.shape[1] ** 0.5
    return out


class SmallDva(nn.Module):
    """All of them under one set of keys; `labels` tells the 40 attributes of a look, which keeps them linear in it."""

    def __init__(self, shape: Shape, attributes: int = 40) -> None:
        super().__init__()
        self.shape = shape
        self.looker, self.facer = Looker(shape), Facer(shape)
        self.painter, self.remainder = Painter(shape), Remainder(shape)
        self.labels = nn.Linear(shape.look, attributes)

"""The removers: conditional U-Nets on a part of the unrolled face (0.9, 0.2 million parameters)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.options import RemoverNetwork
from thcli.editors.atlas.removers.parts import REMOVABLE

WIDTHS = (32, 64, 96, 128)  # channels at 1/2, 1/4, 1/8 and 1/16 of the size
_MAKEUP_NARROW = 2  # divisor of the widths of the network of make-up
_BLOCK = 2  # side of the squares of samples that are one position of the network
_STRIDE = _BLOCK * 2 ** (len(WIDTHS) - 1)  # sizes are padded to multiples of it
_CLOSED = -16.0  # logit of a mask that lets everything through
_CHANNELS = 9  # colour, difference of the prior, visibility and two coordinates


class Removal(NamedTuple):
    """Result of the network.

    target: (B, 3, H, W) soft logarithms of the bare face.
    mask: (B, 1, H, W) 0..1, where the target replaces the texture.
    logit: of the mask.
    """

    target: Tensor
    mask: Tensor
    logit: Tensor

    def apply(self, texture: Tensor) -> Tensor:
        """Return the texture (B, 3, H, W) with the removal applied."""
        return texture + self.mask * (self.target - texture)


class ConditionedBlock(nn.Module):
    """Two 3 x 3 convolutions with a scale and shift that depend on the condition."""

    def __init__(self, inputs: int, outputs: int, conditions: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(conditions, 2 * outputs)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x = F.silu(self.first(x))
        scale, shift = self.modulation(condition)[..., None, None].chunk(2, 1)
        out: Tensor = F.silu(self.second(x * (1 + scale) + shift))
        return out


class RemoverNet(nn.Module):
    """U-Net (Ronneberger et al. 2015): mask of what is removed, and the bare face below it.

    What the mask leaves out passes through unchanged.
    """

    def __init__(self, narrow: int = 1, *, opaque: bool = True) -> None:
        """Create the network.

        Args:
            narrow: divisor of all widths.
            opaque: whether what is removed hides the skin. The network then corrects the prior,
                else the texture itself, which keeps its detail.
        """
        super().__init__()
        self._opaque = opaque
        widths = [max(8, width // narrow) for width in WIDTHS]
        conditions = len(REMOVABLE)
        ins = [_CHANNELS * _BLOCK**2, *widths[:-1]]
        self.down = nn.ModuleList(
            ConditionedBlock(a, b, conditions) for a, b in zip(ins, widths, strict=True)
        )
        pairs = zip(widths[::-1][:-1], widths[::-1][1:], strict=True)
        self.up = nn.ModuleList(ConditionedBlock(a + b, b, conditions) for a, b in pairs)
        self.out = nn.Conv2d(widths[0], 4 * _BLOCK**2, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # keeps the variance through layers without norms
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                module.bias = nn.Parameter(torch.zeros(module.out_channels))
        nn.init.normal_(self.out.weight, std=0.01)

    def let_through(self) -> None:
        """Change nothing."""
        nn.init.zeros_(self.out.weight)
        if self._opaque and self.out.bias is not None:  # else the texture is its own target
            nn.init.constant_(self.out.bias[-(_BLOCK**2) :], _CLOSED)

    def reopen(self) -> None:
        """Prepare a network that lets everything through for training; others stay."""
        if not self.out.weight.any() and self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def forward(
        self, texture: Tensor, prior: Tensor, weight: Tensor, condition: Tensor, place: Tensor
    ) -> Removal:
        """Find what to remove.

        Args:
            texture: (B, 3, H, W) soft logarithms.
            prior: (B, 3, H, W) bare face that `prior.PartPrior.fit` found.
            weight: (B, 1, H, W) visibility.
            condition: (B, len(REMOVABLE)), 1 for what is removed.
            place: (B, 2, H, W) position in the atlas, about -1..1.
        """
        height, width = texture.shape[2:]
        full = torch.cat([texture + 1, prior - texture, weight, place], 1)
        full = F.pad(full, (0, -width % _STRIDE, 0, -height % _STRIDE), mode="replicate")
        x = F.pixel_unshuffle(full, _BLOCK)
        kept: list[Tensor] = []
        for number, block in enumerate(self.down):
            if number:
                x = F.avg_pool2d(x, 2)
            x = block(x, condition)
            kept.append(x)
        kept.pop()
        for block in self.up:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat([x, kept.pop()], 1), condition)
        found = F.pixel_shuffle(self.out(x), _BLOCK)[..., :height, :width]
        logit = found[:, 3:] - 1
        base = prior if self._opaque else texture
        return Removal(base + found[:, :3], logit.sigmoid(), logit)


def network_for(removed: str) -> RemoverNetwork:
    """Return the network that takes off one of REMOVABLE."""
    return "makeup" if removed == "makeup" else "worn"


def create_networks(narrow: int = 1) -> dict[RemoverNetwork, RemoverNet]:
    """Create the network of what hides the skin, and that of make-up, which does not.

    Args:
        narrow: divisor of all widths.
    """
    return {
        "worn": RemoverNet(narrow),
        "makeup": RemoverNet(_MAKEUP_NARROW * narrow, opaque=False),
    }

"""U-Net (Ronneberger et al. 2015) that paints a patch as a change of its coarse colours.

differs from the paper: it works on 2 x 2 pixels at once, has residual blocks and no normalisation.
It is trained here; `graph` renders with the same weights, in 8 bits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# channels at a half, a quarter and an eighth of the patch's side
EYE_WIDTHS, MOUTH_WIDTHS = (24, 40, 64), (24, 48, 96)
FORGOTTEN = 0.002  # share of the way to a batch's own limits by which wider ones give way to it


class NotingConv(nn.Conv2d):
    """Convolution that notes in training between which values its input and output lie.

    limits: (2, 2) least and largest of the input and of the output; 0 before training.
    """

    limits: Tensor

    def __init__(
        self, inputs: int, outputs: int, side: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(inputs, outputs, side, stride, padding)
        self.register_buffer("limits", torch.zeros(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.training:
            with torch.no_grad():
                seen = torch.stack([torch.stack(torch.aminmax(values)) for values in (x, y)])
                seen = seen.to(self.limits.dtype)
                kept = torch.where(self.limits.any(), self.limits.lerp(seen, FORGOTTEN), seen)
                low, high = torch.minimum(kept, seen)[:, :1], torch.maximum(kept, seen)[:, 1:]
                self.limits.copy_(torch.cat([low, high], 1))
        return y


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = NotingConv(width, width, 3, 1, 1)
        self.second = NotingConv(width, width, 3, 1, 1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(functional.silu(self.first(x)))
        return functional.silu(x + y)


class PatchNet(nn.Module):
    """Network from a patch's channels to the painted patch.

    channels: of the input, the first three are the coarse colours around 0.
    narrow: divisor of the widths, for smoke runs.
    widths: channels at a half, a quarter and an eighth of the patch's side.
    """

    def __init__(
        self, channels: int, narrow: int = 1, widths: tuple[int, int, int] = EYE_WIDTHS
    ) -> None:
        super().__init__()
        fine, middle, coarse = (max(width // narrow, 4) for width in widths)
        self.stem = NotingConv(4 * channels, fine, 3, 1, 1)
        self.fine = Residual(fine)
        self.down1 = NotingConv(fine, middle, 3, 2, 1)
        self.middle = Residual(middle)
        self.down2 = NotingConv(middle, coarse, 3, 2, 1)
        self.coarse = nn.Sequential(Residual(coarse), Residual(coarse))
        self.up2 = NotingConv(coarse, middle, 1)
        self.middle_out = Residual(middle)
        self.up1 = NotingConv(middle, fine, 1)
        self.fine_out = Residual(fine)
        self.out = NotingConv(fine, 12, 3, 1, 1)
        with torch.no_grad():
            self.out.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the change of a batch of patches.

        Args:
            x: (B, C, H, W) float32, H and W multiples of 8.

        Returns:
            (B, 3, H, W) to be added to the coarse colours.
        """
        fine = self.fine(functional.silu(self.stem(functional.pixel_unshuffle(x, 2))))
        middle = self.middle(functional.silu(self.down1(fine)))
        y = self.coarse(functional.silu(self.down2(middle)))
        y = self.middle_out(middle + functional.interpolate(self.up2(y), scale_factor=2.0))
        y = self.fine_out(fine + functional.interpolate(self.up1(y), scale_factor=2.0))
        return functional.pixel_shuffle(self.out(y), 2)

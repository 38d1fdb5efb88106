"""SPADE decoder of face vid2vid and LivePortrait, with the keys as published.

A warped feature becomes an image and guides every norm itself.
Sources: One-Shot_Free-View_Neural_Talking_Head_Synthesis modules/generator.py at 9511d25;
LivePortrait src/modules/spade_generator.py at 1986663.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thcli.engines.shared.networks.layers import convolution, rectify
from thcli.engines.shared.networks.spade import SpadeBlock


class SpadeDecoder(nn.Module):
    """Decoder of an occluded feature (B, 256, 64, 64) to an image (B, 3, 256, 256) in [0, 1].

    shuffle: twice the size; the last convolution gives four pixels at once (LivePortrait).
    width_divisor: divides every width (1: as published).
    """

    def __init__(self, *, shuffle: bool = False, width_divisor: int = 1):
        super().__init__()
        a, c, d, hidden = (
            64 // width_divisor,
            256 // width_divisor,
            512 // width_divisor,
            128 // width_divisor,
        )
        self.fc = convolution(2, c, d, 3)
        for i in range(6):
            self.add_module(f"G_middle_{i}", SpadeBlock(d, d, c, hidden))
        self.up_0 = SpadeBlock(d, c, c, hidden, factor=2, twice=True)
        self.up_1 = SpadeBlock(c, a, c, hidden, factor=4, twice=True)
        last = convolution(2, a, 12 if shuffle else 3, 3)
        self.conv_img = nn.Sequential(last, nn.PixelShuffle(2)) if shuffle else last

    def forward(self, feature: Tensor) -> Tensor:
        x = self.fc(feature)
        for i in range(6):
            x = self.get_submodule(f"G_middle_{i}")(x, feature)
        for block in (self.up_0, self.up_1):
            x = block(x, feature)
        return torch.sigmoid(self.conv_img(rectify(x, 0.2)).float())

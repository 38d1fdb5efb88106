"""The SPADE decoder of face vid2vid and LivePortrait: a warped feature becomes a picture, guided by itself. Keys as published.

Sources: One-Shot_Free-View_Neural_Talking_Head_Synthesis modules/generator.py at 9511d25; LivePortrait src/modules/spade_generator.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thcli.engines.shared.networks.layers import convolution, rectify
from thcli.engines.shared.networks.spade import SpadeBlock


class SpadeDecoder(nn.Module):
    """Occluded feature (B, 256, 64, 64), which also guides every norm -> (B, 3, 256, 256) in [0, 1].

    shuffle: twice as large, the last convolution giving four pixels at once (LivePortrait).  narrow: divides every width.
    """

    def __init__(self, *, shuffle: bool = False, narrow: int = 1):
        super().__init__()
        a, c, d, hidden = 64 // narrow, 256 // narrow, 512 // narrow, 128 // narrow
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

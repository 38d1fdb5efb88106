"""What DVA sees of a picture: who it is, how it moves, where the face is; and the face as the noise estimator is told it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thcli.editors.dva import arcface, landmarks
from thcli.editors.dva.arcface import IdentityNet
from thcli.editors.dva.landmarks import LandmarkNet
from thcli.editors.dva.parsing import ParsingNet

FACE = 512


class Encoder(nn.Module):
    """The four groups below `encoder.` of a checkpoint. Pictures: (B, 3, 256, 256) RGB in [-1, 1], FFHQ's crop.

    Only `linear` is trained for DVA: the paper's MLP is one layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.idnet, self.lndnet, self.bgnet = IdentityNet(), LandmarkNet(), ParsingNet()
        self.linear = nn.Linear(arcface.LENGTH + landmarks.LENGTH, FACE)

    def face(self, identity: Tensor, points: Tensor) -> Tensor:
        """z_face (B, 512) of identities (B or 1, 512) and landmarks (B, 102)."""
        out: Tensor = self.linear(torch.cat([identity.expand(len(points), -1), points], 1))
        return out

    def forward(self, pictures: Tensor, moving: Tensor | None = None) -> Tensor:
        """z_face (B, 512) of pictures; moving: others whose landmarks are taken in place of their own."""
        return self.face(self.idnet(pictures), self.lndnet(pictures if moving is None else moving))

"""Encoders of DVA: identity, landmarks, face mask, and their projection to z_face."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thcli.editors.dva import arcface, landmarks
from thcli.editors.dva.arcface import IdentityNet
from thcli.editors.dva.landmarks import LandmarkNet
from thcli.editors.dva.parsing import ParsingNet

FACE = 512


class Encoder(nn.Module):
    """The four groups below `encoder.` of a checkpoint.

    Images are (B, 3, 256, 256) RGB in [-1, 1], in FFHQ's crop. DVA trains only `linear`: the
    paper's MLP is one layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.idnet, self.lndnet, self.bgnet = IdentityNet(), LandmarkNet(), ParsingNet()
        self.linear = nn.Linear(arcface.LENGTH + landmarks.LENGTH, FACE)

    def encode_face(self, identity: Tensor, points: Tensor) -> Tensor:
        """Return z_face (B, 512) of identities (B or 1, 512) and landmarks (B, 102)."""
        out: Tensor = self.linear(torch.cat([identity.expand(len(points), -1), points], 1))
        return out

    def forward(self, images: Tensor, driving: Tensor | None = None) -> Tensor:
        """Return z_face (B, 512) of images (B, 3, 256, 256).

        driving: images whose landmarks replace those of `images`.
        """
        return self.encode_face(
            self.idnet(images), self.lndnet(images if driving is None else driving)
        )

"""clip-s: a picture's and a text's way into one space, near each other where the text is true of the picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from thcli.editors.clip.vocabulary import LONGEST, VOCABULARY
from thcli.editors.shared.face_cnn import FaceTrunk

LENGTH = 128  # numbers of a text and of a picture
WIDTHS, COUNTS = (32, 64, 112, 208), (1, 2, 2)  # of the pictures' network
WORD, HEADS, LAYERS = 96, 4, 2  # of the texts'


class TextNet(nn.Module):
    """Word numbers (B, L), 0 after the last -> (B, LENGTH). Words know their places: "with" and "without" act on what follows."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(len(VOCABULARY) + 1, WORD)
        self.places = nn.Parameter(torch.randn(LONGEST, WORD) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WORD, HEADS, 2 * WORD, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(LAYERS)
        )
        self.norm, self.out = nn.LayerNorm(WORD), nn.Linear(WORD, LENGTH)
        nn.init.normal_(self.words.weight, std=0.3)

    def forward(self, numbers: Tensor) -> Tensor:
        numbers = numbers[:, : max(int((numbers > 0).sum(1).max()), 1)]
        blank = numbers == 0
        x = self.words(numbers) + self.places[: numbers.shape[1]]
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=blank)
        kept = (~blank).float()[..., None]
        mean = (self.norm(x) * kept).sum(1) / kept.sum(1).clamp_min(1)
        out: Tensor = self.out(mean)
        return out


class ClipSmall(nn.Module):
    """Both ways, and how cosines become odds that a text is true of a picture: scale * cosine + bias (Zhai et al. 2023, SigLIP)."""

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        self.image = FaceTrunk(WIDTHS, COUNTS, LENGTH, narrow)
        self.text = TextNet()
        self.log_scale = nn.Parameter(torch.tensor(2.3))
        self.bias = nn.Parameter(torch.tensor(-1.0))

    def pictures(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..1 -> (B, LENGTH) of unit length."""
        return functional.normalize(self.image(pictures).float(), dim=1)

    def texts(self, numbers: Tensor) -> Tensor:
        """(B, L) -> (B, LENGTH) of unit length."""
        return functional.normalize(self.text(numbers).float(), dim=1)

    def odds(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """(N, C) log odds of rows of unit length."""
        return self.log_scale.exp() * pictures @ texts.T + self.bias

"""Networks of clip-s: image and text encoders with a common embedding space."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from thcli.editors.clip.vocabulary import MAX_WORDS, VOCABULARY
from thcli.editors.shared.face_cnn import FaceCnn

EMBEDDING_SIZE = 128  # of a text and of an image
WIDTHS, COUNTS = (32, 64, 112, 208), (1, 2, 2)  # of the image encoder
WORD_SIZE, HEADS, LAYERS = 96, 4, 2  # of the text encoder


class TextEncoder(nn.Module):
    """Transformer over word ids with learnt positions.

    Positions matter: "with" and "without" act on the words that follow.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(len(VOCABULARY) + 1, WORD_SIZE)
        self.places = nn.Parameter(torch.randn(MAX_WORDS, WORD_SIZE) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WORD_SIZE, HEADS, 2 * WORD_SIZE, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(LAYERS)
        )
        self.norm, self.out = nn.LayerNorm(WORD_SIZE), nn.Linear(WORD_SIZE, EMBEDDING_SIZE)
        nn.init.normal_(self.words.weight, std=0.3)

    def forward(self, word_ids: Tensor) -> Tensor:
        """Map word ids (B, L), 0 after the last word, to (B, EMBEDDING_SIZE)."""
        padding = word_ids == 0
        x = self.words(word_ids) + self.places[: word_ids.shape[1]]
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        kept = (~padding).float()[..., None]
        mean = (self.norm(x) * kept).sum(1) / kept.sum(1).clamp_min(1)
        out: Tensor = self.out(mean)
        return out


class ClipSmall(nn.Module):
    """Image and text encoder, and the map from cosines to log odds that a text describes an image.

    The log odds are scale * cosine + bias (Zhai et al. 2023, SigLIP).
    """

    def __init__(self, width_divisor: int = 1) -> None:
        super().__init__()
        self.image = FaceCnn(WIDTHS, COUNTS, EMBEDDING_SIZE, width_divisor)
        self.text = TextEncoder()
        self.log_scale = nn.Parameter(torch.tensor(2.3))
        self.bias = nn.Parameter(torch.tensor(-1.0))

    def encode_images(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) RGB in 0..1 to (B, EMBEDDING_SIZE) of unit length."""
        return functional.normalize(self.image(images).float(), dim=1)

    def encode_texts(self, word_ids: Tensor) -> Tensor:
        """Map word ids (B, L) to (B, EMBEDDING_SIZE) of unit length."""
        return functional.normalize(self.text(word_ids).float(), dim=1)

    def log_odds(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return (N, C) log odds of unit image rows (N, D) and unit text rows (C, D)."""
        return self.log_scale.exp() * images @ texts.T + self.bias

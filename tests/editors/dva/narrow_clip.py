"""CLIP in narrow under the keys of OpenAI's file, and a stand-in for the package open_clip."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

WIDTH, EMBEDDING, WORDS, LENGTH = 16, 8, 64, 77
TEMPLATES = 80  # of OpenAI's list


class Block(nn.Module):
    """Residual attention block."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "c_proj": nn.Linear(4 * WIDTH, WIDTH)}
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        z = self.mlp["c_fc"](self.ln_2(x))
        out: Tensor = x + self.mlp["c_proj"](z * torch.sigmoid(1.702 * z))
        return out


class Layers(nn.Module):
    """Transformer of one block."""

    def __init__(self) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList([Block()])


class Visual(nn.Module):
    """Image tower."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn((224 // patch) ** 2 + 1, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = Layers()
        self.proj = nn.Parameter(torch.randn(WIDTH, EMBEDDING))

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv1(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1)
        x = self.transformer.resblocks[0](self.ln_pre(x + self.positional_embedding))
        out: Tensor = self.ln_post(x[:, 0]) @ self.proj
        return out


class NarrowClip(nn.Module):
    """Both towers."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.visual, self.transformer = Visual(patch), Layers()
        self.token_embedding = nn.Embedding(WORDS, WIDTH)
        self.positional_embedding = nn.Parameter(torch.randn(LENGTH, WIDTH))
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, EMBEDDING))
        self.logit_scale = nn.Parameter(torch.ones(()))
        self.register_buffer("attn_mask", torch.full((LENGTH, LENGTH), -torch.inf).triu(1), False)

    def encode_image(self, images: Tensor) -> Tensor:
        out: Tensor = self.visual(images)
        return out

    def encode_text(self, ids: Tensor) -> Tensor:
        x = self.token_embedding(ids) + self.positional_embedding
        x = self.ln_final(self.transformer.resblocks[0](x, self.attn_mask))
        last = x[torch.arange(len(x)), ids.argmax(1)]
        out: Tensor = last @ self.text_projection
        return out


def tokenise(texts: Sequence[str]) -> Tensor:
    """Map texts to ids (N, 77): a number for each word, and the largest id at the end."""
    ids = torch.zeros(len(texts), LENGTH, dtype=torch.long)
    for row, text in zip(ids, texts, strict=True):
        words = [sum(map(ord, word)) % (WORDS - 2) + 1 for word in text.split()]
        row[: len(words) + 1] = torch.tensor([*words, WORDS - 1])
    return ids


class OpenClip(SimpleNamespace):
    """The used part of open_clip. `asked`: names of the networks; `read`: all encoded texts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.read: list[str] = []
        numbered = [f"photo {number} of a {{}}." for number in range(TEMPLATES - 1)]
        self.OPENAI_IMAGENET_TEMPLATES = [
            template.format for template in ["a photo of many {}.", *numbered]
        ]

    def create_model(self, name: str, **settings: Any) -> NarrowClip:
        self.asked.append(name)
        return NarrowClip(32 if "-32-" in name else 16)

    def get_tokenizer(self, name: str) -> Any:
        def read(texts: Sequence[str]) -> Tensor:
            self.read += texts
            return tokenise(texts)

        return read

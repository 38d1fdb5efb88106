"""Transformer blocks of SegFormer (Mix Transformer), with the keys as published.

Tokens are maps (B, H, W, C): pixels in rows and columns, channels last.
Source: Xie et al. 2021, sec. 3.1 (efficient self-attention, Mix-FFN); Real3DPortrait
modules/real3d/segformer.py at a9d70c7.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN_AT_A_TIME = 512


def to_map(tokens: Tensor) -> Tensor:
    """View tokens (B, H, W, C) as an image (B, C, H, W), channels last in memory."""
    return tokens.permute(0, 3, 1, 2)


def to_tokens(image: Tensor) -> Tensor:
    """View an image (B, C, H, W) as tokens (B, H, W, C)."""
    return image.permute(0, 2, 3, 1)


class PatchEmbed(nn.Module):
    """Overlapping patches: a strided convolution and a layer norm."""

    def __init__(self, inputs: int, width: int, kernel: int, stride: int):
        super().__init__()
        self.proj = nn.Conv2d(inputs, width, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor) -> Tensor:
        """Map an image (B, C, H, W) to tokens (B, H / stride, W / stride, width)."""
        out: Tensor = self.norm(to_tokens(self.proj(image)).contiguous())
        return out


@dataclass(frozen=True, slots=True)
class BlockSize:
    """Size of a transformer block.

    width: channels of a token.  heads: of the attention.  expansion: of the MLP's width.
    reduction: factor by which keys and values have fewer rows and columns.  epsilon: of the
    block's own layer norms.
    """

    width: int
    heads: int
    expansion: int
    reduction: int = 1
    epsilon: float = 1e-5


class Attention(nn.Module):
    """Self-attention whose keys and values come from a reduced map; no positional encoding."""

    def __init__(self, size: BlockSize):
        super().__init__()
        width, self.heads = size.width, size.heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.reduced = size.reduction > 1
        if self.reduced:
            self.sr = nn.Conv2d(width, width, size.reduction, size.reduction)
            self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, height, width, channels = tokens.shape
        q = self.q(tokens).view(batch, height * width, self.heads, -1).transpose(1, 2)
        small = self.norm(to_tokens(self.sr(to_map(tokens))).contiguous()) if self.reduced else None
        pairs = self.kv(tokens if small is None else small)
        k, v = pairs.view(batch, -1, 2, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, height, width, channels))
        return out


class DepthwiseConv(nn.Module):
    """A depth-wise 3 x 3 convolution of tokens."""

    def __init__(self, width: int):
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, tokens: Tensor) -> Tensor:
        return to_tokens(self.dwconv(to_map(tokens)))


class MixFeedForward(nn.Module):
    """Two linear layers with a depth-wise convolution and a GELU between them.

    Without gradients, the hidden channels are computed some at a time: they do not mix before the
    second layer, and together they would be the largest tensors of the model.
    """

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            out: Tensor = self.fc2(F.gelu(self.dwconv(self.fc1(tokens))))
            return out
        first, depthwise, last = self.fc1, self.dwconv.dwconv, self.fc2
        total = tokens.new_zeros(*tokens.shape[:-1], last.out_features)
        for start in range(0, first.out_features, HIDDEN_AT_A_TIME):
            some = slice(start, start + HIDDEN_AT_A_TIME)
            hidden = to_map(F.linear(tokens, first.weight[some], first.bias[some]))
            kernel, bias = depthwise.weight[some], self._slice(depthwise.bias, some)
            hidden = F.conv2d(hidden, kernel, bias, padding=1, groups=len(kernel))
            total += F.linear(F.gelu(to_tokens(hidden)), last.weight[:, some])
        return total + last.bias

    @staticmethod
    def _slice(bias: Tensor | None, some: slice) -> Tensor | None:
        return None if bias is None else bias[some]


class Block(nn.Module):
    """Attention and feed-forward, each on a norm and added to its input."""

    def __init__(self, size: BlockSize):
        super().__init__()
        self.norm1 = nn.LayerNorm(size.width, eps=size.epsilon)
        self.attn = Attention(size)
        self.norm2 = nn.LayerNorm(size.width, eps=size.epsilon)
        self.mlp = MixFeedForward(size.width, size.expansion * size.width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out

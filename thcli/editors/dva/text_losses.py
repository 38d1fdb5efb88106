"""An identity moved by words: the losses of DVA's text edits, on one step from each picture of a short trail (Kim et al. 2023, sec. 3.3).

CLIP itself is not here: its features come in, L2-normalised rows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TINY = 1e-7


def text_direction(source: Tensor, target: Tensor) -> Tensor:
    """(1, D), unit length: from one text to another, each as features (templates, D) of unit length."""
    return F.normalize((target - source).mean(0, keepdim=True), dim=-1)


def directional(source: Tensor, target: Tensor, direction: Tensor) -> Tensor:
    """1 - cosine between what pictures did and what the texts do, their mean. source, target: features of pictures (B, D), unit length.

    Before anything moved there is no direction: the pictures' features stand for it.
    """
    moved = target - source
    moved = target if not moved.any() else moved / (moved.norm(dim=-1, keepdim=True) + TINY)
    return (1 - F.cosine_similarity(moved, direction, dim=1)).mean()


def clip_loss(distance: Tensor) -> Tensor:
    """-log of how near the directions are, for a `directional` distance of 0..2."""
    return -torch.log((2 - distance) / 2)


def identity_loss(identity: Tensor, start: Tensor) -> Tensor:
    """1 - cosine of an identity (1, 512) of unit length and the one that it began at."""
    return 1 - (identity * start).sum()


def picture_loss(before: Tensor, after: Tensor, mask: Tensor) -> Tensor:
    """Mean |difference| of pictures (S, 3, H, W) within the mask (1, 1, H, W), over all pixels."""
    return (mask * before - mask * after).abs().mean()

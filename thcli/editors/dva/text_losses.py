"""Losses of DVA's text edits (Kim et al. 2023, sec. 3.3).

They apply to one step from each image of a short trajectory. CLIP itself is not here: the functions
take its features, rows of unit length.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TINY = 1e-7


def text_direction(source: Tensor, target: Tensor) -> Tensor:
    """Return the unit direction (1, D) between two texts, each (templates, D) of unit length."""
    return F.normalize((target - source).mean(0, keepdim=True), dim=-1)


def directional_distance(source: Tensor, target: Tensor, direction: Tensor) -> Tensor:
    """Return the mean of 1 - cosine between the change of images and the change of texts.

    Before anything has moved there is no direction: the images' features stand in for it.

    Args:
        source, target: features of images (B, D) of unit length.
        direction: (1, D) of the texts.
    """
    moved = target - source
    unit = moved / (moved.norm(dim=-1, keepdim=True) + TINY)
    moved = torch.where(moved.any(), unit, target)
    return (1 - F.cosine_similarity(moved, direction, dim=1)).mean()


def clip_loss(distance: Tensor) -> Tensor:
    """Return -log of the similarity of a `directional_distance` in 0..2."""
    return -torch.log((2 - distance) / 2)


def identity_loss(identity: Tensor, start: Tensor) -> Tensor:
    """Return 1 - cosine of an identity (1, 512) of unit length and its start."""
    return 1 - (identity * start).sum()


def pixel_loss(before: Tensor, after: Tensor, mask: Tensor) -> Tensor:
    """Return the mean |difference| of images within a mask, over all pixels.

    Args:
        before, after: (S, 3, H, W).
        mask: (1, 1, H, W).
    """
    return (mask * before - mask * after).abs().mean()

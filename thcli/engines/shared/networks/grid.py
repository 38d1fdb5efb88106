"""Grids, keypoint maps and sampling, in 2 and 3 dimensions.

Convention: a point is (x, y) or (x, y, z), each in [-1, 1], the ends at the *centres* of the outermost pixels; sizes are (h, w)
or (d, h, w); grids have the point on their last axis. `aligned` is grid_sample's align_corners, which differs between the
papers' own PyTorch (True up to 1.2) and today's default (False); each network says which of them its checkpoint wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


@lru_cache(64)
def axis(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(size,) coordinates of pixel centres, from -1 to 1. Read-only."""
    with torch.inference_mode(False):  # cached: usable in training too
        return 2 * (torch.arange(size, device=device, dtype=dtype) / (size - 1)) - 1


@lru_cache(32)
def identity(sizes: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """(*sizes, dims): every pixel's own point. Read-only."""
    with torch.inference_mode(False):
        lines = torch.meshgrid(*(axis(n, device, dtype) for n in sizes), indexing="ij")
        return torch.stack(lines[::-1], -1)


def expectation(heat: Tensor) -> Tensor:
    """(B, K, *sizes) heatmaps that sum to 1 -> (B, K, dims) mean points."""
    sizes = heat.shape[2:]
    out = []
    for a in reversed(range(len(sizes))):
        others = [2 + i for i in range(len(sizes)) if i != a]
        out.append((heat.sum(others) * axis(sizes[a], heat.device, heat.dtype)).sum(-1))
    return torch.stack(out, -1)


def softmax_maps(logits: Tensor, temperature: float) -> Tensor:
    """(B, K, *sizes) -> the softmax over all positions of logits / temperature."""
    return F.softmax(logits.flatten(2) / temperature, -1).view_as(logits)


def gaussians(points: Tensor, sizes: Sequence[int], variance: float) -> Tensor:
    """exp(-|z - point|^2 / (2 variance)): points (..., dims) -> (..., *sizes)."""
    dims = len(sizes)
    out = torch.ones((), device=points.device, dtype=points.dtype)
    for a, size in enumerate(sizes):
        distance = axis(size, points.device, points.dtype) - points[..., dims - 1 - a, None]
        line = torch.exp(distance.square() * (-0.5 / variance))
        out = out[..., None] * line.view(*line.shape[:-1], *(1,) * a, size)
    return out


def sample(x: Tensor, grid: Tensor, *, aligned: bool) -> Tensor:
    """Bi- or trilinear reading of x (B, C, *sizes) at grid (B, *out sizes, dims); outside is zero."""
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=aligned)


def shift(x: Tensor, offsets: Tensor, *, aligned: bool) -> Tensor:
    """What `sample` gives at identity + offset, for grids that only translate: x (B, C, *sizes), offsets (B, K, dims) -> (B, K, C, *sizes).

    Linear reading on a regular grid works on each axis alone, so it is a small matrix product an axis.
    """
    batch, _, *sizes = x.shape
    out = x[:, None]
    for a in reversed(range(len(sizes))):
        reader = _reader(offsets[..., len(sizes) - 1 - a], sizes[a], aligned)  # (B, K, out, in)
        shape = out.shape
        if a == len(sizes) - 1:
            out = out.reshape(batch, shape[1], -1, sizes[a]) @ reader.transpose(-1, -2)
        else:
            rows = out.reshape(
                batch, shape[1], shape[2:3].numel() * shape[3 : 3 + a].numel(), sizes[a], -1
            )
            out = reader[:, :, None] @ rows
        out = out.reshape(batch, offsets.shape[1], *shape[2:])
    return out


def _reader(offset: Tensor, size: int, aligned: bool) -> Tensor:
    """(..., size, size): row i holds the weights with which position i + offset reads each pixel; none outside."""
    at = axis(size, offset.device, offset.dtype) + offset[..., None]
    pixel = (at + 1) * ((size - 1) / 2) if aligned else ((at + 1) * size - 1) / 2
    return (
        1 - (pixel[..., None] - torch.arange(size, device=offset.device, dtype=offset.dtype)).abs()
    ).clamp_(min=0)

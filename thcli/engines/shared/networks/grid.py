"""Grids, keypoint heatmaps and sampling, in 2 and 3 dimensions.

Convention: a point is (x, y) or (x, y, z), each in [-1, 1], the ends at the *centres* of the
outermost pixels. Sizes are (h, w) or (d, h, w). Grids have the point on their last axis. `aligned`
is grid_sample's align_corners, which differs between the papers' own PyTorch (True up to 1.2) and
today's default (False); each network states which one its checkpoint needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


@lru_cache(64)
def axis(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the coordinates of pixel centres, (size,) from -1 to 1. Read-only."""
    with torch.inference_mode(False):  # cached: usable in training too
        return 2 * (torch.arange(size, device=device, dtype=dtype) / (size - 1)) - 1


@lru_cache(32)
def identity(sizes: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return every pixel's own point, (*sizes, dims). Read-only."""
    with torch.inference_mode(False):
        lines = torch.meshgrid(*(axis(n, device, dtype) for n in sizes), indexing="ij")
        return torch.stack(lines[::-1], -1)


def expectation(heat: Tensor) -> Tensor:
    """Compute the mean points (B, K, dims) of heatmaps (B, K, *sizes) that sum to 1."""
    sizes = heat.shape[2:]
    out = []
    for a in reversed(range(len(sizes))):
        others = [2 + i for i in range(len(sizes)) if i != a]
        out.append((heat.sum(others) * axis(sizes[a], heat.device, heat.dtype)).sum(-1))
    return torch.stack(out, -1)


def softmax_maps(logits: Tensor, temperature: float) -> Tensor:
    """Compute the softmax of logits (B, K, *sizes) / temperature over all positions."""
    return F.softmax(logits.flatten(2) / temperature, -1).view_as(logits)


def gaussians(points: Tensor, sizes: Sequence[int], variance: float) -> Tensor:
    """Compute exp(-|z - point|^2 / (2 variance)) at every position z: points (..., dims) give (...,
    *sizes).
    """
    dims = len(sizes)
    out = torch.ones((), device=points.device, dtype=points.dtype)
    for a, size in enumerate(sizes):
        distance = axis(size, points.device, points.dtype) - points[..., dims - 1 - a, None]
        line = torch.exp(distance.square() * (-0.5 / variance))
        out = out[..., None] * line.view(*line.shape[:-1], *(1,) * a, size)
    return out


def sample(x: Tensor, grid: Tensor, *, aligned: bool) -> Tensor:
    """Sample x (B, C, *sizes) linearly at grid (B, *out sizes, dims); zero outside."""
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=aligned)


def sample_shifted(x: Tensor, offsets: Tensor, *, aligned: bool) -> Tensor:
    """Compute `sample` at identity + offset, for grids that only translate.

    Linear interpolation on a regular grid is separable, so each axis is a small matrix product.

    Args:
        x: (B, C, *sizes).
        offsets: (B, K, dims).

    Returns:
        (B, K, C, *sizes).
    """
    batch, _, *sizes = x.shape
    out = x[:, None]
    for a in reversed(range(len(sizes))):
        matrix = _interpolation_matrix(
            offsets[..., len(sizes) - 1 - a], sizes[a], aligned
        )  # (B, K, out, in)
        shape = out.shape
        if a == len(sizes) - 1:
            out = out.reshape(batch, shape[1], -1, sizes[a]) @ matrix.transpose(-1, -2)
        else:
            count = shape[2:3].numel() * shape[3 : 3 + a].numel()
            rows = out.reshape(batch, shape[1], count, sizes[a], -1)
            out = matrix[:, :, None] @ rows
        out = out.reshape(batch, offsets.shape[1], *shape[2:])
    return out


def _interpolation_matrix(offset: Tensor, size: int, aligned: bool) -> Tensor:
    """Compute the (..., size, size) matrix of linear interpolation at position + offset.

    Row i holds the weights with which position i reads each pixel; positions outside read zero.
    """
    at = axis(size, offset.device, offset.dtype) + offset[..., None]
    pixel = (at + 1) * ((size - 1) / 2) if aligned else ((at + 1) * size - 1) / 2
    columns = torch.arange(size, device=offset.device, dtype=offset.dtype)
    return (1 - (pixel[..., None] - columns).abs()).clamp_(min=0)

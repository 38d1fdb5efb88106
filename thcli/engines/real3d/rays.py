"""Cameras, their rays, and depths along the rays.

A camera is 25 numbers: 16 of the camera-to-world matrix (rows; OpenCV's axes: x right, y down, z
forward) and 9 of the intrinsics, in units of the image's side. The scene is the cube of side 1
around the origin. Source: Chan et al. 2022 (EG3D); Real3DPortrait modules/eg3ds/
volumetric_rendering at a9d70c7.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

HALF_SIDE = 0.5  # of the scene's cube
FLAT = 1e-5  # share of the distribution under which a bin counts as empty


class Rays(NamedTuple):
    """Rays (R, 3) from a camera: origin, unit direction; start and end (R, 1) of the scene."""

    origin: Tensor
    direction: Tensor
    start: Tensor
    end: Tensor


def camera_rays(camera: Tensor, size: int) -> Rays:
    """Return the rays (B * size * size) through the pixels' centres, row by row.

    A ray that misses the scene has the first and the last start of the others as its range.

    Args:
        camera: (B, 25).
        size: pixels of the image's side.
    """
    world_from_camera = camera[:, :16].view(-1, 4, 4)
    intrinsics = camera[:, 16:].view(-1, 3, 3)
    centres = (torch.arange(size, device=camera.device, dtype=camera.dtype) + 0.5) / size
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    focal_x, focal_y = intrinsics[:, 0, 0, None], intrinsics[:, 1, 1, None]
    skew = intrinsics[:, 0, 1, None]
    y = (v.flatten() - intrinsics[:, 1, 2, None]) / focal_y
    x = (u.flatten() - intrinsics[:, 0, 2, None] - skew * y) / focal_x
    one = torch.ones_like(x)
    # Differences of world points, not rotated differences: a plane's pixel is some 1e-4 of rounding
    # wide at the camera's distance, and published figures have the rounding of this order.
    points = torch.bmm(world_from_camera, torch.stack([x, y, one, one], 1))[:, :3].mT
    position = world_from_camera[:, None, :3, 3]
    direction = F.normalize(points - position, dim=-1).flatten(0, 1)
    origin = position.expand(-1, size * size, -1).reshape(-1, 3)
    near, far = _limits(origin, direction)
    hit = far > near
    known = hit | ~hit.any()  # without any hit the limits stay as they are
    first = torch.where(hit, near, torch.inf).min()
    last = torch.where(hit, near, -torch.inf).max()
    near, far = torch.where(known, near, first), torch.where(known, far, last)
    return Rays(origin, direction, near[:, None], far[:, None])


def _limits(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rays enter and leave the cube, (R,) each; the end is smaller where they miss."""
    inverse = 1 / direction
    side = torch.where(inverse < 0, -HALF_SIDE, HALF_SIDE)
    near = ((-side - origin) * inverse).amax(1)
    far = ((side - origin) * inverse).amin(1)
    missed = near > far
    return torch.where(missed, -1.0, near), torch.where(missed, -2.0, far)


def stratified_depths(start: Tensor, end: Tensor, noise: Tensor) -> Tensor:
    """Return increasing depths (R, S): even steps from start to end, each moved on by its noise.

    Args:
        start, end: (R, 1).
        noise: (R, S) in [0, 1), in steps.
    """
    count = noise.shape[1]
    steps = torch.arange(count, device=noise.device, dtype=noise.dtype) / (count - 1)
    return start + steps * (end - start) + noise * ((end - start) / (count - 1))


def importance_depths(depths: Tensor, weights: Tensor, numbers: Tensor) -> Tensor:
    """Draw depths (R, N) from the distribution of coarse weights; increasing if the numbers are.

    The weights are widened by a maximum and a mean over neighbours, and never zero.

    Args:
        depths: (R, S) increasing.
        weights: (R, S - 1) of the intervals.
        numbers: (R, N) uniform in [0, 1).
    """
    wide = F.max_pool1d(weights[:, None], 2, 1, padding=1)
    smooth = F.avg_pool1d(wide, 2, 1)[:, 0] + 0.01
    middles = (depths[:, :-1] + depths[:, 1:]) / 2
    density = smooth[:, 1:-1] + 1e-5
    density = density / density.sum(1, keepdim=True)
    cumulative = F.pad(density.cumsum(1), (1, 0))
    last = cumulative.shape[1] - 1
    index = torch.searchsorted(cumulative, numbers.contiguous(), right=True)
    below, above = (index - 1).clamp_(min=0), index.clamp(max=last)
    low, high = cumulative.gather(1, below), cumulative.gather(1, above)
    first, second = middles.gather(1, below), middles.gather(1, above)
    width = high - low
    width = torch.where(width < FLAT, torch.ones_like(width), width)
    return first + (numbers - low) / width * (second - first)


def interval_weights(depths: Tensor, density: Tensor) -> Tensor:
    """Compute how much every interval between neighbouring samples adds to its ray, (R, S - 1).

    Depths and densities are (R, S), along increasing depths; the density of an interval is the mean
    of its ends. Source: Mildenhall et al. 2020 (NeRF), eq. 3.
    """
    middle = F.softplus((density[:, :-1] + density[:, 1:]) / 2 - 1)
    alpha = 1 - torch.exp(-middle * (depths[:, 1:] - depths[:, :-1]))
    passed = torch.cumprod(1 - alpha + 1e-10, 1)
    return alpha * F.pad(passed[:, :-1], (1, 0), value=1.0)

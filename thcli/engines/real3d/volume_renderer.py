"""Volume rendering of tri-planes: samples on rays, a small decoder, and their sum along each ray.

Source: Chan et al. 2022 (EG3D), sec. 4.3; Real3DPortrait modules/eg3ds/volumetric_rendering and
modules/img2plane/triplane.py at a9d70c7.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.real3d.config import FEATURES
from thcli.engines.real3d.planes import PlaneTable
from thcli.engines.real3d.rays import (
    Rays,
    camera_rays,
    importance_depths,
    interval_weights,
    stratified_depths,
)

HIDDEN = 64
RAYS_AT_A_TIME = 512  # so that their samples stay in the processor's cache
SCENE = 2.0  # from the scene's cube of side 1 to the planes' [-1, 1]


class Rendered(NamedTuple):
    """A rendering of the head.

    rgb: (B, 3, S, S), about [-1, 1], not clamped.  features: (B, 32, S, S), of which the first
    three are `rgb`.  weights: (B, 1, S, S) share of the head in 0..1.  depth: (B, 1, S, S).
    """

    rgb: Tensor
    features: Tensor
    weights: Tensor
    depth: Tensor


class _EqualizedLinear(nn.Module):
    """Linear layer whose weights are divided by sqrt(inputs) when used."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight / self.weight.shape[1] ** 0.5, self.bias)


class Decoder(nn.Module):
    """Sampled features (N, 32) to density (N,) and features (N, 32) in [-0.001, 1.001]."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            _EqualizedLinear(FEATURES, HIDDEN),
            nn.Softplus(),
            _EqualizedLinear(HIDDEN, 1 + FEATURES),
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        out = self.net(features)
        return out[:, 0], torch.sigmoid(out[:, 1:]) * 1.002 - 0.001


class VolumeRenderer(NamedTuple):
    """Rendering of planes with a decoder; it has no state of its own.

    decoder: of the samples.  size: pixels of the rendering's side.
    """

    decoder: Decoder
    size: int

    def render(
        self, planes: Tensor, camera: Tensor, depth_noise: Tensor, importance: Tensor
    ) -> Rendered:
        """Render planes from a camera.

        Args:
            planes: (B, 3, C, H, W).
            camera: (B, 25), see `rays`.
            depth_noise: (B, size^2, S, ...) in [0, 1), shifts of the coarse samples.
            importance: (B, size^2, F, ...) in [0, 1), places of the fine samples.
        """
        batch, count = len(planes), self.size**2
        rays = camera_rays(camera, self.size)
        noise, numbers = (
            depth_noise.reshape(batch * count, -1),
            importance.reshape(batch * count, -1),
        )
        # Fine samples in ascending order merge with the coarse ones without moving any feature.
        numbers = numbers.sort(1).values
        parts = []
        for number in range(batch):
            table = PlaneTable.of(planes[number])
            for first in range(number * count, (number + 1) * count, RAYS_AT_A_TIME):
                chosen = slice(first, min(first + RAYS_AT_A_TIME, (number + 1) * count))
                some = Rays(*(values[chosen] for values in rays))
                parts.append(self._march(table, some, noise[chosen], numbers[chosen]))
        features, weights, depth, limits = (torch.cat(part) for part in zip(*parts, strict=True))
        depth = torch.nan_to_num(depth, nan=float("inf")).clamp(limits.min(), limits.max())
        features, weights, depth = (
            values.view(batch, self.size, self.size, -1).permute(0, 3, 1, 2)
            for values in (features, weights, depth)
        )
        return Rendered(features[:, :3], features, weights, depth)

    def samples(self, table: PlaneTable, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return density (N,) and features (N, 32) at points (N, 3) of the scene."""
        out: tuple[Tensor, Tensor] = self.decoder(table.sample(points * SCENE))
        return out

    def _march(
        self, table: PlaneTable, rays: Rays, noise: Tensor, numbers: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Render some rays: features (R, 32), weights (R,), depth (R,), first and last depth (2,).

        Every sample's features count with half of the weights of its two intervals, so only depths
        and densities are put in order.
        """
        coarse = stratified_depths(rays.start, rays.end, noise)
        density, colours = self._along(table, rays, coarse)
        with torch.no_grad():
            fine = importance_depths(coarse, interval_weights(coarse, density), numbers)
        fine_density, fine_colours = self._along(table, rays, fine)
        depths, order = torch.cat([coarse, fine], 1).sort(1)
        densities = torch.cat([density, fine_density], 1).gather(1, order)
        weights = interval_weights(depths, densities)
        total = weights.sum(1)
        middles = (depths[:, :-1] + depths[:, 1:]) / 2
        depth = (weights * middles).sum(1) / total
        halves = (F.pad(weights, (1, 0)) + F.pad(weights, (0, 1))) / 2
        shares = torch.zeros_like(halves).scatter(1, order, halves)
        count = coarse.shape[1]
        first, second = shares[:, :count], shares[:, count:]
        mixed = torch.bmm(first[:, None], colours) + torch.bmm(second[:, None], fine_colours)
        limits = torch.stack([depths.min(), depths.max()])
        return mixed[:, 0] * 2 - 1, total, depth, limits

    def _along(self, table: PlaneTable, rays: Rays, depths: Tensor) -> tuple[Tensor, Tensor]:
        """Return density (R, S) and features (R, S, 32) at depths (R, S) of rays."""
        points = rays.origin[:, None] + depths[..., None] * rays.direction[:, None]
        density, colours = self.samples(table, points.view(-1, 3))
        return density.view(depths.shape), colours.view(*depths.shape, -1)

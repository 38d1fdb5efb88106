"""Networks that paint small patches: their task, and the losses of features and image gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.options import TrainOptions
from thcli.engines.mesh.patches import inputs
from thcli.train.core.checkpoints import load_start
from thcli.train.core.identity_features import TEACHER, load_teacher
from thcli.train.core.task import CosineTask, use_channels_last


class PaintingTask(CosineTask):
    """A task of a painting network and, where wanted, a discriminator named "judge"."""

    final_rate = 0.02
    beta = 0.5

    def add_networks(self, networks: dict[str, nn.Module], start: str) -> None:
        """Set the networks, and the teacher of the feature loss.

        Args:
            networks: the exported one, and a discriminator.
            start: file of the exported one's initial weights, "" for none.

        Raises:
            WeightsError: weights are missing or do not fit.
        """
        self.networks = networks
        for name in self.exported if start else ():
            load_start(networks[name], start, f"{name}.")
        for network in networks.values():
            use_channels_last(network)
        self.teacher = FeatureMaps()
        self.frozen_modules = (self.teacher,)
        self.perceptual = TEACHER

    @classmethod
    def smoke_options(cls, options: TrainOptions) -> TrainOptions:
        """Return the options of --smoke."""
        return replace(options, narrow=8, size=cls.sizes[0])

    def write_importable(self, path: Path) -> Path:
        """Write the bundled file in half precision."""
        return self.write_half(path)


def paint(
    network: nn.Module,
    stack: Tensor,
    window: Tensor,
    most: tuple[float, float],
    deviation: float = 0.0,
) -> Tensor:
    """Return painted patches (B, 3, H, W), as they are rendered.

    Args:
        network: the painting one.
        stack: (B, C, H, W) its input, the coarse colours first.
        window: (B, 1, H, W) share of the change.
        most: see `inputs.most_change`.
        deviation: pixels by which the change is blurred.
    """
    coarse = stack[:, :3]
    limit = inputs.most_change(coarse.mean(1, keepdim=True), most)
    change = limit * torch.tanh(network(stack) / limit)
    return coarse + window * (blur(change, deviation) if deviation > 0 else change)


def blur(pictures: Tensor, sigma: float) -> Tensor:
    """Blur pictures (..., h, w) by a Gaussian."""
    reach = int(3 * sigma + 0.5)
    x = torch.arange(-reach, reach + 1, device=pictures.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = pictures.flatten(0, -3)[:, None]
    flat = F.conv2d(F.pad(flat, (reach, reach, 0, 0), "replicate"), kernel[None, None, None])
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach), "replicate"), kernel[None, None, :, None])
    return flat.view(pictures.shape)


class FeatureMaps(nn.Module):
    """First feature maps of identity-s, normalised over the channels as in LPIPS."""

    def __init__(self) -> None:
        """Load identity-s.

        Raises:
            WeightsError: The weights are missing.
        """
        super().__init__()
        network = load_teacher()
        self.stem, self.norm, self.block = network.stem, network.stem_norm, network.blocks[0]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps at a half and a quarter of the side. images: (B, 3, H, W), about 0..1."""
        x = F.relu(self.norm(self.stem(images * 2 - 1)))
        return [F.normalize(maps.float(), dim=1, eps=1e-3) for maps in (x, self.block(x))]


def gradient_loss(error: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean difference of the image gradients."""
    across = (error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]
    down = (error[..., 1:, :] - error[..., :-1, :]).abs() * weight[..., 1:, :]
    return across.mean() + down.mean()

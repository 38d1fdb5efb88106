"""Training of patches-s: two U-Nets that paint the eyes and the mouth of a warped frame.

The losses compare the composited patch with the true frame of the same person: pixels, image
gradients, features of identity-s, the change from frame to frame, and two small discriminators
(hinge loss, Lim and Ye 2017) that see the rasters as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import PatchTrainOptions, TrainOptions
from thcli.engines.mesh.patches.inputs import EYE_CHANNELS, MOUTH_CHANNELS
from thcli.engines.mesh.patches.network import PatchNet
from thcli.faces.identity.network import IdentityNet
from thcli.train.core.checkpoints import load_start
from thcli.train.core.synthetic import write_synthetic_clips
from thcli.train.core.task import CosineTask, Hyperparameters, LossTerms, Phase, use_channels_last
from thcli.train.data.batches import Batch
from thcli.train.patches.data import OUTPUTS, PatchBatches
from thcli.weights.tensors import load_tensors

TEACHER = "identity-s"  # of the feature loss; `pfd`, which evaluates results, has another network
EDGES, FEATURES = 1.0, 0.3  # weights of gradients and features
INSIDE = 2.0  # weight of the pixels between the rims, added to 1
EYE_RASTERS, MOUTH_RASTERS = 3, 7  # channels that the discriminators see beside the colours


class PatchTask(CosineTask):
    """Training of patches-s."""

    name = "patches"
    entry = "patches-s"
    exported = ("eyes", "mouth")
    sizes = (96,)
    hyperparameters = Hyperparameters(10, 1, 8, 1e-3)
    warmup, final_rate = 100, 0.02
    beta = 0.5

    def __init__(
        self, options: TrainOptions, model_options: PatchTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options
        self.networks = {
            "eyes": PatchNet(EYE_CHANNELS, options.narrow),
            "mouth": PatchNet(MOUTH_CHANNELS, options.narrow),
        }
        parts = model_options.parts
        self.phases = (Phase("paint", parts),)
        if model_options.adversarial:
            self.networks |= {
                "judge_eyes": PatchJudge(3 + EYE_RASTERS, options.narrow),
                "judge_mouth": PatchJudge(3 + MOUTH_RASTERS, options.narrow),
            }
            self.phases += (Phase("judge", tuple(f"judge_{part}" for part in parts)),)
        for name in self.exported if model_options.start else ():
            load_start(self.networks[name], model_options.start, f"{name}.")
        for network in self.networks.values():
            use_channels_last(network)
        self.teacher = FeatureMaps()
        self.frozen_modules = (self.teacher,)
        self.perceptual = TEACHER

    @classmethod
    def smoke_options(cls, options: TrainOptions) -> TrainOptions:
        """Return the options of --smoke."""
        return replace(options, narrow=8, size=96)

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write two clips of a moving image, large enough for tracking."""
        write_synthetic_clips(folder, 128)

    def load_data(self, folder: Path, batch: int, on: Listener) -> PatchBatches:
        """Open the pairs, rendered now where they are missing."""
        return PatchBatches(folder, self.options, self.model_options, batch, on)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        terms: LossTerms = {}
        for part in self.model_options.parts:
            names = OUTPUTS[part]
            if phase == "judge":
                terms[f"{part}.judge"] = self._judge_loss(part, *cache[part])
                continue
            kept = changed_pairs(batch[names[2]], 2 if part == "eyes" else 1)
            inputs, truth, window = (batch[name][kept].flatten(0, 1) for name in names)
            out = inputs[:, :3] + window * self.networks[part](inputs)
            cache[part] = inputs, truth, out.detach()
            terms |= self._paint_losses(part, out, truth, (inputs, window))
        return terms

    def _paint_losses(
        self, part: str, out: Tensor, truth: Tensor, context: tuple[Tensor, Tensor]
    ) -> LossTerms:
        inputs, window = context
        inside = (inputs[:, 3:4] > 0) & (inputs[:, 4:5] > 0)
        weight = window * (1 + INSIDE * inside)
        weight = weight / weight.mean().clamp(min=1e-6)
        error = out - truth
        steady = (error[1::2] - error[::2]).abs() * weight[::2]
        features = [
            (a - b).square().sum(1).mean()
            for a, b in zip(
                self.teacher(out[::2] + 0.5), self.teacher(truth[::2] + 0.5), strict=True
            )
        ]
        terms = {
            "pixels": (error.abs() * weight).mean(),
            "edges": EDGES * gradient_loss(error, weight),
            "features": FEATURES * torch.stack(features).mean(),
            "steady": self.model_options.steady * steady.mean(),
        }
        if self.model_options.adversarial:
            judge = self.networks[f"judge_{part}"]
            judge.requires_grad_(False)
            score = judge(self._judge_input(part, inputs, out))
            judge.requires_grad_(True)
            terms["adversarial"] = -self.model_options.adversarial * score.mean()
        return {f"{part}.{name}": value for name, value in terms.items()}

    def _judge_loss(self, part: str, inputs: Tensor, truth: Tensor, out: Tensor) -> Tensor:
        judge = self.networks[f"judge_{part}"]
        real = judge(self._judge_input(part, inputs, truth))
        made = judge(self._judge_input(part, inputs, out))
        return F.relu(1 - real).mean() + F.relu(1 + made).mean()

    def _judge_input(self, part: str, inputs: Tensor, colours: Tensor) -> Tensor:
        rasters = EYE_RASTERS if part == "eyes" else MOUTH_RASTERS
        return torch.cat([colours, inputs[:, 3 : 3 + rasters]], 1)

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Return the first frame's mouths, and the eyes of both sides enlarged to their size."""
        rows: dict[str, Tensor] = {}
        for part in self.model_options.parts:
            inputs, truth, window = (batch[name] for name in OUTPUTS[part])
            step = 4 if part == "eyes" else 2
            inputs, truth, window = inputs[::step], truth[::step], window[::step]
            coarse = inputs[:, :3]
            channel = 6 if part == "eyes" else 10
            images = {
                "source": inputs[:, channel : channel + 3],
                "coarse": coarse,
                "painted": coarse + window * self.networks[part](inputs),
                "truth": truth,
            }
            rows |= {
                f"{part} {name}": F.interpolate((value + 0.5).clamp(0, 1), (96, 96))
                for name, value in images.items()
            }
        return rows

    def write_importable(self, path: Path) -> Path:
        """Write the bundled file in half precision."""
        return self.write_bundled(path, {k: v.half() for k, v in load_tensors(path).items()})


class PatchJudge(nn.Module):
    """Discriminator of patches (Isola et al. 2017): one score for each 8 x 8 pixels."""

    def __init__(self, channels: int, narrow: int = 1) -> None:
        super().__init__()
        first, second, third = (max(width // narrow, 4) for width in (24, 48, 64))
        self.layers = nn.Sequential(
            nn.utils.spectral_norm(nn.Conv2d(channels, first, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            nn.utils.spectral_norm(nn.Conv2d(first, second, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            nn.utils.spectral_norm(nn.Conv2d(second, third, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(third, 1, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Score a batch (B, C, H, W); positive for real patches."""
        score: Tensor = self.layers(x)
        return score


class FeatureMaps(nn.Module):
    """First feature maps of identity-s, normalised over the channels as in LPIPS."""

    def __init__(self) -> None:
        """Load identity-s.

        Raises:
            WeightsError: The weights are missing.
        """
        super().__init__()
        network = IdentityNet()
        state: Mapping[str, Tensor] = load_tensors(TEACHER)
        network.load_state_dict({key: value.float() for key, value in state.items()})
        network.eval().requires_grad_(False)
        self.stem, self.norm, self.block = network.stem, network.stem_norm, network.blocks[0]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps at a half and a quarter of the side. images: (B, 3, H, W), about 0..1."""
        x = F.relu(self.norm(self.stem(images * 2 - 1)))
        return [F.normalize(maps.float(), dim=1, eps=1e-3) for maps in (x, self.block(x))]


def changed_pairs(window: Tensor, sides: int) -> Tensor:
    """Select the pairs of consecutive patches that are painted at all.

    Args:
        window: (B x 2 frames x sides, 1, h, w) windows.
        sides: patches of a frame.

    Returns:
        (K, 2) rows of the batch, K >= 1: the patch in both frames.
    """
    rows = torch.arange(len(window), device=window.device).view(-1, 2, sides)
    rows = rows.transpose(1, 2).reshape(-1, 2)
    shown = window.flatten(1).amax(1)[rows].amax(1)
    kept = shown > 0
    return rows[kept] if bool(kept.any()) else rows[:1]


def gradient_loss(error: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean difference of the image gradients."""
    across = (error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]
    down = (error[..., 1:, :] - error[..., :-1, :]).abs() * weight[..., 1:, :]
    return across.mean() + down.mean()

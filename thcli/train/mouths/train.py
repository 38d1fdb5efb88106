"""Training of mouths-s: a U-Net that paints the drawn inside of a mouth as photographs show it.

The losses compare the painted patch with the photograph: pixels, image gradients, features of
identity-s and of the discriminator (feature matching, Wang et al. 2018, eq. 4), and a hinge loss
(Lim and Ye 2017) of a discriminator at two scales that sees the mask as well.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import MouthTrainOptions, TrainOptions
from thcli.engines.mesh.patches import inside
from thcli.engines.mesh.patches.network import MOUTH_WIDTHS, PatchNet
from thcli.train.core.painting import PaintingTask, blur, gradient_loss, paint
from thcli.train.core.task import Hyperparameters, LossTerms, Phase
from thcli.train.data.batches import Batch
from thcli.train.mouths.batches import MouthBatches
from thcli.train.mouths.synthetic import write_labelled_photographs

EDGES, FEATURES, MATCHED = 1.0, 0.3, 2.0  # weights of gradients, features, the judge's features
GREY_SHARE, DEFOCUS_SHARE, DIM_SHARE = 0.1, 0.5, 0.15  # of the items
DIM_RANGE = (0.35, 0.75)  # brightness
MOST_TURN, MOST_ZOOM, MOST_SHIFT = 0.12, 0.15, 0.06  # radians, logarithm, halves of the patch
DEFOCUS = (1.0, 2.0, 3.5)  # deviations in pixels between which sharpness varies


class MouthTask(PaintingTask):
    """Training of mouths-s."""

    name = "mouths"
    entry = "mouths-s"
    exported = ("mouth",)
    sizes = (128,)
    hyperparameters = Hyperparameters(400, 1, 64, 4e-4)
    warmup = 200

    def __init__(
        self, options: TrainOptions, model_options: MouthTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options
        self.phases = (Phase("paint", ("mouth",)), Phase("judge", ("judge",)))
        mouth = PatchNet(inside.CHANNELS, options.narrow, MOUTH_WIDTHS)
        networks = {"mouth": mouth, "judge": MouthJudge(options.narrow)}
        self.add_networks(networks, model_options.start)

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write labelled photographs."""
        write_labelled_photographs(folder)

    def load_data(self, folder: Path, batch: int, on: Listener) -> MouthBatches:
        """Open the pairs, drawn now where they are missing."""
        return MouthBatches(folder, self.options, self.model_options, batch, on)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        if phase == "judge":
            made, truth, mask = cache["judged"]
            both = self.networks["judge"](torch.cat([made, truth]), torch.cat([mask, mask]))
            pairs = [scale[-1].chunk(2) for scale in both]
            terms = [F.relu(1 + f).mean() + F.relu(1 - t).mean() for f, t in pairs]
            return {"judge": torch.stack(terms).mean()}
        coarse, truth, mask = prepare_batch(batch, self.options.jitter, noise)
        made = self._paint(coarse, mask)
        cache["judged"] = made.detach(), truth, mask
        weight = mask / mask.mean((1, 2, 3), keepdim=True).clamp(min=1e-3)
        weight = weight / weight.mean().clamp(min=1e-6)
        error = made - truth
        maps = self.teacher(torch.cat([made, truth]) + 0.5)
        features = [(a - b).square().sum(1).mean() for a, b in (m.chunk(2) for m in maps)]
        judge = self.networks["judge"]
        with torch.no_grad():
            wanted = judge(truth, mask)
        given = judge(made, mask)
        matched = [
            F.l1_loss(a, b)
            for scale in zip(given, wanted, strict=True)
            for a, b in zip(scale[0][:-1], scale[1][:-1], strict=True)
        ]
        scores = torch.stack([scale[-1].mean() for scale in given])
        return {
            "pixels": (error.abs() * weight).mean(),
            "edges": EDGES * gradient_loss(error, weight),
            "features": FEATURES * torch.stack(features).mean(),
            "matched": MATCHED * torch.stack(matched).mean(),
            "adversarial": -self.model_options.adversarial * scores.mean(),
        }

    def _paint(self, coarse: Tensor, mask: Tensor) -> Tensor:
        stack = torch.cat([coarse, mask - 0.5], 1)
        return paint(self.networks["mouth"], stack, mask, inside.MOST_CHANGE)

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Return the drawn, the painted and the photographed mouths."""
        coarse, truth, mask = prepare_batch(batch, 0.0, None)
        rows = {"drawn": coarse, "painted": self._paint(coarse, mask), "truth": truth}
        return {
            name: F.pad((value + 0.5).clamp(0, 1), (0, 0, 16, 16)) for name, value in rows.items()
        }


class MouthJudge(nn.Module):
    """Discriminator of painted insides (Isola et al. 2017), at full and half the size."""

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_JudgeOfScale(narrow) for _ in range(2))

    def forward(self, colours: Tensor, mask: Tensor) -> list[list[Tensor]]:
        """Return the feature maps of each scale; the last is the score, positive for photographs.

        Args:
            colours: (B, 3, H, W) around 0.
            mask: (B, 1, H, W) of the inside.
        """
        x = torch.cat([colours, mask - 0.5], 1)
        out = []
        for scale in self.scales:
            out.append(scale(x))
            x = F.avg_pool2d(x, 2)
        return out


class _JudgeOfScale(nn.Module):
    """Convolutions whose scores see 54 pixels each."""

    def __init__(self, narrow: int) -> None:
        super().__init__()
        channels = [inside.CHANNELS, *(max(width // narrow, 4) for width in (32, 64, 96, 96))]
        sides, strides = (4, 4, 4, 3), (2, 2, 2, 1)
        self.layers = nn.ModuleList(
            nn.utils.spectral_norm(nn.Conv2d(first, last, side, stride, 1))
            for (first, last), side, stride in zip(pairwise(channels), sides, strides, strict=True)
        )
        self.score = nn.Conv2d(channels[-1], 1, 3, 1, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            maps.append(x)
        return [*maps, self.score(x)]


def prepare_batch(
    batch: Batch, jitter: float, noise: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return drawn and photographed colours (B, 3, h, w) around 0, and the mask (B, 1, h, w).

    Args:
        batch: of `MouthBatches`.
        jitter: see `TrainOptions`.
        noise: source of a change of light and sharpness, alike in both; None: none.
    """
    mask = batch["mask"][:, None].float() / 255
    pictures = torch.stack([batch["coarse"], batch["truth"]]).permute(0, 1, 4, 2, 3).float() / 255
    factor = batch["gain"][:, None, None, None] * 255
    if noise is not None:
        pictures, mask = _move(pictures, mask, noise)
        pictures = _change_light(pictures, jitter, noise)
    coarse, truth = pictures * factor - 0.5
    truth = coarse + mask * (truth - coarse)
    return coarse, truth, mask


def _move(pictures: Tensor, mask: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shift, turn and enlarge pictures (2, B, 3, h, w) and masks (B, 1, h, w) at random."""
    count, (height, width) = len(mask), mask.shape[-2:]
    drawn = 2 * torch.rand(count, 4, generator=noise) - 1
    angle, scale = MOST_TURN * drawn[:, 0], torch.exp(MOST_ZOOM * drawn[:, 1])
    shift = MOST_SHIFT * drawn[:, 2:]
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = torch.stack(
        [
            torch.stack([cos, -sin * height / width, shift[:, 0]], 1),
            torch.stack([sin * width / height, cos, shift[:, 1]], 1),
        ],
        1,
    ).to(mask.device)
    layers = torch.cat([*pictures, mask], 1)
    grid = F.affine_grid(rows, list(layers.shape), align_corners=False)
    layers = F.grid_sample(layers, grid, padding_mode="border", align_corners=False)
    moved = torch.stack([layers[:, :3], layers[:, 3:6]])
    return moved, layers[:, 6:]


def _change_light(pictures: Tensor, jitter: float, noise: torch.Generator) -> Tensor:
    """Change colours, light and sharpness of pictures (2, B, 3, h, w) in 0..1 at random."""
    count, device = pictures.shape[1], pictures.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=noise).to(device)

    gains = 1 + jitter * (2 * uniform(count, 3, 1, 1) - 1)
    gains = gains * (1 + jitter * (2 * uniform(count, 1, 1, 1) - 1))
    low, high = DIM_RANGE
    dim = low + (high - low) * uniform(count, 1, 1, 1)
    gains = torch.where(uniform(count, 1, 1, 1) < DIM_SHARE, gains * dim, gains)
    gamma = torch.exp(2 * jitter * (2 * uniform(count, 1, 1, 1) - 1))
    grey = torch.where(
        uniform(count, 1, 1, 1) < GREY_SHARE, 1.0, 4 * jitter * uniform(count, 1, 1, 1)
    ).clamp(max=1)
    out = pictures.clamp(min=1e-4) ** gamma
    out = out + grey * (out.mean(2, keepdim=True) - out)
    level = torch.where(
        uniform(count, 1, 1, 1) < DEFOCUS_SHARE, len(DEFOCUS) * uniform(count, 1, 1, 1), 0.0
    )
    blurred = [out, *(blur(out, sigma) for sigma in DEFOCUS)]
    out = blurred[0]
    for number in range(len(DEFOCUS)):
        share = (level - number).clamp(0, 1)
        out = out + share * (blurred[number + 1] - blurred[number])
    return (out * gains).clamp(0, 1)

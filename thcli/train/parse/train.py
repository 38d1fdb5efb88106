"""Training of the face parser `parse-s`: cross-entropy and the overlap of regions; half-size pictures first, then whole ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import ParseTrainOptions, TrainOptions
from thcli.faces.parsing import CLASSES, PALETTE
from thcli.faces.parsing.network import ParseNet, enlarged
from thcli.train.core.task import Batch, Phase, Published, Terms, TrainingTask
from thcli.train.parse.augment import IGNORED
from thcli.train.parse.batches import Labelled
from thcli.train.parse.synthetic import drawn_pairs

# Of cross-entropy: what covers few pixels counts more, what covers many a little less.
WEIGHTS = (
    0.8,
    0.8,
    1,
    1.8,
    1.9,
    1.9,
    1.6,
    1.6,
    1.5,
    1.6,
    1.7,
    1.6,
    1.4,
    0.8,
    1.3,
    1.8,
    3,
    0.9,
    0.9,
)
OVERLAP = 1.0  # weight of the overlap term beside cross-entropy
WARM = 300  # updates until the learning rate is full
DECAY = 0.02  # of the weights, by AdamW


class Parse(TrainingTask):
    """ParseNet learns the labels of `evaluate.datasets.parse_pairs`; the exported file is float16."""

    name = "parse"
    entry = "parse-s"
    exported = ("net",)
    sizes = (256, 192, 128, 64)
    published = Published(40, 1, 16, 2e-3)
    phases = (Phase("net", ("net",)),)

    def __init__(self, options: TrainOptions, own: ParseTrainOptions, on: Listener) -> None:
        super().__init__(options, own, on)
        self.own = own
        self.net = ParseNet(options.narrow)
        self.networks = {"net": self.net}
        self.weights = torch.tensor(WEIGHTS)
        self.oftener = torch.ones(len(CLASSES))

    @classmethod
    def trial(cls, options: TrainOptions) -> TrainOptions:
        """The options of --smoke."""
        return replace(options, narrow=4, size=64)

    @classmethod
    def trial_data(cls, folder: Path, options: TrainOptions) -> None:
        """Drawn faces with their labels."""
        drawn_pairs(folder)

    def data(self, folder: Path, batch: int, on: Listener) -> Labelled:
        """Raises MediaError for a folder without pairs."""
        data = Labelled(
            folder, self.options, self.own, batch, lambda items: self.length(items, batch)[1]
        )
        self.oftener = torch.from_numpy(data.oftener).float()
        return data

    def to(self, device: torch.device) -> None:
        super().to(device)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.weights = self.weights.to(device)

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(parameters, lr, weight_decay=DECAY)

    def rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Rising over the first updates, full until the pictures are whole, then half a cosine down to a hundredth."""
        warm, falls = min(WARM, steps // 10), self.own.half * steps
        if step < warm:
            return lr * (step + 1) / warm
        return lr * (
            0.01
            + 0.99 * 0.5 * (1 + math.cos(math.pi * max(step - falls, 0) / max(steps - falls, 1)))
        )

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        logits = self.net(unit(batch["pictures"])).float()
        return losses(logits, batch["labels"], self.weights)

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        pictures = unit(batch["pictures"])
        found = enlarged(self.net(pictures).float()).argmax(1)
        return {
            "picture": pictures,
            "truth": coloured(batch["labels"].long()),
            "found": coloured(found),
        }

    def layout(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The network's own keys, float16, without the counters of batches.

        Cross-entropy with WEIGHTS, on pictures of which those with rare classes come oftener, teaches odds that are as many times too
        high: both are taken out of the last biases.
        """
        own = {
            key: value
            for key, value in states["net"].items()
            if not key.endswith("num_batches_tracked")
        }
        bias = own["out.bias"]
        own["out.bias"] = bias - (self.weights.to(bias.device) * self.oftener.to(bias.device)).log()
        return {key: value.half() for key, value in own.items()}

    def use(self, importable: Path) -> str:
        return f"thcli eval parse DATASET --weights {importable}"


def unit(pictures: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in 0..1, channels last in memory."""
    return pictures.permute(0, 3, 1, 2).float() / 255


def coloured(labels: Tensor) -> Tensor:
    """(B, H, W) class numbers -> (B, 3, H, W) in 0..1; what is ignored is white."""
    colours = torch.ones(256, 3)
    colours[: len(CLASSES)] = torch.from_numpy(PALETTE.copy()).float() / 255
    return colours.to(labels.device)[labels].permute(0, 3, 1, 2)


def losses(logits: Tensor, labels: Tensor, weights: Tensor) -> Terms:
    """Weighted cross-entropy, and 1 - intersection over union of probabilities, a mean over the regions that the batch has.

    logits: (B, 19, H / 2, W / 2); labels: (B, H, W) uint8: each logit answers for 2 x 2 labels, so that a border through them is a
    share and comes out where it lies when the logits are enlarged.
    """
    four = F.pixel_unshuffle(labels[:, None].float(), 2).long()  # (B, 4, H / 2, W / 2)
    known = four != IGNORED
    four = four.masked_fill(~known, 0)
    log = logits.log_softmax(1)
    picked = log.gather(1, four)
    weight = weights[four] * known
    cross = -(picked * weight).sum() / weight.sum().clamp(min=1)
    flat = four.flatten()
    seen = known.float().flatten()
    inside = torch.zeros(len(CLASSES), device=log.device).index_add(
        0, flat, picked.exp().flatten() * seen
    )
    truth = torch.zeros(len(CLASSES), device=log.device).index_add(0, flat, seen)
    claimed = (log.exp() * known.sum(1, keepdim=True)).sum((0, 2, 3))
    overlap = (inside + 1) / (truth + claimed - inside + 1)
    there = truth > 0
    return {"cross_entropy": cross, "overlap": OVERLAP * (1 - overlap)[there].mean()}

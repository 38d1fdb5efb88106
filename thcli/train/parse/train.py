"""Training of the face parser `parse-s`: half-size images first, then full size.

The loss is cross-entropy plus the overlap of regions.
"""

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
from thcli.faces.parsing.network import ParseNet, upsample_twice
from thcli.train.core.task import Hyperparameters, LossTerms, Phase, TrainingTask, use_channels_last
from thcli.train.data.batches import Batch
from thcli.train.parse.augment import IGNORED
from thcli.train.parse.batches import ParseBatches
from thcli.train.parse.synthetic import write_synthetic_pairs

# Class weights of the cross-entropy: larger for small regions, smaller for large ones.
CLASS_WEIGHTS = {
    "background": 0.8,
    "skin": 0.8,
    "nose": 1.0,
    "eye_g": 1.8,
    "l_eye": 1.9,
    "r_eye": 1.9,
    "l_brow": 1.6,
    "r_brow": 1.6,
    "l_ear": 1.5,
    "r_ear": 1.6,
    "mouth": 1.7,
    "u_lip": 1.6,
    "l_lip": 1.4,
    "hair": 0.8,
    "hat": 1.3,
    "ear_r": 1.8,
    "neck_l": 3.0,
    "neck": 0.9,
    "cloth": 0.9,
}
OVERLAP = 1.0  # weight of the overlap term beside cross-entropy
WARMUP = 300  # updates
WEIGHT_DECAY = 0.02  # of AdamW


class ParseTask(TrainingTask):
    """Training of ParseNet on the pairs of `evaluate.datasets.parse_pairs`; exported as float16."""

    name = "parse"
    entry = "parse-s"
    exported = ("net",)
    sizes = (256, 192, 128, 64)
    hyperparameters = Hyperparameters(40, 1, 16, 2e-3)
    phases = (Phase("net", ("net",)),)

    def __init__(
        self, options: TrainOptions, model_options: ParseTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options
        self.net = ParseNet(options.narrow)
        self.networks = {"net": self.net}
        self.weights = torch.tensor([CLASS_WEIGHTS[name] for name in CLASSES])
        self.class_ratio = torch.ones(len(CLASSES))

    @classmethod
    def smoke_options(cls, options: TrainOptions) -> TrainOptions:
        """Return the options of --smoke."""
        return replace(options, narrow=4, size=64)

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write synthetic faces with their labels."""
        write_synthetic_pairs(folder)

    def load_data(self, folder: Path, batch: int, on: Listener) -> ParseBatches:
        """Open the dataset.

        Raises:
            MediaError: The folder has no pairs.
        """
        data = ParseBatches(
            folder,
            self.options,
            self.model_options,
            batch,
            lambda items: self.count_updates(items, batch)[1],
        )
        self.class_ratio = torch.from_numpy(data.class_ratio).float()
        return data

    def to(self, device: torch.device) -> None:
        super().to(device)
        use_channels_last(self.net)
        self.weights = self.weights.to(device)

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        """Create AdamW."""
        return torch.optim.AdamW(parameters, lr, weight_decay=WEIGHT_DECAY)

    def learning_rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Return the rate: warm-up, constant for half-size images, then a cosine to a hundredth."""
        warmup, decay_start = min(WARMUP, steps // 10), self.model_options.half * steps
        if step < warmup:
            return lr * (step + 1) / warmup
        angle = math.pi * max(step - decay_start, 0) / max(steps - decay_start, 1)
        return lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(angle)))

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        logits = self.net(to_float(batch["images"])).float()
        return parse_losses(logits, batch["labels"], self.weights)

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        images = to_float(batch["images"])
        predicted = upsample_twice(self.net(images).float()).argmax(1)
        return {
            "image": images,
            "truth": colourize(batch["labels"].long()),
            "prediction": colourize(predicted),
        }

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the network's keys as float16, without the counters of batch norm.

        Class weights and the frequent sampling of rare classes increase the odds of those classes
        by known factors. Both factors are removed from the last biases.
        """
        state = states["net"]
        tensors = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
        bias = tensors["out.bias"]
        factors = self.weights.to(bias.device) * self.class_ratio.to(bias.device)
        tensors["out.bias"] = bias - factors.log()
        return {key: value.half() for key, value in tensors.items()}

    def usage_command(self, importable: Path) -> str:
        return f"thcli eval parse DATASET --weights {importable}"


def to_float(images: Tensor) -> Tensor:
    """Convert (B, H, W, 3) uint8 to (B, 3, H, W) float32 in [0, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float() / 255


def colourize(labels: Tensor) -> Tensor:
    """Convert (B, H, W) class numbers to colours (B, 3, H, W) in [0, 1]; IGNORED is white."""
    colours = torch.ones(256, 3)
    colours[: len(CLASSES)] = torch.from_numpy(PALETTE.copy()).float() / 255
    return colours.to(labels.device)[labels].permute(0, 3, 1, 2)


def parse_losses(logits: Tensor, labels: Tensor, weights: Tensor) -> LossTerms:
    """Return weighted cross-entropy, and 1 - IoU of the probabilities.

    The IoU is averaged over the regions present. Each logit corresponds to 2 x 2 labels, so a
    border through them is a fraction and keeps its position when the logits are upsampled.

    Args:
        logits: (B, 19, H / 2, W / 2).
        labels: (B, H, W) uint8, may be IGNORED.
        weights: Class weights, (19,).
    """
    four = F.pixel_unshuffle(labels[:, None].float(), 2).long()  # (B, 4, H / 2, W / 2)
    known = four != IGNORED
    four = four.masked_fill(~known, 0)
    log = logits.log_softmax(1)
    of_truth = log.gather(1, four)
    weight = weights[four] * known
    cross = -(of_truth * weight).sum() / weight.sum().clamp(min=1)
    flat, counted = four.flatten(), known.float().flatten()
    zeros = torch.zeros(len(CLASSES), device=log.device)
    intersection = zeros.index_add(0, flat, of_truth.exp().flatten() * counted)
    truth = zeros.index_add(0, flat, counted)
    predicted = (log.exp() * known.sum(1, keepdim=True)).sum((0, 2, 3))
    overlap = (intersection + 1) / (truth + predicted - intersection + 1)
    present = truth > 0
    return {"cross_entropy": cross, "overlap": OVERLAP * (1 - overlap)[present].mean()}

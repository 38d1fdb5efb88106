"""Training of `attributes-judge`, the classifier that measures edits: 40 attributes of a face."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from thcli.core.events import Listener
from thcli.core.options import JudgeTrainOptions, LabelledTrainOptions, TrainOptions
from thcli.editors.shared.face_cnn import SIDE
from thcli.evaluate.datasets.labelled_images import parse_digits, read_labelled_folder
from thcli.evaluate.metrics.attribute_scores import WEIGHTS, build_network
from thcli.train.core.task import (
    Hyperparameters,
    LossTerms,
    Phase,
    TrainingTask,
    use_channels_last,
    warmup_then_cosine,
)
from thcli.train.data.batches import Batch
from thcli.train.labelled.faces import LabelledFaces, write_synthetic_labelled_faces

WARMUP = 0.05  # fraction of the updates
FINAL_RATE = 0.01  # fraction of the learning rate at the end
WEIGHT_DECAY = 0.05  # of AdamW


class LabelledTask(TrainingTask):
    """Base of the tasks that learn from labelled faces of 64 x 64 pixels."""

    exported = ("net",)
    sizes = (SIDE,)
    perceptual = "labels"
    hyperparameters = Hyperparameters(20, 1, 64, 2e-3)

    def __init__(
        self, options: TrainOptions, model_options: LabelledTrainOptions | None, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options or LabelledTrainOptions()
        self.digits = parse_digits(self.model_options.persons)

    @classmethod
    def smoke_options(cls, options: TrainOptions) -> TrainOptions:
        """Return the options of --smoke."""
        return replace(
            options,
            narrow=8,
            size=SIDE,
            batch=max(options.batch or 0, 8),
            samples=min(options.samples, 2),
        )

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write rendered faces with labels."""
        write_synthetic_labelled_faces(folder)

    def load_data(self, folder: Path, batch: int, on: Listener) -> LabelledFaces:
        """Open the images of the selected persons.

        Raises:
            MediaError: The folder has no labels.
        """
        faces = read_labelled_folder(folder).of_persons(self.digits)
        return LabelledFaces(faces, batch, self.options.seed, flip=self.options.flip)

    def to(self, device: torch.device) -> None:
        super().to(device)
        for net in self.networks.values():
            use_channels_last(net)

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr, weight_decay=WEIGHT_DECAY)

    def learning_rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Return a learning rate that rises linearly, then falls along a cosine."""
        return warmup_then_cosine(lr, step, steps, WARMUP, FINAL_RATE)

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the network in half precision, as it is shipped."""
        return {k: v.half() if v.is_floating_point() else v for k, v in states["net"].items()}

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        return {"augmented": batch["images"]}


class JudgeTask(LabelledTask):
    """Training of a convolutional trunk with 40 outputs, by binary cross-entropy."""

    name = "judge"
    entry = WEIGHTS
    phases = (Phase("net", ("net",)),)

    def __init__(
        self, options: TrainOptions, model_options: LabelledTrainOptions | None, on: Listener
    ) -> None:
        super().__init__(options, model_options or JudgeTrainOptions(), on)
        self.networks = {"net": build_network(options.narrow)}

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        found = self.networks["net"](
            batch["images"].contiguous(memory_format=torch.channels_last)
        ).float()
        return {"labels": functional.binary_cross_entropy_with_logits(found, batch["labels"])}

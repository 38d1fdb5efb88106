"""Training of the classifier that only measures edits (`attributes-judge`): 40 attributes of a face, each by cross-entropy."""

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
from thcli.evaluate.datasets.labelled_images import digits_of, labelled
from thcli.evaluate.metrics.attribute_scores import WEIGHTS, network
from thcli.train.core.task import Batch, Phase, Published, Terms, TrainingTask, cosine_after_rise
from thcli.train.labelled.faces import LabelledFaces, drawn_labelled

WARM = 0.05  # part of the updates in which the rate rises
LAST = 0.01  # of the rate, at the end
DECAY = 0.05  # of the weights, by AdamW


class LabelledTask(TrainingTask):
    """What learns from labelled faces of 64 x 64 pixels."""

    exported = ("net",)
    sizes = (SIDE,)
    perceptual = "labels"
    published = Published(20, 1, 64, 2e-3)

    def __init__(
        self, options: TrainOptions, own: LabelledTrainOptions | None, on: Listener
    ) -> None:
        super().__init__(options, own, on)
        self.own = own or LabelledTrainOptions()
        self.digits = digits_of(self.own.persons)

    @classmethod
    def trial(cls, options: TrainOptions) -> TrainOptions:
        """The options of --smoke."""
        return replace(
            options,
            narrow=8,
            size=SIDE,
            batch=max(options.batch or 0, 8),
            samples=min(options.samples, 2),
        )

    @classmethod
    def trial_data(cls, folder: Path, options: TrainOptions) -> None:
        """Drawn faces with labels."""
        drawn_labelled(folder)

    def data(self, folder: Path, batch: int, on: Listener) -> LabelledFaces:
        """The pictures of the persons meant. Raises MediaError for a folder without labels."""
        faces = labelled(folder).only(self.digits)
        return LabelledFaces(faces, batch, self.options.seed, flip=self.options.flip)

    def to(self, device: torch.device) -> None:
        super().to(device)
        for net in self.networks.values():
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr, weight_decay=DECAY)

    def rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Up in a straight line, down along a cosine."""
        return cosine_after_rise(lr, step, steps, WARM, LAST)

    def layout(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """In half precision, as it is shipped."""
        return {k: v.half() if v.is_floating_point() else v for k, v in states["net"].items()}

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        return {"as it learns them": batch["pictures"]}


class JudgeTask(LabelledTask):
    """A trunk with 40 answers."""

    name = "judge"
    entry = WEIGHTS
    phases = (Phase("net", ("net",)),)

    def __init__(
        self, options: TrainOptions, own: LabelledTrainOptions | None, on: Listener
    ) -> None:
        super().__init__(options, own or JudgeTrainOptions(), on)
        self.networks = {"net": network(options.narrow)}

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        found = self.networks["net"](
            batch["pictures"].contiguous(memory_format=torch.channels_last)
        ).float()
        return {"labels": functional.binary_cross_entropy_with_logits(found, batch["labels"])}

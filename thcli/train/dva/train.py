"""Training of dva-s: looker, painter and the diffusion of what the painting leaves, together.

Source: Kim et al. 2023, sec. 3.2 (L_simple, and L_reg within the face mask); the looker learns by them as DiffAE's semantic encoder does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import LabelledTrainOptions, TrainOptions
from thcli.diffusion import process
from thcli.editors.dva import sampling, small
from thcli.editors.dva.small_network import SmallDva, unit
from thcli.evaluate.datasets.labelled_images import digits_of
from thcli.train.core.task import Batch, Phase, Published, Terms, TrainingTask, rising_cosine
from thcli.train.dva.faces import DvaFaces, astronaut_faces
from thcli.weights.tensors import load_tensors

PAINT, EDGES, LABELS, REGULAR = 4.0, 4.0, 0.15, 1.0  # weights of the terms beside L_simple
FACE = 2.0  # how much more the painting's error counts within the face
DIFFUSED = 0.25  # part of a batch that is noised, twice each
NOISY = 1.5  # most steps of training are noisy ones: there the face alone says what to paint (1: all alike, as published)
HIDDEN = (
    0.5,
    0.15,
)  # how often identity-s, by which pictures could be told apart one by one, and the landmarks are hidden
WARM = 200  # updates in which the rate rises
LAST = 0.03  # of the rate, at the end


class DvaTask(TrainingTask):
    """Takes faces apart into who they are, how they move and noise."""

    name = "dva"
    entry = "dva-s"
    exported = ("net",)
    sizes = (small.SHAPE.size, 48)

    def __init__(self, options: TrainOptions, own: LabelledTrainOptions, on: Listener) -> None:
        super().__init__(options, own, on)
        self.own = own
        self.published = Published(6, 1, 32, 5e-4)
        s = replace(small.SHAPE, size=options.size)
        if options.narrow > 1:
            s = replace(
                s, width=8, head=8, embedding=32, look=32, seen=(8, 8, 8, 8), painted=(8, 8, 8, 8)
            )
        self.net = SmallDva(s)
        self.networks = {"net": self.net}
        self.phases = (Phase("all", ("net",)),)
        self.table = sampling.schedule(sampling.STEPS)

    @classmethod
    def trial_data(cls, folder: Path, options: TrainOptions) -> None:
        """Faces with made-up labels, and frames of a clip."""
        astronaut_faces(folder)

    def data(self, folder: Path, batch: int, on: Listener) -> DvaFaces:
        """Raises MediaError for a folder that is no such set."""
        data = DvaFaces(
            folder, digits_of(self.own.persons), self.options.size, batch, self.options, on
        )
        self.net.facer.middle.copy_(torch.from_numpy(data.middle))
        self.net.facer.spread.fill_(data.spread)
        return data

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        net, target, mask = self.net, batch["target"], batch["mask"]
        look = net.looker(batch["seen"]).float()
        held = [
            (torch.rand(len(target), 1, generator=noise) >= share).float().to(target.device)
            for share in HIDDEN
        ]
        face = net.facer(torch.cat([batch["identity"], look], 1), batch["landmarks"], held)
        painting = net.painter(face).float()
        weight = (1 + FACE * mask) / (1 + FACE * mask.mean())
        told = F.binary_cross_entropy_with_logits(
            net.labels(unit(look)).float(), batch["labels"], reduction="none"
        ).mean(1)
        terms = {
            "paint": PAINT * (weight * (painting - target).abs()).mean(),
            "edges": EDGES * edges(painting - target, weight),
            "labels": LABELS * (told * batch["known"]).sum() / batch["known"].sum().clamp(min=1),
        }
        return terms | self._diffusion(target, painting, face, mask, noise)

    def _diffusion(
        self, target: Tensor, painting: Tensor, face: Tensor, mask: Tensor, noise: torch.Generator
    ) -> Terms:
        """L_simple and L_reg of a part of the batch; the painting does not learn by them."""
        count = max(1, round(len(target) * DIFFUSED))
        painting, face, mask = painting[:count].detach(), face[:count], mask[:count]
        clean = small.remainder_of(target[:count], painting)
        late = torch.rand(count, generator=noise) ** (1 / NOISY)
        index = (
            (late * len(self.table))
            .long()
            .clamp(max=len(self.table) - 1)
            .to(clean.device)
            .repeat(2)
        )
        fresh = torch.randn((2 * count, *clean.shape[1:]), generator=noise).to(clean.device)
        both = clean.repeat(2, 1, 1, 1)
        noised = process.diffuse(self.table, both, index, fresh)
        out = self.net.remainder(
            noised, index, face.repeat(2, 1), painting.repeat(2, 1, 1, 1)
        ).float()
        simple = (out - process.target(self.table, both, index, fresh, small.PREDICTS)).abs().mean()
        first, second = process.to_x0(self.table, noised, index, out, small.PREDICTS).chunk(2)
        return {"simple": simple, "regular": REGULAR * (mask * (first - second)).abs().mean()}

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        """What is painted, of the fixed items, and of each one's looks with the next one's landmarks."""
        net = self.net
        identity = torch.cat([batch["identity"], net.looker(batch["target"])], 1)
        told = {"own": batch["landmarks"], "next one's landmarks": batch["landmarks"].roll(-1, 0)}
        rows = {"truth": batch["target"]} | {
            name: net.painter(net.facer(identity, points)) for name, points in told.items()
        }
        return {name: (value + 1) / 2 for name, value in rows.items()}

    def layout(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The network's own keys, in half precision."""
        return {key: value.half() for key, value in states["net"].items()}

    def publish(self, path: Path) -> Path:
        """The file that is bundled: the same under its entry's name."""
        return self.named_entry(path, load_tensors(path))

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr, betas=(0.9, 0.99), weight_decay=0.01)

    def rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Rises at first, then falls along a cosine."""
        return rising_cosine(lr, step, steps, WARM, LAST)


def edges(error: Tensor, weight: Tensor) -> Tensor:
    """The mean absolute slope of an error (B, 3, S, S), to the right and downwards."""
    right, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    return (weight[..., 1:] * right.abs()).mean() + (weight[..., 1:, :] * down.abs()).mean()

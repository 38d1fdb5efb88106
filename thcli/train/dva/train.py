"""Training of dva-s: appearance encoder, painter and the diffusion of the residual, jointly.

Source: Kim et al. 2023, sec. 3.2 (L_simple, and L_reg within the face mask). The appearance encoder
(looker) learns from both, as DiffAE's semantic encoder does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from thcli.core.events import Listener, Warned
from thcli.core.options import DvaTrainOptions, TrainOptions
from thcli.diffusion import process
from thcli.editors.dva import sampling, small
from thcli.editors.dva.small_network import SmallDva, normalize_rows
from thcli.evaluate.datasets.labelled_images import parse_digits
from thcli.train.core.checkpoints import load_start
from thcli.train.core.task import CosineTask, Hyperparameters, LossTerms, Phase
from thcli.train.data.batches import Batch
from thcli.train.dva.faces import DvaFaces, write_synthetic_faces
from thcli.weights.tensors import load_tensors

PAINT, EDGES, LABELS, REGULAR = 4.0, 4.0, 0.15, 1.0  # weights of the terms beside L_simple
FACE_WEIGHT = 2.0  # extra weight of the painting's error within the face
DIFFUSED = 0.25  # fraction of a batch that is noised, twice each
# Exponent of the time step distribution; 1 is uniform, as published. Noisy steps are more frequent,
# because only the face conditions the output there.
NOISY_EXPONENT = 1.5
# Dropout of the identity-s vector and of the landmarks. Images could be memorised by the vector.
DROPOUT = (0.5, 0.15)
# Kernels that read patches of pixels, and the channels of their images. --start resizes them.
PATCH_KERNELS = {"looker.layers.1.weight": 3, "remainder.input_blocks.0.0.weight": 6}


class DvaTask(CosineTask):
    """Training of the decomposition of faces into identity, motion and noise."""

    name = "dva"
    entry = "dva-s"
    exported = ("net",)
    sizes = (small.SHAPE.size, 64)
    warmup, final_rate = 200, 0.03

    def __init__(self, options: TrainOptions, model_options: DvaTrainOptions, on: Listener) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options
        self.hyperparameters = Hyperparameters(6, 1, 32, 5e-4)
        shape = replace(small.SHAPE, size=options.size)
        if options.narrow > 1:
            shape = replace(
                shape,
                width=8,
                head=8,
                embedding=32,
                appearance=32,
                encoder_widths=(8, 8, 8, 8),
                decoder_widths=(8, 8, 8, 8, 8),
                fine=8,
            )
        self.net = SmallDva(shape)
        if model_options.start:
            kept = load_start(self.net, model_options.start, patches=PATCH_KERNELS)
            if kept:
                on(
                    Warned(
                        f"{len(kept)} of {len(self.net.state_dict())} tensors are not in "
                        f"{model_options.start} and begin as in a new run ({kept[0]}, …)."
                    )
                )
        self.networks = {"net": self.net}
        self.phases = (Phase("all", ("net",)),)
        self.table = sampling.schedule(sampling.STEPS)

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write synthetic faces with random labels, and frames of a clip."""
        write_synthetic_faces(folder)

    def load_data(self, folder: Path, batch: int, on: Listener) -> DvaFaces:
        """Open the dataset and set the landmark statistics of the network.

        Raises:
            MediaError: The folder is not such a dataset.
        """
        data = DvaFaces(
            folder,
            parse_digits(self.model_options.persons),
            self.options.size,
            batch,
            self.options,
            on,
        )
        self.net.facer.middle.copy_(torch.from_numpy(data.middle))
        self.net.facer.spread.fill_(data.spread)
        return data

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        net, target, mask = self.net, batch["target"], batch["mask"]
        appearance = net.looker(batch["reference"]).float()
        kept = [
            (torch.rand(len(target), 1, generator=noise) >= share).float().to(target.device)
            for share in DROPOUT
        ]
        identity = torch.cat([batch["identity"], appearance], 1)
        face = net.facer(identity, batch["landmarks"], kept)
        painting = net.painter(face).float()
        weight = (1 + FACE_WEIGHT * mask) / (1 + FACE_WEIGHT * mask.mean())
        logits = net.labels(normalize_rows(appearance)).float()
        label_loss = F.binary_cross_entropy_with_logits(logits, batch["labels"], reduction="none")
        known = batch["known"]
        terms = {
            "paint": PAINT * (weight * (painting - target).abs()).mean(),
            "edges": EDGES * gradient_loss(painting - target, weight),
            "labels": LABELS * (label_loss.mean(1) * known).sum() / known.sum().clamp(min=1),
        }
        return terms | self._diffusion(target, painting, face, mask, noise)

    def _diffusion(
        self, target: Tensor, painting: Tensor, face: Tensor, mask: Tensor, noise: torch.Generator
    ) -> LossTerms:
        """Return L_simple and L_reg of a part of the batch; no gradient reaches the painter."""
        count = max(1, round(len(target) * DIFFUSED))
        painting, face, mask = painting[:count].detach(), face[:count], mask[:count]
        clean = small.compute_residual(target[:count], painting)
        time = torch.rand(count, generator=noise) ** (1 / NOISY_EXPONENT)
        index = (time * len(self.table)).long().clamp(max=len(self.table) - 1)
        index = index.to(clean.device).repeat(2)
        fresh = torch.randn((2 * count, *clean.shape[1:]), generator=noise).to(clean.device)
        both = clean.repeat(2, 1, 1, 1)
        noised = process.diffuse(self.table, both, index, fresh)
        out = self.net.remainder(
            noised, index, face.repeat(2, 1), painting.repeat(2, 1, 1, 1)
        ).float()
        simple = (
            (out - process.training_target(self.table, both, index, fresh, small.PREDICTS))
            .abs()
            .mean()
        )
        first, second = process.predict_x0(self.table, noised, index, out, small.PREDICTS).chunk(2)
        return {"simple": simple, "regular": REGULAR * (mask * (first - second)).abs().mean()}

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Paint the sample batch, and each item's appearance with the next item's landmarks."""
        net = self.net
        identity = torch.cat([batch["identity"], net.looker(batch["target"])], 1)
        landmarks = batch["landmarks"]
        inputs = {"own landmarks": landmarks, "next item's landmarks": landmarks.roll(-1, 0)}
        rows = {"truth": batch["target"]} | {
            name: net.painter(net.facer(identity, points)) for name, points in inputs.items()
        }
        return {name: (value + 1) / 2 for name, value in rows.items()}

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the network's keys in half precision."""
        return {key: value.half() for key, value in states["net"].items()}

    def write_importable(self, path: Path) -> Path:
        """Write the bundled file: the same under its entry's name."""
        return self.write_bundled(path, load_tensors(path))


def gradient_loss(error: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean absolute image gradient of an error (B, 3, S, S), along x and y."""
    right, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    return (weight[..., 1:] * right.abs()).mean() + (weight[..., 1:, :] * down.abs()).mean()

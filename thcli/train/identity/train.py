"""Training of identity-s: ArcFace's margin between persons, and optionally a teacher network.

Sources: Deng et al. 2019 (ArcFace) eq. 3; Park et al. 2019 (relational distillation) for the
similarity matrix; Romero et al. 2015 (FitNets) for the hints. A small dataset needs the hints: 80
positions per image give more supervision than one vector.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from thcli.core.events import Listener
from thcli.core.options import IdentityTrainOptions, TrainOptions
from thcli.evaluate.datasets.persons import list_persons, read_face
from thcli.faces.identity.aligned_crop import SIZE
from thcli.faces.identity.network import VECTOR_LENGTH, IdentityNet
from thcli.faces.identity.onnx import OnnxIdentity
from thcli.train.core.checkpoints import load_start
from thcli.train.core.task import (
    Hyperparameters,
    LossTerms,
    Phase,
    TrainingData,
    TrainingTask,
    use_channels_last,
    warmup_then_cosine,
)
from thcli.train.data.batches import Batch
from thcli.train.identity.faces import AugmentationStage, BatchSettings, IdentityBatches
from thcli.train.identity.teacher import compute_teacher_outputs

SCALE = 32.0  # of cosines before the softmax
WARMUP = 0.04  # fraction of the updates
FINAL_RATE = 0.01  # fraction of the learning rate at the end
VECTOR_WEIGHT, SIMILARITY_WEIGHT = 10.0, 2.0  # distillation of the vectors and their similarities
HINT_WEIGHT = 4.0  # distillation of the feature maps, which are standardised
MARGIN_WEIGHT = 0.1  # margin loss beside a teacher; 1 without one
GENTLE, STRONG = 0.4, 0.7  # strength of the augmentation in the first part and in the rest


class TrainingHeads(nn.Module):
    """Parameters that only the training needs.

    They are one direction per person, a linear map from our vector to the teacher's and 1 x 1
    convolutions from our feature maps to the teacher's.
    persons: number of persons. length: of the teacher's vectors, 0 without a teacher. channels: of
    the teacher's feature maps. widths: of ours.
    """

    def __init__(
        self, persons: int, length: int, channels: Sequence[int], widths: Sequence[int]
    ) -> None:
        super().__init__()
        self.persons = nn.Parameter(torch.randn(persons, VECTOR_LENGTH) * 0.05)
        self.lesson = nn.Linear(VECTOR_LENGTH, max(length, 1), bias=False)
        self.hints = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 1) for inputs, outputs in zip(widths, channels, strict=False)
        )


class IdentityTask(TrainingTask):
    """Training on faces by person, with weaker augmentation at first."""

    name = "identity"
    entry = "identity-s"
    exported = ("model",)
    sizes = (SIZE,)
    perceptual = "persons"

    def __init__(
        self, options: TrainOptions, model_options: IdentityTrainOptions | None, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options or IdentityTrainOptions()
        self.hyperparameters = Hyperparameters(40, 1, 128, 1e-3)
        self.model = IdentityNet(narrow=options.narrow)
        use_channels_last(self.model)
        if self.model_options.start:
            load_start(self.model, self.model_options.start)
        self.networks = {"model": self.model}
        self.phases = (Phase("model", ("model", "heads")),)
        self.teacher = (
            OnnxIdentity(
                Path(self.model_options.teacher), self.model_options.teacher_input, options.threads
            )
            if self.model_options.teacher
            else None
        )
        if self.teacher is not None:
            self.perceptual = f"persons, {self.teacher.path.name}"

    @classmethod
    def smoke_options(cls, options: TrainOptions) -> TrainOptions:
        """Return the options of --smoke: a narrow network and small batches."""
        return replace(
            options,
            narrow=8,
            size=SIZE,
            batch=max(options.batch or 0, 8),
            samples=min(options.samples, 2),
        )

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write rendered faces: six persons, four images each."""
        for person in range(6):
            person_folder = folder / f"person_{person}"
            person_folder.mkdir(parents=True)
            for number in range(4):
                image = render_synthetic_face(person, number)
                coded = cv2.imencode(".png", image[..., ::-1])[1]
                (person_folder / f"{number}.png").write_bytes(coded.tobytes())

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        """Open the images and the teacher's outputs; create the heads, which depend on both."""
        rows = list_persons(folder)
        teacher_outputs = None
        if self.teacher is not None:
            paths = [row.path for row in rows]
            teacher_outputs = compute_teacher_outputs(
                self.teacher,
                self.model_options.teacher_input,
                self.model_options.hints,
                paths,
                read_face,
                folder,
                on,
            )
        options = self.options
        _, steps = self.count_updates(len(rows), batch)
        gentle_steps = round(steps * self.model_options.gentle)
        hints = bool(teacher_outputs and teacher_outputs.maps)
        gentle, strong = AugmentationStage(GENTLE, hints=hints), AugmentationStage(STRONG)
        data = IdentityBatches(
            rows,
            folder,
            BatchSettings(batch, options.seed, options.flip, options.threads),
            teacher_outputs=teacher_outputs,
            stage=lambda step: strong if step >= gentle_steps else gentle,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed + 1)
            channels = (
                [] if teacher_outputs is None else [maps.shape[1] for maps in teacher_outputs.maps]
            )
            length = 0 if teacher_outputs is None else teacher_outputs.vectors.shape[2]
            self.networks["heads"] = TrainingHeads(
                data.persons, length, channels, self.model.map_widths
            )
        return data

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr, weight_decay=0.05)

    def learning_rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Return a learning rate that rises linearly, then falls along a cosine."""
        return warmup_then_cosine(lr, step, steps, WARMUP, FINAL_RATE)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        heads = self.networks["heads"]
        assert isinstance(heads, TrainingHeads)
        vectors, maps = self.model.forward_with_maps(
            batch["images"].contiguous(memory_format=torch.channels_last)
        )
        with torch.autocast(vectors.device.type, enabled=False):
            persons = margin_loss(
                vectors,
                functional.normalize(heads.persons),
                batch["person"],
                self.model_options.margin,
            )
            if "lesson" not in batch:
                return {"persons": persons}
            lesson = batch["lesson"]
            predicted = functional.normalize(heads.lesson(vectors))
            off_diagonal = 1 - torch.eye(len(vectors), device=vectors.device)
            error = (vectors @ vectors.T - lesson @ lesson.T) * off_diagonal
            terms = {
                "lesson": VECTOR_WEIGHT * (1 - (predicted * lesson).sum(1)).mean(),
                "related": SIMILARITY_WEIGHT * error.square().sum(1).mean(),
                "persons": MARGIN_WEIGHT * persons,
            }
        if "straight" in batch:
            errors = []
            for i, (head, own) in enumerate(zip(heads.hints, maps, strict=True)):
                hint = batch[f"hint_{i}"]
                pooled = functional.adaptive_avg_pool2d(own, hint.shape[-1])
                errors.append(masked_mse(head(pooled), hint, batch["straight"]))
            terms["hints"] = HINT_WEIGHT * torch.stack(errors).sum()
        return terms

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        return {"augmented": batch["images"]}

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the network in half precision, as it is shipped and evaluated."""
        return {k: v.half() if v.is_floating_point() else v for k, v in states["model"].items()}


def masked_mse(maps: Tensor, hints: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared difference of maps (B, C, G, G) where the item's mask (B,) is 1."""
    each = (maps.float() - hints).square().mean((1, 2, 3))
    return (each * mask).sum() / mask.sum().clamp_min(1)


def margin_loss(vectors: Tensor, persons: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return ArcFace's loss (eq. 3): cross-entropy of SCALE * cosines with an angular margin.

    Where angle + margin exceeds pi and the cosine would rise again, the true person's cosine
    decreases linearly instead (deepinsight/insightface does the same).

    Args:
        vectors: Unit rows, (B, 512).
        persons: Unit rows, (P, 512).
        labels: Person of each vector, (B,).
        margin: Added to the angle of the true person, radians.
    """
    cosines = (vectors @ persons.T).clamp(-1 + 1e-6, 1 - 1e-6)
    cosine = cosines.gather(1, labels[:, None])
    sine = (1 - cosine.square()).sqrt()
    with_margin = torch.where(
        cosine > -math.cos(margin),
        cosine * math.cos(margin) - sine * math.sin(margin),
        cosine - margin * math.sin(margin),
    )
    logits = SCALE * cosines.scatter(1, labels[:, None], with_margin)
    return functional.cross_entropy(logits, labels)


def render_synthetic_face(person: int, number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Render a synthetic face, (112, 112, 3) RGB uint8.

    Proportions and colours follow from the person; position and light from (person, number).
    """
    of_person = np.random.default_rng([5, person])
    of_image = np.random.default_rng([6, person, number])
    skin, hair = of_person.integers(90, 240, 3), of_person.integers(10, 160, 3)
    eye = of_person.integers(20, 120, 3)
    x, y = 56 + of_image.normal(0, 1.5), 60 + of_image.normal(0, 1.5)
    width, height = of_person.uniform(30, 44), of_person.uniform(40, 52)
    eye_distance = of_person.uniform(14, 20)
    out = np.full((SIZE, SIZE, 3), of_image.integers(0, 255, 3), np.uint8)

    def ellipse(cx: float, cy: float, rx: float, ry: float, colour: Any) -> None:
        centre, axes = (round(cx), round(cy)), (round(rx), round(ry))
        rgb = tuple(int(c) for c in colour)
        cv2.ellipse(out, centre, axes, 0, 0, 360, rgb, -1, cv2.LINE_AA)

    ellipse(x, y - 8, width + 6, height, hair)
    ellipse(x, y + 4, width, height - 4, skin)
    for sign in (-1, 1):
        ellipse(x + sign * eye_distance, y - 8, 5, 3, (240, 240, 240))
        ellipse(x + sign * eye_distance, y - 8, 2.5, 2.5, eye)
    mouth = of_person.uniform(8, 15), of_person.uniform(2, 5)
    ellipse(x, y + 26, *mouth, of_person.integers(80, 200, 3))
    return np.asarray(np.clip(out * of_image.uniform(0.7, 1.1), 0, 255), np.uint8)

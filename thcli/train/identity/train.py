"""Training of identity-s: a margin between persons (ArcFace), and a known network's opinion of each picture where one is at hand.

Sources: Deng et al. 2019 (ArcFace) eq. 3; Park et al. 2019 (relational distillation) for the matrix of similarities; Romero et al. 2015
(FitNets) for the hints, without which a small set teaches slowly: 80 places of a face say more than one vector.
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
from thcli.evaluate.datasets.persons import people, read_face
from thcli.faces.identity.aligned import SIZE
from thcli.faces.identity.network import LENGTH, IdentityNet
from thcli.faces.identity.onnx import OnnxIdentity
from thcli.train.core.task import (
    Batch,
    Data,
    Phase,
    Published,
    Terms,
    TrainingTask,
    cosine_after_rise,
)
from thcli.train.identity.faces import Faces, Stage
from thcli.train.identity.teacher import lessons
from thcli.weights.tensors import load_tensors, require_keys

SCALE = 32.0  # of cosines before the softmax
WARM = 0.04  # part of the updates in which the rate rises
LAST = 0.01  # of the rate, at the end
TAUGHT, RELATED = 10.0, 2.0  # weights of the teacher's vector and of its similarities
HINTED = 4.0  # of its inner maps, whose units are their own spreads
GENTLE, ROUGH = (
    0.4,
    0.7,
)  # strength of what disturbs the pictures of the first part, and of the rest
PERSONS = 0.1  # weight of the margin loss beside a teacher


class Heads(nn.Module):
    """What only the training needs: a direction for each person, the way from our vector to the teacher's, and from our maps to its own.

    persons: how many.  length: of the teacher's vectors, 0 without one.  channels: of each of its maps.
    """

    def __init__(
        self, persons: int, length: int, channels: Sequence[int], own: Sequence[int]
    ) -> None:
        super().__init__()
        self.persons = nn.Parameter(torch.randn(persons, LENGTH) * 0.05)
        self.lesson = nn.Linear(LENGTH, max(length, 1), bias=False)
        self.hints = nn.ModuleList(
            nn.Conv2d(before, after, 1) for before, after in zip(own, channels, strict=False)
        )


class IdentityTask(TrainingTask):
    """Faces by person, little disturbed at first."""

    name = "identity"
    entry = "identity-s"
    exported = ("model",)
    sizes = (SIZE,)
    perceptual = "persons"

    def __init__(
        self, options: TrainOptions, own: IdentityTrainOptions | None, on: Listener
    ) -> None:
        super().__init__(options, own, on)
        self.own = own or IdentityTrainOptions()
        self.published = Published(40, 1, 128, 1e-3)
        self.model = IdentityNet(narrow=options.narrow).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        if self.own.start:
            begun = load_tensors(Path(self.own.start))
            require_keys(begun, self.model.state_dict(), self.own.start)
            self.model.load_state_dict(begun)
        self.networks = {"model": self.model}
        self.phases = (Phase("model", ("model", "heads")),)
        self.teacher = (
            OnnxIdentity(Path(self.own.teacher), self.own.teacher_input, options.threads)
            if self.own.teacher
            else None
        )
        if self.teacher is not None:
            self.perceptual = f"persons, {self.teacher.path.name}"

    @classmethod
    def trial(cls, options: TrainOptions) -> TrainOptions:
        """--smoke: narrow, and a few persons at a time."""
        return replace(
            options,
            narrow=8,
            size=SIZE,
            batch=max(options.batch or 0, 8),
            samples=min(options.samples, 2),
        )

    @classmethod
    def trial_data(cls, folder: Path, options: TrainOptions) -> None:
        """Six drawn persons, four pictures each."""
        for person in range(6):
            room = folder / f"person_{person}"
            room.mkdir(parents=True)
            for number in range(4):
                drawn = drawn_face(person, number)
                (room / f"{number}.png").write_bytes(
                    cv2.imencode(".png", drawn[..., ::-1])[1].tobytes()
                )

    def data(self, folder: Path, batch: int, on: Listener) -> Data:
        """The folder's pictures, and what the teacher says of them. The heads' sizes follow from both."""
        rows = people(folder)
        taught = None
        if self.teacher is not None:
            paths = [row.path for row in rows]
            taught = lessons(
                self.teacher, self.own.teacher_input, self.own.hints, paths, read_face, folder, on
            )
        options = self.options
        epoch = math.ceil(len(rows) * self.published.repeats / batch)
        steps = options.steps or math.ceil((options.epochs or self.published.epochs) * epoch)
        turn = round(steps * self.own.gentle)
        gentle, rough = Stage(GENTLE, hints=bool(taught and taught.maps)), Stage(ROUGH)
        data = Faces(
            rows,
            folder,
            batch,
            options.seed,
            taught=taught,
            stage=lambda step: rough if step >= turn else gentle,
            flip=options.flip,
            threads=options.threads,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed + 1)
            channels = [] if taught is None else [maps.shape[1] for maps in taught.maps]
            length = 0 if taught is None else taught.vectors.shape[2]
            self.networks["heads"] = Heads(data.persons, length, channels, self.model.map_widths)
        return data

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr, weight_decay=0.05)

    def rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Up in a straight line, down along a cosine."""
        return cosine_after_rise(lr, step, steps, WARM, LAST)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        heads = self.networks["heads"]
        assert isinstance(heads, Heads)
        vectors, maps = self.model.with_maps(
            batch["pictures"].contiguous(memory_format=torch.channels_last)
        )
        with torch.autocast(vectors.device.type, enabled=False):
            persons = margin_loss(
                vectors, functional.normalize(heads.persons), batch["person"], self.own.margin
            )
            if "lesson" not in batch:
                return {"persons": persons}
            lesson = batch["lesson"]
            said = functional.normalize(heads.lesson(vectors))
            apart = 1 - torch.eye(len(vectors), device=vectors.device)
            off = (vectors @ vectors.T - lesson @ lesson.T) * apart
            terms = {
                "lesson": TAUGHT * (1 - (said * lesson).sum(1)).mean(),
                "related": RELATED * off.square().sum(1).mean(),
                "persons": PERSONS * persons,
            }
        if "straight" in batch:
            terms["hints"] = HINTED * sum(
                missed(
                    head(functional.adaptive_avg_pool2d(own, batch[f"hint_{i}"].shape[-1])),
                    batch[f"hint_{i}"],
                    batch["straight"],
                )
                for i, (head, own) in enumerate(zip(heads.hints, maps, strict=True))
            )
        return terms

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        return {"as it learns them": batch["pictures"]}

    def layout(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The network in half precision, as it is shipped and judged."""
        return {k: v.half() if v.is_floating_point() else v for k, v in states["model"].items()}


def missed(ours: Tensor, hints: Tensor, counts: Tensor) -> Tensor:
    """Mean square difference of maps (B, C, G, G), over the items whose `counts` (B,) is 1."""
    each = (ours.float() - hints).square().mean((1, 2, 3))
    return (each * counts).sum() / counts.sum().clamp_min(1)


def margin_loss(vectors: Tensor, persons: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Cross-entropy of SCALE * cosines, the own person's angle made larger by `margin` radians: ArcFace eq. 3.

    vectors (B, 512), persons (P, 512): unit rows.  labels: (B,).  Beyond an angle of pi - margin, where the cosine would rise again,
    the own cosine is lowered in a straight line (deepinsight/insightface does the same).
    """
    cosines = (vectors @ persons.T).clamp(-1 + 1e-6, 1 - 1e-6)
    own = cosines.gather(1, labels[:, None])
    sine = (1 - own.square()).sqrt()
    moved = torch.where(
        own > -math.cos(margin),
        own * math.cos(margin) - sine * math.sin(margin),
        own - margin * math.sin(margin),
    )
    return functional.cross_entropy(SCALE * cosines.scatter(1, labels[:, None], moved), labels)


def drawn_face(person: int, number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A made-up person's face, (112, 112, 3) RGB: proportions and colours are the person's, place and light the picture's."""
    own, now = np.random.default_rng([5, person]), np.random.default_rng([6, person, number])
    skin, hair, eye = own.integers(90, 240, 3), own.integers(10, 160, 3), own.integers(20, 120, 3)
    x, y = 56 + now.normal(0, 1.5), 60 + now.normal(0, 1.5)
    wide, high, apart = own.uniform(30, 44), own.uniform(40, 52), own.uniform(14, 20)
    out = np.full((SIZE, SIZE, 3), now.integers(0, 255, 3), np.uint8)

    def oval(cx: float, cy: float, rx: float, ry: float, colour: Any) -> None:
        cv2.ellipse(
            out,
            (round(cx), round(cy)),
            (round(rx), round(ry)),
            0,
            0,
            360,
            tuple(int(c) for c in colour),
            -1,
            cv2.LINE_AA,
        )

    oval(x, y - 8, wide + 6, high, hair)
    oval(x, y + 4, wide, high - 4, skin)
    for sign in (-1, 1):
        oval(x + sign * apart, y - 8, 5, 3, (240, 240, 240))
        oval(x + sign * apart, y - 8, 2.5, 2.5, eye)
    oval(x, y + 26, own.uniform(8, 15), own.uniform(2, 5), own.integers(80, 200, 3))
    return np.asarray(np.clip(out * now.uniform(0.7, 1.1), 0, 255), np.uint8)

"""Training of X2Face: the published script (L1, one source), and the identity loss of the paper's second stage as an option.

Source: X2Face train_model.py at cecfbfa; Wiles et al. 2018 sec. 3.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import TrainOptions, X2FaceTrainOptions
from thcli.engines.x2face.engine import MEMBER
from thcli.engines.x2face.networks import CODE, SIZE, X2Face
from thcli.media.atomic_file import SideFile
from thcli.media.failures import unwritable
from thcli.train.core.task import Batch, Data, Phase, Published, Terms, TrainingTask
from thcli.train.keypoint_models.pairs import Pairs
from thcli.train.keypoint_models.perceptual import Features, identity_loss, perceptual

PHOTOMETRIC = 1.0
PREFIX = "state_dict."


class X2FaceTask(TrainingTask):
    """Sources and a driving frame of one clip; with an identity loss also the driving frames of the batch's other clips."""

    name = "x2face"
    entry = "x2face"
    exported = ("model",)
    sizes = (SIZE,)
    perceptual = "L1"

    def __init__(self, options: TrainOptions, own: X2FaceTrainOptions, on: Listener) -> None:
        super().__init__(options, own, on)
        self.published = Published(3000, 1, 16, 1e-3)
        self.model = X2Face(narrow=options.narrow)
        begin_with_xavier(self.model)
        self.networks = {"model": self.model}
        self.phases = (Phase("model", ("model",)),)
        self.views, self.identity = own.views, own.identity
        self.features: Features | None = None
        if self.identity:
            compare = perceptual(options.perceptual, on, offline=options.offline)
            self.features, self.helpers = compare.features, (compare,)
            self.perceptual = f"L1, identity by {compare.name}"

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        """Stochastic gradient descent with momentum 0.9, as published."""
        return torch.optim.SGD(parameters, lr, momentum=0.9)

    def data(self, folder: Path, batch: int, on: Listener) -> Data:
        """Several source frames an item with --views."""
        return Pairs(folder, self.options, batch, views=self.views, on=on)

    def mosaic(self, sources: Tensor) -> Tensor:
        """Sources (B, V, 3, H, W) -> the mosaic of each item (B, 3, H, W), its views weighted by exp(confidence) + 0.1."""
        faces, confidence = self.model.unwrap(sources.flatten(0, 1))
        weight = torch.exp(confidence) + 0.1
        shape = (*sources.shape[:2], -1, *sources.shape[3:])
        faces, weight = faces.view(shape), weight.view(shape)
        return (weight * faces).sum(1) / weight.sum(1)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        driving, mosaic = batch["driving"], self.mosaic(batch["sources"])
        code = self.model.code(driving)
        terms = {"photometric": PHOTOMETRIC * (self.model(mosaic, code) - driving).abs().mean()}
        if self.features is not None:
            other = (batch["person"] != batch["person"].roll(1, 0)).to(driving.dtype)
            if bool(other.any()):
                chosen = other.nonzero()[:, 0]
                crossed = self.model(mosaic[chosen], code.roll(1, 0)[chosen])
                terms["identity"] = self.identity * identity_loss(
                    self.features, crossed, batch["sources"][chosen, 0]
                )
            else:
                terms["identity"] = torch.zeros(
                    (), device=driving.device
                )  # nobody else is in this batch
        return terms

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        sources, driving = batch["sources"], batch["driving"]
        mosaic = self.mosaic(sources)
        return {
            "source": sources[:, 0],
            "driving": driving,
            "mosaic": mosaic,
            "result": self.model(mosaic, self.model.code(driving)),
        }

    def layout(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The model's own keys below "state_dict.", as published."""
        return {f"{PREFIX}{key}": value for key, value in states["model"].items()}

    def publish(self, path: Path) -> Path:
        """The published archive's members: the model, and the two small pose files, which are not trained here (zeros, said in them)."""
        target = path.with_suffix(".zip")
        words = {"untrained": "zeros: thcli train x2face does not train the pose-driven variant"}
        linear = {
            "posefrombottle.weight": torch.zeros(3, CODE),
            "posefrombottle.bias": torch.zeros(3),
        }
        inverse = {"0.weight": torch.zeros(CODE, 3)}
        for name, value in (
            ("weight", 1.0),
            ("bias", 0.0),
            ("running_mean", 0.0),
            ("running_var", 1.0),
        ):
            inverse[f"1.{name}"] = torch.full((CODE,), value)
        with SideFile(target, overwrite=True) as file:
            try:
                with zipfile.ZipFile(file.partial, "w", zipfile.ZIP_STORED) as archive:
                    archive.write(path, MEMBER)
                    for name, tensors in (("posereg.pth", linear), ("posetobottle.pth", inverse)):
                        archive.writestr(
                            name, save({f"{PREFIX}{k}": v for k, v in tensors.items()}, words)
                        )
            except OSError as exc:
                raise unwritable(target, exc) from exc
        return target


def begin_with_xavier(model: X2Face) -> None:
    """Xavier normal, gain 1, as published; but both fields begin at rest.

    differs from train_model.py: a field of random offsets folds the face, and on a small dataset it never unfolds.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight)
    for network in (model.pix2pixUnwrapped, model.pix2pixSampler):
        for painted in network.level.up:
            if isinstance(painted, nn.Conv2d):
                nn.init.zeros_(painted.weight)

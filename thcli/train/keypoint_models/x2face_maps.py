"""Training of X2Face's other drivers: maps between codes and poses, and from sound to codes.

The networks of X2Face are frozen; their codes of all frames are computed once.
Source: Wiles et al. 2018, section on driving with pose codes and with audio.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import TrainOptions, X2FaceMapTrainOptions
from thcli.core.types import Array32
from thcli.engines.x2face.engine import MEMBER, build_model
from thcli.engines.x2face.networks import SIZE, PoseMap, X2Face
from thcli.train.core.synthetic import write_tones, write_turning_heads
from thcli.train.core.task import Hyperparameters, LossTerms, Phase, TrainingData, TrainingTask
from thcli.train.data.batches import Batch
from thcli.train.keypoint_models.x2face import PREFIX, init_weights, write_archive
from thcli.train.keypoint_models.x2face_rows import CodeRows, PoseRows, SoundRows
from thcli.voices.x2face.embedding import EMBEDDING
from thcli.weights.tensors import load_tensors

RIDGE = 1e-3  # per item, against singular embeddings
SWEEP = (-0.5, 0.5)  # yaw of the sample images in radians


class X2FaceMapTask(TrainingTask, ABC):
    """Training of a map on the codes of a frozen model."""

    sizes = (SIZE,)
    loads_any_width = True
    data_class: ClassVar[type[CodeRows]]

    def __init__(
        self, options: TrainOptions, model_options: X2FaceMapTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.hyperparameters = Hyperparameters(100, 1, 128, 1e-2)
        self.model = _load_model(options, model_options.start).requires_grad_(False).eval()
        self.frozen_modules = (self.model,)
        self.map = self.create_map(self.model.code_size)
        self.networks = {"map": self.map}
        self.phases = (Phase("map", ("map",)),)

    @abstractmethod
    def create_map(self, code: int) -> nn.Module:
        """Create the network for codes of this size."""

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        """Create Adam with its usual settings."""
        return torch.optim.Adam(parameters, lr)

    def learning_rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Return a rate that falls linearly to 0."""
        return lr * (1 - step / steps)

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        """Encode the dataset."""
        return self.data_class(folder, self.options, batch, self.model, on)


class X2FacePoseTask(X2FaceMapTask):
    """P from codes to poses and Q from poses to codes, both by L1.

    The exported archive holds them with the networks.
    """

    name = "x2face-pose"
    entry = "x2face"
    exported = ("map",)
    data_class = PoseRows

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write two clips with motion files."""
        super().write_synthetic_data(folder, options)
        write_turning_heads(folder, options.size)

    def create_map(self, code: int) -> PoseMap:
        return PoseMap(code)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        code, pose = batch["code"], batch["input"]
        poses = cast(PoseMap, self.map)
        return {
            "pose": (poses.pose(code) - pose).abs().mean(),
            "code": (poses.bottlefrompose(pose) - code).abs().mean(),
        }

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        poses = cast(PoseMap, self.map)
        image, code = batch["image"], batch["code"]
        mosaic = torch.cat([self.model.mosaic(one[None]) for one in image])
        rows = {"source": image}
        for yaw in SWEEP:
            pose = poses.pose(code)
            pose[:, 2] = yaw
            moved = poses.move(code, pose)
            rows[f"yaw {yaw:g}"] = _render(self.model, mosaic, moved)
        return rows

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return dict(states["map"])

    def write_importable(self, path: Path) -> Path:
        """Write an archive of the networks and the trained maps; return its path."""
        state = {
            f"{PREFIX}{k}": v.detach().cpu().contiguous()
            for k, v in self.model.state_dict().items()
        }
        poses = load_tensors(path)
        return write_archive(path.with_suffix(".zip"), save(state), poses)


class CodeRegression(nn.Module):
    """Linear regression from audio embeddings (B, EMBEDDING) to codes (B, C)."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.linear = nn.Linear(EMBEDDING, code)

    def fit(self, embeddings: Array32, codes: Array32) -> None:
        """Solve the least squares from embeddings (N, EMBEDDING) to codes (N, C), in place."""
        inputs, targets = embeddings.astype(np.float64), np.maximum(codes, 0).astype(np.float64)
        mean, rest = inputs.mean(0), targets.mean(0)
        centred = inputs - mean
        normal = centred.T @ centred + RIDGE * len(inputs) * np.eye(EMBEDDING)
        weight = np.linalg.solve(normal, centred.T @ (targets - rest)).T
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weight))
            self.linear.bias.copy_(torch.from_numpy(rest - weight @ mean))

    def forward(self, embedding: Tensor) -> Tensor:
        """Return rectified codes as the regression predicts them."""
        out: Tensor = self.linear(embedding)
        return out


class X2FaceAudioTask(X2FaceMapTask):
    """Regression of rectified codes from sound, by squared error.

    The closed form, as published, is where a run begins; its updates then descend in small steps.
    """

    name = "x2face-audio"
    entry = "x2face-audio"
    exported = ("map",)
    data_class = SoundRows

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write two clips with a tone beside each."""
        super().write_synthetic_data(folder, options)
        write_tones(folder)

    def __init__(
        self, options: TrainOptions, model_options: X2FaceMapTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.hyperparameters = Hyperparameters(5, 1, 128, 1e-6)

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        """Encode the dataset and solve the regression; a resumed run then loads its own."""
        data = SoundRows(folder, self.options, batch, self.model, on)
        cast(CodeRegression, self.map).fit(data.inputs, data.codes)
        return data

    def create_map(self, code: int) -> CodeRegression:
        return CodeRegression(code)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        predicted = self.networks["map"](batch["input"])
        return {"code": (predicted - F.relu(batch["code"])).square().mean()}

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        mosaic = torch.cat([self.model.mosaic(one[None]) for one in batch["image"]])
        spoken = self.networks["map"](batch["input"])
        return {
            "source": batch["image"],
            "own code": _render(self.model, mosaic, batch["later"]),
            "by sound": _render(self.model, mosaic, spoken),
        }

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return {key.removeprefix("linear."): value for key, value in states["map"].items()}


def _render(model: X2Face, mosaics: Tensor, codes: Tensor) -> Tensor:
    """Warp each mosaic (B, 3, H, W) by its code (B, C)."""
    return torch.cat([model(mosaics[i : i + 1], codes[i : i + 1]) for i in range(len(codes))])


def _load_model(options: TrainOptions, start: str) -> X2Face:
    """Load the networks whose codes are mapped; a smoke run without a start has random ones.

    Raises:
        WeightsError: the file or the installed weights are missing, or another model's.
    """
    if start:
        return build_model(load_tensors(Path(start), prefix=PREFIX), start)
    if options.smoke:
        model = X2Face(width_divisor=options.narrow)
        init_weights(model)
        return model
    return build_model(load_tensors("x2face", member=MEMBER, offline=options.offline), "x2face")

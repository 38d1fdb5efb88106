"""Training of X2Face: the published script (L1, one source), and the paper's second stage.

The second stage adds content losses on feature maps: all maps between a generated frame and the
driving frame of the same person, and the coarse maps between the source and a frame that another
person drives.
differs: maps of VGG-19 trained on ImageNet in place of a VGG trained on faces, whose weights may be
used for research only.
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
from thcli.engines.x2face.engine import MEMBER, POSE_MEMBERS
from thcli.engines.x2face.networks import SIZE, PoseMap, UNetLevel, X2Face
from thcli.media.atomic_file import AtomicFile
from thcli.media.failures import to_output_error
from thcli.train.core.checkpoints import load_start
from thcli.train.core.task import (
    Hyperparameters,
    LossTerms,
    Phase,
    TrainingData,
    TrainingTask,
    ignore_inputs,
)
from thcli.train.data.batches import Batch
from thcli.train.keypoint_models.pairs import FramePairs
from thcli.train.keypoint_models.perceptual import (
    FeatureExtractor,
    content_loss,
    create_perceptual_loss,
)

PHOTOMETRIC = 1.0
PREFIX = "state_dict."


class X2FaceTask(TrainingTask):
    """Training on source frames and a driving frame of one clip.

    The second stage also uses the driving frames of the batch's other persons.
    """

    name = "x2face"
    entry = "x2face"
    exported = ("model",)
    sizes = (SIZE,)
    loads_any_width = True
    perceptual = "L1"

    def __init__(
        self, options: TrainOptions, model_options: X2FaceTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.hyperparameters = Hyperparameters(3000, 1, 16, 1e-3)
        self.model = X2Face(width_divisor=options.narrow)
        init_weights(self.model)
        if model_options.start:
            load_start(self.model, model_options.start, PREFIX)
        if not model_options.skips:
            ignore_skips(self.model)
        self.networks = {"model": self.model}
        self.phases = (Phase("model", ("model",)),)
        self.views, self.identity = model_options.views, model_options.identity
        self.features: FeatureExtractor | None = None
        if self.identity:
            loss = create_perceptual_loss(options.perceptual, on, offline=options.offline)
            self.features, self.frozen_modules = loss.features, (loss,)
            self.perceptual = f"L1, identity by {loss.name}"

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        """Create SGD with momentum 0.9, as published."""
        return torch.optim.SGD(parameters, lr, momentum=0.9)

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        """Open the dataset, with several source frames per item for --views."""
        return FramePairs(folder, self.options, batch, views=self.views, on=on)

    def mosaic(self, sources: Tensor) -> Tensor:
        """Return the texture mosaic of each item, its views weighted by exp(confidence) + 0.1.

        Args:
            sources: (B, V, 3, H, W) in [0, 1].

        Returns:
            (B, 3, H, W).
        """
        faces, confidence = self.model.unwrap(sources.flatten(0, 1))
        weight = torch.exp(confidence) + 0.1
        shape = (*sources.shape[:2], -1, *sources.shape[3:])
        faces, weight = faces.view(shape), weight.view(shape)
        return (weight * faces).sum(1) / weight.sum(1)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        driving, mosaic = batch["driving"], self.mosaic(batch["sources"])
        code = self.model.code(driving)
        generated = self.model(mosaic, code)
        terms = {"photometric": PHOTOMETRIC * (generated - driving).abs().mean()}
        if self.features is not None:
            terms["content"] = self.identity * content_loss(self.features, generated, driving)
            other = (batch["person"] != batch["person"].roll(1, 0)).nonzero()[:, 0]
            if len(other):
                crossed = self.model(mosaic[other], code.roll(1, 0)[other])
                terms["identity"] = self.identity * content_loss(
                    self.features.identity_maps, crossed, batch["sources"][other, 0]
                )
            else:
                # all items of the batch show the same person
                terms["identity"] = torch.zeros((), device=driving.device)
        return terms

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        sources, driving = batch["sources"], batch["driving"]
        mosaic = self.mosaic(sources)
        return {
            "source": sources[:, 0],
            "driving": driving,
            "mosaic": mosaic,
            "result": self.model(mosaic, self.model.code(driving)),
        }

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the model's keys with the published prefix "state_dict."."""
        return {f"{PREFIX}{key}": value for key, value in states["model"].items()}

    def write_importable(self, path: Path) -> Path:
        """Write an archive with the published members and return its path.

        The maps of poses are not trained here; they are zeros, which the engine refuses.
        """
        poses = PoseMap(self.model.code_size).state_dict()
        zeros = {key: torch.zeros_like(value) for key, value in poses.items()}
        return write_archive(path.with_suffix(".zip"), path.read_bytes(), zeros)


def write_archive(target: Path, model: bytes, poses: Mapping[str, Tensor]) -> Path:
    """Write an archive with the published members, for `thcli weights import x2face`.

    Args:
        target: archive; an existing one is replaced.
        model: safetensors file of the networks, with the published prefix.
        poses: state of `PoseMap`.

    Raises:
        OutputError: the archive cannot be written.
    """
    with AtomicFile(target, overwrite=True) as file:
        try:
            with zipfile.ZipFile(file.partial, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(MEMBER, model)
                for member, prefix in POSE_MEMBERS.items():
                    archive.writestr(
                        member,
                        save(
                            {
                                f"{PREFIX}{key.removeprefix(prefix)}": value.contiguous()
                                for key, value in poses.items()
                                if key.startswith(prefix or "posefrombottle.")
                            }
                        ),
                    )
        except OSError as exc:
            raise to_output_error(target, exc) from exc
    return target


def init_weights(model: X2Face) -> None:
    """Initialise with Xavier normal, gain 1, as published, and zero flow fields.

    differs from train_model.py: a random flow field folds the face, and training on a small dataset
    does not recover from that.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight)
    for network in (model.pix2pixUnwrapped, model.pix2pixSampler):
        for layer in network.level.up:
            if isinstance(layer, nn.Conv2d):
                nn.init.zeros_(layer.weight)


def ignore_skips(model: X2Face) -> None:
    """Keep the weights of the embedding network's skip connections at 0, on every level."""
    for level in model.pix2pixUnwrapped.modules():
        if isinstance(level, UNetLevel) and not level.innermost:
            last = next(layer for layer in level.up if isinstance(layer, nn.Conv2d))
            ignore_inputs(last, slice(last.in_channels // 2, None))

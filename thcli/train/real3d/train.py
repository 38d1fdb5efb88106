"""Training of Real3D-Portrait's head: first image-to-plane, then the motion adapter.

Source: Ye et al. 2024 (Real3D-Portrait), sec. 3.1-3.2 and appendix; Real3DPortrait tasks/os_avatar
at a9d70c7, for the weights of the terms.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import Real3dAdapterTrainOptions, Real3dTrainOptions, TrainOptions
from thcli.engines.real3d.config import Real3DConfig
from thcli.engines.real3d.model import PREFIX, HeadModel, PretrainingModel, Real3D
from thcli.engines.real3d.volume_renderer import Rendered
from thcli.train.core.task import Hyperparameters, LossTerms, Phase, TrainingData
from thcli.train.data.batches import Batch
from thcli.train.keypoint_models.perceptual import identity_loss
from thcli.train.real3d import discriminator as dual
from thcli.train.real3d import losses as terms
from thcli.train.real3d.batches import HeadViews
from thcli.train.real3d.heads import read_heads
from thcli.train.real3d.stage import Real3dStage
from thcli.weights.tensors import load_tensors, require_keys

BACKBONE, PRETRAINED_BACKBONE = "cano_img2plane_backbone.", "img2plane_backbone."
NEW_PARTS = ("secc_img2plane_backbone.", "lambda_")  # that pre-training does not have
PERCEPTUAL, LIPS, IDENTITY = 0.1, 0.5, 0.1
SHARE, ENTROPY, DENSITY = 0.1, 0.01, 0.25
PERTURBATION_TARGET, LAPLACIAN_TARGET = 0.5, 0.15
MOST_PERTURBATION, MOST_LAPLACIAN = 0.2, 2.0


class HeadTask(Real3dStage):
    """Common part of the stages that train the head: rendering and reconstruction terms.

    moving: whether source and target have different expressions.
    """

    exported = ("model",)
    moving: bool

    def __init__(
        self, options: TrainOptions, model_options: Real3dTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.hyperparameters = Hyperparameters(1000, 100, 4, 1e-4)
        self.model: HeadModel = self.create_model(self.config(torso=False))
        if model_options.start:
            self._start(Path(model_options.start))
        self.discriminator = dual.DualDiscriminator(width_divisor=options.narrow)
        self.networks = {"model": self.model, "discriminator": self.discriminator}
        self.phases = (Phase("generator", ("model",)), Phase("discriminator", ("discriminator",)))

    @abstractmethod
    def create_model(self, config: Real3DConfig) -> HeadModel:
        """Create the networks of the stage."""

    @abstractmethod
    def planes(self, batch: Batch) -> Tensor:
        """Compute the planes of the batch's targets."""

    @abstractmethod
    def own_terms(self, batch: Batch, image: Tensor, rendered: Rendered) -> LossTerms:
        """Return the terms of this stage alone; `image` is (B, 3, S, S)."""

    def _start(self, path: Path) -> None:
        """Load the weights of an earlier run, of this stage or of the one before."""
        own = self.model.state_dict()
        prefix = BACKBONE if isinstance(self.model, Real3D) else PRETRAINED_BACKBONE
        found = {
            prefix + key.removeprefix(PRETRAINED_BACKBONE)
            if key.startswith(PRETRAINED_BACKBONE)
            else key: tensor
            for key, tensor in load_tensors(path, prefix=PREFIX).items()
        }
        wanted = {k: v for k, v in own.items() if k in found or not k.startswith(NEW_PARTS)}
        require_keys(found, wanted, str(path))
        self.model.load_state_dict(found, strict=False)

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        heads = read_heads(folder, on, offline=self.options.offline)
        return HeadViews(heads, batch, self.options.size, self.options.seed, moving=self.moving)

    def draw(
        self, planes: Tensor, camera: Tensor, noise: torch.Generator
    ) -> tuple[Tensor, Rendered]:
        """Render planes from cameras: image (B, 3, S, S) without limits, and the rendering."""
        numbers = self.model.ray_noise(noise, len(planes))
        depth, importance = (values.to(planes.device) for values in numbers)
        rendered = self.model.render(planes, camera, depth, importance)
        return self.model.superresolution.enlarge(rendered), rendered

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        target, camera = batch["target"], batch["camera"]
        small = terms.resized(target, self.model.config.render_size)
        step = int(batch["step"])
        if phase == "discriminator":
            return self.judge(cache["image"], cache["raw"], (target, small, camera), step)
        planes = self.planes(batch)
        image, rendered = self.draw(planes, camera, noise)
        cache["image"], cache["raw"] = image.detach(), rendered.rgb.detach()
        share = terms.resized(batch["mask"], self.model.config.render_size)
        score = self.discriminator(image, rendered.rgb, camera)
        perceptual = self.perceptual_loss(image / 2 + 0.5, target / 2 + 0.5)
        perceptual_raw = self.perceptual_loss(rendered.rgb / 2 + 0.5, small / 2 + 0.5)
        density = terms.density_smoothness(self.model.renderer, planes, noise)
        return {
            "image": terms.masked_difference(image, target, batch["mask"]),
            "raw": terms.masked_difference(rendered.rgb, small, share),
            "perceptual": PERCEPTUAL * (perceptual + perceptual_raw),
            "adversarial": self.adversarial_weight(step) * dual.generator_loss(score),
            "density": DENSITY * density,
            **self.own_terms(batch, image, rendered),
        }

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return {f"{PREFIX}{key}": value for key, value in states["model"].items()}

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        image, rendered = self.draw(
            self.planes(batch), batch["camera"], torch.Generator().manual_seed(0)
        )
        raw = nn.functional.interpolate(rendered.rgb, image.shape[2:])
        rows = {"source": batch["source"], "target": batch["target"], "result": image, "raw": raw}
        return {name: (values / 2 + 0.5).clamp(0, 1) for name, values in rows.items()}


class Real3dPlanesTask(HeadTask):
    """Image-to-plane: a view of a head to its planes, seen from other cameras."""

    name = "real3d-planes"
    moving = False
    adversarial = (0.025, 30_000)

    def create_model(self, config: Real3DConfig) -> PretrainingModel:
        self.field = PretrainingModel(config)
        return self.field

    def planes(self, batch: Batch) -> Tensor:
        return self.field.canonical_planes(batch["source"])

    def own_terms(self, batch: Batch, image: Tensor, rendered: Rendered) -> LossTerms:
        return {}

    def usage_command(self, importable: Path) -> str:
        return f"thcli train real3d PHOTOGRAPHS --start {importable} -o RUN"


class Real3dTask(HeadTask):
    """Motion adapter: the planes of a source, changed to the expression of a PNCC."""

    name = "real3d"
    moving = True
    adversarial = (0.002, 250_000)

    def __init__(
        self, options: TrainOptions, model_options: Real3dAdapterTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.laplacian = model_options.laplacian

    def create_model(self, config: Real3DConfig) -> Real3D:
        self.portrait = Real3D(config)
        return self.portrait

    def planes(self, batch: Batch) -> Tensor:
        canonical, source, target = batch["pncc"].unbind(1)[:3]
        residual = self.portrait.residual_planes(canonical, source, target)
        return self.portrait.canonical_planes(batch["source"]) + residual

    def own_terms(self, batch: Batch, image: Tensor, rendered: Rendered) -> LossTerms:
        share = terms.resized(batch["mask"], self.model.config.render_size)
        identity = identity_loss(
            self.perceptual_loss.features, image / 2 + 0.5, batch["source"] / 2 + 0.5
        )
        return {
            "lips": LIPS * terms.inside_difference(image, batch["target"], batch["lips"]),
            "identity": IDENTITY * identity,
            "share": SHARE * (rendered.weights - share).square().mean(),
            "entropy": ENTROPY * terms.entropy(rendered.weights),
            **(self._smoothness(batch["pncc"]) if self.laplacian else {}),
        }

    def _smoothness(self, pncc: Tensor) -> LossTerms:
        """Return the terms that keep the planes steady under a small change of the PNCC.

        The paper's Laplacian term: noise on the coefficients changes little, and halfway between
        two expressions the planes are the mean of theirs. Both weights are tuned.
        """
        canonical, source, target, noisy, before, after = pncc.unbind(1)
        middle, near, first, last = (
            self.portrait.residual_planes(canonical, source, one)
            for one in (target, noisy, before, after)
        )
        perturbation = (near - middle).abs().mean()
        laplacian = (middle - (first + last) / 2).abs().mean()
        by_noise, by_blink = (
            self.portrait.lambda_pertube_secc,
            self.portrait.lambda_pertube_blink_secc,
        )
        noise_weight = terms.tune_weight(
            by_noise, perturbation, PERTURBATION_TARGET, MOST_PERTURBATION
        )
        blink_weight = terms.tune_weight(by_blink, laplacian, LAPLACIAN_TARGET, MOST_LAPLACIAN)
        return {"perturbation": noise_weight * perturbation, "laplacian": blink_weight * laplacian}

    def usage_command(self, importable: Path) -> str:
        return f"thcli train real3d-torso PHOTOGRAPHS --start {importable} -o RUN"

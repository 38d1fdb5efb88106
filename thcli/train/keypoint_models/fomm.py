"""Training of the first-order model: configuration vox-256, or vox-adv-256 with --adversarial.

Source: first-order-model modules/model.py, train.py, config/vox-256.yaml and vox-adv-256.yaml at
c027484; Siarohin et al. 2019 sec. 3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import FommTrainOptions, TrainOptions
from thcli.engines.fomm.networks import KEYPOINTS, Generator, KeypointDetector, Keypoints
from thcli.engines.shared.networks import grid
from thcli.train.core import losses
from thcli.train.core.task import Hyperparameters, LossTerms, Phase, TrainingTask, fix_parameters
from thcli.train.data.batches import Batch
from thcli.train.keypoint_models.discriminators import SingleScaleDiscriminator
from thcli.train.keypoint_models.perceptual import SCALES, create_perceptual_loss
from thcli.train.keypoint_models.random_warps import RandomWarp

WIDTHS = (64, 128, 256, 512)
PERCEPTUAL, VALUE, JACOBIAN, GAN, MATCHING = 10.0, 10.0, 10.0, 1.0, (10.0, 10.0, 10.0, 10.0)
VISIBLE_LOGIT = 20.0  # occlusion logit of pixels that the source shows
HEATMAP_VARIANCE = 0.01  # of the discriminator's keypoint maps, in squared units of [-1, 1]


class FommTask(TrainingTask):
    """Training on a source and a driving frame of one clip."""

    name = "fomm"
    entry = "fomm-vox"
    exported = ("kp_detector", "generator")
    loads_any_width = True

    def __init__(
        self, options: TrainOptions, model_options: FommTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.hyperparameters = (
            Hyperparameters(150, 75, 36, 2e-4)
            if model_options.adversarial
            else Hyperparameters(100, 75, 40, 2e-4, (60, 90))
        )
        self.detector, self.generator = (
            KeypointDetector(width_divisor=options.narrow),
            Generator(width_divisor=options.narrow),
        )
        init_identity_jacobians(self.detector)
        self.model_options = model_options
        if not model_options.jacobians:
            fix_parameters(self.detector.jacobian.parameters())
        if not model_options.occlusion:
            fix_occlusion(self.generator)
        self.networks = {"kp_detector": self.detector, "generator": self.generator}
        self.phases = (Phase("generator", ("kp_detector", "generator")),)
        self.perceptual_loss = create_perceptual_loss(
            options.perceptual,
            on,
            offline=options.offline,
            scales=SCALES[: model_options.scales],
        )
        self.perceptual = self.perceptual_loss.name
        self.frozen_modules = (self.perceptual_loss,)
        self.discriminator: SingleScaleDiscriminator | None = None
        if model_options.adversarial:
            self.discriminator = SingleScaleDiscriminator(
                3 + KEYPOINTS, [width // options.narrow for width in WIDTHS]
            )
            self.networks["discriminator"] = self.discriminator
            self.phases += (Phase("discriminator", ("discriminator",)),)

    def reenact(self, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor, Keypoints]:
        """Generate the driving frame from the source.

        Returns:
            The generated frame, the source warped by the dense motion alone, and the driving
                keypoints.
        """
        of_source, of_driving = self.detector(source), self.detector(driving)
        encoded = self.generator.encode(source, of_source)
        field = self.generator.motion(encoded, of_driving)
        return (
            self.generator.synthesize(encoded, field),
            self.generator.deform(source, field),
            of_driving,
        )

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        driving = batch["driving"]
        if phase == "discriminator":
            made, heat = cache["made"], cache["heat"]
            _, real = self.discriminate(driving, heat)
            _, fake = self.discriminate(made, heat)
            return {"discriminator": GAN * losses.lsgan_discriminator(fake, real)}
        made, _, points = self.reenact(batch["sources"][:, 0], driving)
        terms = {"perceptual": PERCEPTUAL * self.perceptual_loss(made, driving)}
        warp = RandomWarp.random(len(driving), noise, driving.device)
        warped = self.detector(warp.warp_image(driving, aligned=self.generator.aligned))
        terms["equivariance"] = VALUE * losses.equivariance(points.value, warped.value, warp)
        if self.model_options.jacobians and self.model_options.jacobian_loss:
            terms["equivariance_jacobian"] = JACOBIAN * losses.equivariance_jacobian(
                points.jacobian, warped.jacobian, warped.value, warp
            )
        if self.discriminator is not None:
            heat = grid.gaussians(points.value.detach(), tuple(driving.shape[2:]), HEATMAP_VARIANCE)
            features, score = self.discriminate(made, heat)
            with torch.no_grad():
                wanted, _ = self.discriminate(driving, heat)
            terms["gan"] = GAN * losses.lsgan_generator(score)
            terms["feature_matching"] = losses.feature_matching(features, wanted, MATCHING)
            cache["made"], cache["heat"] = made.detach(), heat
        return terms

    def discriminate(self, image: Tensor, heat: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the discriminator's features and realism map of an image, given heatmaps."""
        assert self.discriminator is not None
        out: tuple[list[Tensor], Tensor] = self.discriminator(torch.cat([image, heat], 1))
        return out

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        source, driving = batch["sources"][:, 0], batch["driving"]
        made, deformed, _ = self.reenact(source, driving)
        return {"source": source, "driving": driving, "deformed": deformed, "result": made}


def fix_occlusion(generator: Generator) -> None:
    """Fix the occlusion map at 1: nothing is inpainted."""
    occlusion = generator.dense_motion_network.occlusion
    assert isinstance(occlusion, nn.Conv2d) and occlusion.bias is not None
    nn.init.zeros_(occlusion.weight)
    nn.init.constant_(occlusion.bias, VISIBLE_LOGIT)
    fix_parameters(occlusion.parameters())


def init_identity_jacobians(detector: KeypointDetector) -> None:
    """Initialise the local affine maps to the identity, as published."""
    maps = detector.jacobian
    assert isinstance(maps, nn.Conv2d) and maps.bias is not None
    nn.init.zeros_(maps.weight)
    with torch.no_grad():
        maps.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(len(maps.bias) // 4))

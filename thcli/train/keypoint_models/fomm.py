"""Training of the first-order model: configurations vox-256, and vox-adv-256 with --adversarial.

Source: first-order-model modules/model.py, train.py, config/vox-256.yaml and vox-adv-256.yaml at c027484; Siarohin et al. 2019 sec. 3.
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
from thcli.train.core.task import Batch, Phase, Published, Terms, TrainingTask
from thcli.train.keypoint_models.discriminators import OneScale
from thcli.train.keypoint_models.perceptual import perceptual
from thcli.train.keypoint_models.random_warps import Warp

WIDTHS = (64, 128, 256, 512)
PERCEPTUAL, VALUE, JACOBIAN, GAN, MATCHING = 10.0, 10.0, 10.0, 1.0, (10.0, 10.0, 10.0, 10.0)
HEAT = 0.01  # variance of the discriminator's keypoint maps


class Fomm(TrainingTask):
    """Source and driving frame of one clip: the driving frame is to be painted from the source and two sets of keypoints."""

    name = "fomm"
    entry = "fomm-vox"
    exported = ("kp_detector", "generator")

    def __init__(self, options: TrainOptions, own: FommTrainOptions, on: Listener) -> None:
        super().__init__(options, own, on)
        self.published = (
            Published(150, 75, 36, 2e-4)
            if own.adversarial
            else Published(100, 75, 40, 2e-4, (60, 90))
        )
        self.detector, self.generator = (
            KeypointDetector(narrow=options.narrow),
            Generator(narrow=options.narrow),
        )
        begin_with_identity(self.detector)
        self.networks = {"kp_detector": self.detector, "generator": self.generator}
        self.phases = (Phase("generator", ("kp_detector", "generator")),)
        self.compare = perceptual(options.perceptual, on, offline=options.offline)
        self.perceptual, self.helpers = self.compare.name, (self.compare,)
        self.critic: OneScale | None = None
        if own.adversarial:
            self.critic = OneScale(3 + KEYPOINTS, [width // options.narrow for width in WIDTHS])
            self.networks["discriminator"] = self.critic
            self.phases += (Phase("discriminator", ("discriminator",)),)

    def reenact(self, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor, Keypoints]:
        """The driving frame painted from the source, the source under the dense motion alone, and the driving keypoints."""
        of_source, of_driving = self.detector(source), self.detector(driving)
        encoded = self.generator.encode(source, of_source)
        field = self.generator.motion(encoded, of_driving)
        return (
            self.generator.paint(encoded, field),
            self.generator.deformed(source, field),
            of_driving,
        )

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        driving = batch["driving"]
        if phase == "discriminator":
            made, heat = kept["made"], kept["heat"]
            _, real = self.judged(driving, heat)
            _, fake = self.judged(made, heat)
            return {"discriminator": GAN * losses.lsgan_discriminator(fake, real)}
        made, _, points = self.reenact(batch["sources"][:, 0], driving)
        terms = {"perceptual": PERCEPTUAL * self.compare(made, driving)}
        warp = Warp.random(len(driving), noise, driving.device)
        warped = self.detector(warp.picture(driving, aligned=self.generator.aligned))
        terms["equivariance"] = VALUE * losses.equivariance(points.value, warped.value, warp)
        terms["equivariance_jacobian"] = JACOBIAN * losses.equivariance_jacobian(
            points.jacobian, warped.jacobian, warped.value, warp
        )
        if self.critic is not None:
            heat = grid.gaussians(points.value.detach(), tuple(driving.shape[2:]), HEAT)
            features, score = self.judged(made, heat)
            with torch.no_grad():
                wanted, _ = self.judged(driving, heat)
            terms["gan"] = GAN * losses.lsgan_generator(score)
            terms["feature_matching"] = losses.feature_matching(features, wanted, MATCHING)
            kept["made"], kept["heat"] = made.detach(), heat
        return terms

    def judged(self, picture: Tensor, heat: Tensor) -> tuple[list[Tensor], Tensor]:
        """The discriminator's features and verdict of a picture with the driving keypoints' heat."""
        assert self.critic is not None
        out: tuple[list[Tensor], Tensor] = self.critic(torch.cat([picture, heat], 1))
        return out

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        source, driving = batch["sources"][:, 0], batch["driving"]
        made, deformed, _ = self.reenact(source, driving)
        return {"source": source, "driving": driving, "deformed": deformed, "result": made}


def begin_with_identity(detector: KeypointDetector) -> None:
    """The local affine maps begin as the identity everywhere, as published."""
    maps = detector.jacobian
    assert isinstance(maps, nn.Conv2d) and maps.bias is not None
    nn.init.zeros_(maps.weight)
    with torch.no_grad():
        maps.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(len(maps.bias) // 4))

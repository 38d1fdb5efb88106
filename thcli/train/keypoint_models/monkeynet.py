"""Training of Monkey-Net, configuration vox.

Source: monkey-net train.py, modules/losses.py, config/vox.yaml at 0c8aa4e; Siarohin et al. 2019 (CVPR) sec. 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import TrainOptions
from thcli.engines.monkeynet.networks import (
    KEYPOINTS,
    Generator,
    KeypointDetector,
    Keypoints,
    heatmaps,
)
from thcli.train.core import losses
from thcli.train.core.task import Batch, Phase, Published, Terms, TrainingTask
from thcli.train.keypoint_models.discriminators import Discriminator

WIDTHS = (64, 128, 256, 256)
GAN, MATCHING = 1.0, (10.0, 10.0, 10.0, 10.0, 1.0)  # matching: the picture itself, then the blocks
BACKGROUND = 2.0  # how sure the mask begins of the background


class MonkeyNet(TrainingTask):
    """Source and driving frame of one clip; the pictures are compared by the discriminator's own features alone."""

    name = "monkeynet"
    entry = "monkeynet"
    exported = ("kp_detector", "generator")
    perceptual = "discriminator"

    def __init__(self, options: TrainOptions, own: None, on: Listener) -> None:
        super().__init__(options, own, on)
        self.published = Published(20, 1, 20, 2e-4)
        self.detector, self.generator = (
            KeypointDetector(narrow=options.narrow),
            Generator(narrow=options.narrow),
        )
        begin_with_background(self.generator)
        self.critic = Discriminator(
            3 + KEYPOINTS, [width // options.narrow for width in WIDTHS], pool_last=True
        )
        self.networks = {
            "kp_detector": self.detector,
            "generator": self.generator,
            "discriminator": self.critic,
        }
        self.phases = (
            Phase("generator", ("kp_detector", "generator")),
            Phase("discriminator", ("discriminator",)),
        )

    def reenact(self, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor, Keypoints]:
        """The driving frame painted from the source, the source under the dense motion alone, and the driving keypoints."""
        of_source, of_driving = self.detector(source), self.detector(driving)
        encoded = self.generator.encode(source, of_source)
        field = self.generator.motion(encoded, of_driving)
        made = self.generator.paint(self.generator.decode(encoded, field))
        return made, self.generator.warped(source, field), of_driving

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        driving = batch["driving"]
        if phase == "discriminator":
            _, real = self.judged(driving, kept["heat"])
            _, fake = self.judged(kept["made"], kept["heat"])
            return {"discriminator": GAN * losses.lsgan_discriminator(fake, real)}
        made, _, points = self.reenact(batch["sources"][:, 0], driving)
        heat = heatmaps(
            Keypoints(points.mean.detach(), points.var.detach()),
            (driving.shape[2], driving.shape[3]),
        )
        features, score = self.judged(made, heat)
        with torch.no_grad():
            wanted, _ = self.judged(driving, heat)
        kept["made"], kept["heat"] = made.detach(), heat
        return {
            "feature_matching": losses.feature_matching(
                [made, *features], [driving, *wanted], MATCHING
            ),
            "gan": GAN * losses.lsgan_generator(score),
        }

    def judged(self, picture: Tensor, heat: Tensor) -> tuple[list[Tensor], Tensor]:
        """The discriminator's features and verdict of a picture with the driving keypoints' heat."""
        out: tuple[list[Tensor], Tensor] = self.critic(torch.cat([picture, heat], 1))
        return out

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        source, driving = batch["sources"][:, 0], batch["driving"]
        made, deformed, _ = self.reenact(source, driving)
        return {"source": source, "driving": driving, "deformed": deformed, "result": made}

    def layout(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Kernels with the published time axis of 1."""
        plain = super().layout(states)
        return {
            key: value[:, :, None] if value.dim() == 4 else value for key, value in plain.items()
        }


def begin_with_background(generator: Generator) -> None:
    """The dense motion begins as: all is background, nothing is corrected, as published (bg_init)."""
    last = generator.dense_motion_module.hourglass.decoder.conv
    assert isinstance(last, nn.Conv2d | nn.Conv3d) and last.bias is not None
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    with torch.no_grad():
        last.bias[0] = BACKGROUND

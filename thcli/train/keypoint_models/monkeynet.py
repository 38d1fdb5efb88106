"""Training of Monkey-Net, configuration vox.

Source: monkey-net train.py, modules/losses.py, config/vox.yaml at 0c8aa4e; Siarohin et al. 2019
(CVPR) sec. 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import MonkeyNetTrainOptions, TrainOptions
from thcli.engines.monkeynet.networks import (
    KEYPOINTS,
    Generator,
    KeypointDetector,
    Keypoints,
    heatmaps,
)
from thcli.engines.shared.networks.layers import SameBlock
from thcli.train.core import losses
from thcli.train.core.task import (
    Hyperparameters,
    LossTerms,
    Phase,
    TrainingTask,
    fix_at_zero,
    fix_parameters,
    ignore_inputs,
)
from thcli.train.data.batches import Batch
from thcli.train.keypoint_models.discriminators import Discriminator

WIDTHS = (64, 128, 256, 256)
GAN, MATCHING = 1.0, (10.0, 10.0, 10.0, 10.0, 1.0)  # matching: the image itself, then the blocks
BACKGROUND = 2.0  # initial logit of the background mask
MASKS, RESIDUAL_FLOW = slice(None, -2), slice(-2, None)  # outputs of the dense motion
UNMOVED = 100.0  # logit of the background where no keypoint moves anything
EMBEDDED_IMAGE = slice(1, None)  # inputs of a region's group in the dense motion, heatmap first


class MonkeyNetTask(TrainingTask):
    """Training on two frames of one clip, compared by the discriminator's features."""

    name = "monkeynet"
    entry = "monkeynet"
    exported = ("kp_detector", "generator")
    loads_any_width = True
    perceptual = "discriminator"

    def __init__(
        self, options: TrainOptions, model_options: MonkeyNetTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.hyperparameters = Hyperparameters(20, 1, 20, 2e-4)
        self.detector, self.generator = (
            KeypointDetector(width_divisor=options.narrow),
            Generator(width_divisor=options.narrow),
        )
        init_background_mask(self.generator)
        leave_out(self.generator, model_options)
        self.discriminator = Discriminator(
            3 + KEYPOINTS, [width // options.narrow for width in WIDTHS], pool_last=True
        )
        self.networks = {
            "kp_detector": self.detector,
            "generator": self.generator,
            "discriminator": self.discriminator,
        }
        self.phases = (
            Phase("generator", ("kp_detector", "generator")),
            Phase("discriminator", ("discriminator",)),
        )

    def reenact(self, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor, Keypoints]:
        """Generate the driving frame from the source.

        Returns:
            The generated frame, the source warped by the dense motion alone, and the driving
                keypoints.
        """
        of_source, of_driving = self.detector(source), self.detector(driving)
        encoded = self.generator.encode(source, of_source)
        field = self.generator.motion(encoded, of_driving)
        made = self.generator.synthesize(self.generator.decode(encoded, field))
        return made, self.generator.warp(source, field), of_driving

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        driving = batch["driving"]
        if phase == "discriminator":
            _, real = self.discriminate(driving, cache["heat"])
            _, fake = self.discriminate(cache["made"], cache["heat"])
            return {"discriminator": GAN * losses.lsgan_discriminator(fake, real)}
        made, _, points = self.reenact(batch["sources"][:, 0], driving)
        heat = heatmaps(
            Keypoints(points.mean.detach(), points.var.detach()),
            (driving.shape[2], driving.shape[3]),
        )
        features, score = self.discriminate(made, heat)
        with torch.no_grad():
            wanted, _ = self.discriminate(driving, heat)
        cache["made"], cache["heat"] = made.detach(), heat
        return {
            "feature_matching": losses.feature_matching(
                [made, *features], [driving, *wanted], MATCHING
            ),
            "gan": GAN * losses.lsgan_generator(score),
        }

    def discriminate(self, image: Tensor, heat: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the discriminator's features and realism map of an image, given heatmaps."""
        out: tuple[list[Tensor], Tensor] = self.discriminator(torch.cat([image, heat], 1))
        return out

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        source, driving = batch["sources"][:, 0], batch["driving"]
        made, deformed, _ = self.reenact(source, driving)
        return {"source": source, "driving": driving, "deformed": deformed, "result": made}

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the published keys, kernels with a time axis of 1."""
        plain = super().export_tensors(states)
        return {
            key: value[:, :, None] if value.dim() == 4 else value for key, value in plain.items()
        }


def init_background_mask(generator: Generator) -> None:
    """Initialise the dense motion: all background, no residual flow, as published (bg_init)."""
    weight, bias = _motion_output(generator)
    nn.init.zeros_(weight)
    nn.init.zeros_(bias)
    with torch.no_grad():
        bias[0] = BACKGROUND


def leave_out(generator: Generator, model_options: MonkeyNetTrainOptions) -> None:
    """Fix what the options leave out of the dense motion, after `init_background_mask`."""
    weight, bias = _motion_output(generator)
    if not model_options.residual:
        fix_parameters([weight, bias], RESIDUAL_FLOW)
    if not model_options.masks:
        fix_at_zero([weight, bias], MASKS)
        with torch.no_grad():
            bias[0] = UNMOVED
    if not model_options.embedded_image:
        first = generator.dense_motion_module.group_blocks[0]
        assert isinstance(first, SameBlock)
        ignore_inputs(first.conv, EMBEDDED_IMAGE)


def _motion_output(generator: Generator) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the dense motion's last layer: masks, then the residual flow."""
    last = generator.dense_motion_module.hourglass.decoder.conv
    assert isinstance(last, nn.Conv2d | nn.Conv3d) and last.bias is not None
    return last.weight, last.bias

"""Training of face vid2vid, the unofficial configuration vox-256, with either generator.

Source: One-Shot_Free-View_Neural_Talking_Head_Synthesis modules/model.py, train.py,
config/vox-256.yaml at 9511d25; Wang et al. 2021 sec. A.2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from thcli.core.events import Listener
from thcli.core.options import FaceVid2VidTrainOptions, TrainOptions
from thcli.engines.facevid2vid.estimator import KEYPOINTS, HeadEstimator, HeadPose, KeypointDetector
from thcli.engines.facevid2vid.networks import OriginalGenerator, SpadeGenerator
from thcli.engines.shared.networks.layers import SameBlock
from thcli.engines.shared.networks.spade import SpadeBlock
from thcli.engines.shared.networks.volume import COMPRESSED
from thcli.train.core import losses
from thcli.train.core.task import (
    Hyperparameters,
    LossTerms,
    Phase,
    TrainingTask,
    fix_at_zero,
    ignore_inputs,
)
from thcli.train.data.batches import Batch
from thcli.train.keypoint_models.discriminators import SingleScaleDiscriminator
from thcli.train.keypoint_models.perceptual import create_perceptual_loss
from thcli.train.keypoint_models.random_warps import RandomWarp, full_precision

WIDTHS = (64, 128, 256, 512)
PERCEPTUAL, GAN, MATCHING = 10.0, 1.0, (10.0, 10.0, 10.0, 10.0)
EQUIVARIANCE, PRIOR, POSE, EXPRESSION = 10.0, 10.0, 20.0, 5.0
NEVER = -100.0  # logit of the masks of keypoints that are left out


class FaceVid2VidTask(TrainingTask):
    """Training of canonical keypoints, head pose, expression and generator.

    differs from the reference in the true head pose: it is the rotation of the tracked mesh, which
    `thcli prepare` stores with each clip. The reference uses angles of Hopenet, whose weights have
    no licence of their own. Items without a motion file leave the term out.
    """

    name = "facevid2vid"
    entry = "facevid2vid-new"
    exported = ("kp_detector", "he_estimator", "generator")
    loads_any_width = True

    def __init__(
        self, options: TrainOptions, model_options: FaceVid2VidTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.hyperparameters = Hyperparameters(300, 75, 32, 2e-4, (180,))
        self.detector, self.estimator = (
            KeypointDetector(width_divisor=options.narrow),
            HeadEstimator(width_divisor=options.narrow),
        )
        self.generator: OriginalGenerator | SpadeGenerator
        if model_options.generator == "spade":
            self.generator = SpadeGenerator(width_divisor=options.narrow)
            add_spectral_norm(self.generator)
            self.entry = "facevid2vid"  # the SPADE generator has its own row in weights.toml
        else:
            self.generator = OriginalGenerator(width_divisor=options.narrow)
        self.keypoints = model_options.keypoints
        if self.keypoints < KEYPOINTS:
            self.leave_out_keypoints()
        self.discriminator = SingleScaleDiscriminator(
            3, [width // options.narrow for width in WIDTHS], spectral=True
        )
        self.networks = {
            "kp_detector": self.detector,
            "he_estimator": self.estimator,
            "generator": self.generator,
            "discriminator": self.discriminator,
        }
        self.phases = (
            Phase("generator", self.exported),
            Phase("discriminator", ("discriminator",)),
        )
        self.perceptual_loss = create_perceptual_loss(
            options.perceptual, on, offline=options.offline
        )
        self.perceptual = self.perceptual_loss.name
        self.frozen_modules = (self.perceptual_loss,)

    def leave_out_keypoints(self) -> None:
        """Fix the last keypoints: they are not found, and they neither show nor move anything."""
        first, last = self.keypoints, slice(self.keypoints - KEYPOINTS, None)
        motion = self.generator.dense_motion_network
        for layer, rows in (
            (self.detector.kp, last),
            (self.estimator.fc_exp, slice(3 * first, None)),
            (motion.mask, last),
        ):
            fix_at_zero(layer.parameters(), rows)
        mask = motion.mask
        assert isinstance(mask, nn.Conv3d) and mask.bias is not None
        with torch.no_grad():
            mask.bias[last] = NEVER
        inputs = slice((1 + COMPRESSED) * (first - KEYPOINTS), None)  # of the last regions
        down = motion.hourglass.encoder.down_blocks[0]
        assert isinstance(down, SameBlock)
        for layer in (down.conv, motion.hourglass.decoder.conv):
            ignore_inputs(layer, inputs)

    def reenact(self, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor, Tensor, HeadPose]:
        """Generate the driving frame from the source.

        Returns:
            The generated frame; canonical and driving keypoints (B, 15, 3); the head pose and
                expression of the driving frame.
        """
        canonical = self.detector(source)
        head = self.estimator(driving)
        of_driving = transform_keypoints(canonical, head)
        encoded = self.generator.encode(
            source, transform_keypoints(canonical, self.estimator(source))
        )
        made: Tensor = self.generator(encoded, of_driving)
        return made, canonical, of_driving, head

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        driving = batch["driving"]
        if phase == "discriminator":
            _, real = self.discriminator(driving)
            _, fake = self.discriminator(cache["made"])
            return {"discriminator": GAN * losses.hinge_discriminator(fake, real)}
        made, canonical, points, head = self.reenact(batch["sources"][:, 0], driving)
        cache["made"] = made.detach()
        used = self.keypoints
        features, score = self.discriminator(made)
        with torch.no_grad():
            wanted, _ = self.discriminator(driving)
        warp = RandomWarp.random(len(driving), noise, driving.device)
        warped = transform_keypoints(
            canonical, self.estimator(warp.warp_image(driving, aligned=False))
        )
        return {
            "perceptual": PERCEPTUAL * self.perceptual_loss(made, driving),
            "gan": GAN * losses.hinge_generator(score),
            "feature_matching": losses.feature_matching(features, wanted, MATCHING),
            "equivariance": EQUIVARIANCE
            * losses.equivariance(points[:, :used, :2], warped[:, :used, :2], warp),
            "keypoint_prior": PRIOR * losses.keypoint_prior(canonical[:, :used]),
            "head_pose": POSE * losses.head_pose(head.angles(), batch["angles"], batch["known"]),
            "expression": EXPRESSION * losses.expression_prior(head.expression),
        }

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        source, driving = batch["sources"][:, 0], batch["driving"]
        return {"source": source, "driving": driving, "result": self.reenact(source, driving)[0]}


def rotation_matrix(angles: Tensor) -> Tensor:
    """Convert (B, 3) yaw, pitch, roll in degrees to (B, 3, 3) rotations, with gradients.

    As `engines.facevid2vid.pose.rotation`.
    """
    yaw, pitch, roll = (angles / 180 * 3.14).unbind(-1)
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, -1).view(-1, 3, 3)

    about_x = matrix(
        one, zero, zero, zero, pitch.cos(), -pitch.sin(), zero, pitch.sin(), pitch.cos()
    )
    about_y = matrix(yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos())
    about_z = matrix(roll.cos(), -roll.sin(), zero, roll.sin(), roll.cos(), zero, zero, zero, one)
    return about_x @ about_y @ about_z


def transform_keypoints(canonical: Tensor, head: HeadPose) -> Tensor:
    """Return R canonical + shift + expression: (B, 15, 3) -> (B, 15, 3)."""
    with full_precision(canonical):
        turned = canonical @ rotation_matrix(head.angles()).transpose(1, 2)
        return turned + head.shift[:, None] + head.expression.view(-1, KEYPOINTS, 3)


def add_spectral_norm(generator: SpadeGenerator) -> None:
    """Add spectral norm to the blocks' convolutions, as published.

    Their keys become weight_orig, weight_u and weight_v.
    """
    for block in generator.modules():
        if isinstance(block, SpadeBlock):
            for name in ("conv_0", "conv_1", "conv_s"):
                if isinstance(conv := getattr(block, name, None), nn.Conv2d):
                    spectral_norm(conv)

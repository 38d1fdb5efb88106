"""Training of face vid2vid, the unofficial configuration vox-256, with either generator.

Source: One-Shot_Free-View_Neural_Talking_Head_Synthesis modules/model.py, train.py, config/vox-256.yaml at 9511d25; Wang et al. 2021 sec. A.2.
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
from thcli.engines.shared.networks.spade import SpadeBlock
from thcli.train.core import losses
from thcli.train.core.task import Batch, Phase, Published, Terms, TrainingTask
from thcli.train.keypoint_models.discriminators import OneScale
from thcli.train.keypoint_models.perceptual import perceptual
from thcli.train.keypoint_models.random_warps import Warp, exactly

WIDTHS = (64, 128, 256, 512)
PERCEPTUAL, GAN, MATCHING = 10.0, 1.0, (10.0, 10.0, 10.0, 10.0)
EQUIVARIANCE, PRIOR, POSE, EXPRESSION = 10.0, 10.0, 20.0, 5.0


class FaceVid2Vid(TrainingTask):
    """Canonical keypoints of the source, moved by each frame's head pose and expression.

    differs from the reference in the truth of the head pose: the rotation of the tracked mesh, which `thcli prepare` keeps with each
    clip, instead of Hopenet's angles, whose weights have no terms of their own. Items without it leave the term out.
    """

    name = "facevid2vid"
    entry = "facevid2vid-new"
    exported = ("kp_detector", "he_estimator", "generator")

    def __init__(self, options: TrainOptions, own: FaceVid2VidTrainOptions, on: Listener) -> None:
        super().__init__(options, own, on)
        self.published = Published(300, 75, 32, 2e-4, (180,))
        self.detector, self.estimator = (
            KeypointDetector(narrow=options.narrow),
            HeadEstimator(narrow=options.narrow),
        )
        self.generator: OriginalGenerator | SpadeGenerator
        if own.generator == "spade":
            self.generator = SpadeGenerator(narrow=options.narrow)
            with_spectral_norm(self.generator)
            self.entry = "facevid2vid"  # the SPADE one is another row
        else:
            self.generator = OriginalGenerator(narrow=options.narrow)
        self.critic = OneScale(3, [width // options.narrow for width in WIDTHS], spectral=True)
        self.networks = {
            "kp_detector": self.detector,
            "he_estimator": self.estimator,
            "generator": self.generator,
            "discriminator": self.critic,
        }
        self.phases = (
            Phase("generator", self.exported),
            Phase("discriminator", ("discriminator",)),
        )
        self.compare = perceptual(options.perceptual, on, offline=options.offline)
        self.perceptual, self.helpers = self.compare.name, (self.compare,)

    def reenact(self, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor, Tensor, HeadPose]:
        """The driving frame painted from the source; canonical and driving keypoints (B, 15, 3); the driver's head."""
        canonical = self.detector(source)
        head = self.estimator(driving)
        of_driving = posed(canonical, head)
        encoded = self.generator.encode(source, posed(canonical, self.estimator(source)))
        made: Tensor = self.generator(encoded, of_driving)
        return made, canonical, of_driving, head

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        driving = batch["driving"]
        if phase == "discriminator":
            _, real = self.critic(driving)
            _, fake = self.critic(kept["made"])
            return {"discriminator": GAN * losses.hinge_discriminator(fake, real)}
        made, canonical, points, head = self.reenact(batch["sources"][:, 0], driving)
        kept["made"] = made.detach()
        features, score = self.critic(made)
        with torch.no_grad():
            wanted, _ = self.critic(driving)
        warp = Warp.random(len(driving), noise, driving.device)
        warped = posed(canonical, self.estimator(warp.picture(driving, aligned=False)))
        return {
            "perceptual": PERCEPTUAL * self.compare(made, driving),
            "gan": GAN * losses.hinge_generator(score),
            "feature_matching": losses.feature_matching(features, wanted, MATCHING),
            "equivariance": EQUIVARIANCE
            * losses.equivariance(points[..., :2], warped[..., :2], warp),
            "keypoint_prior": PRIOR * losses.keypoint_prior(canonical),
            "head_pose": POSE * losses.head_pose(head.angles(), batch["angles"], batch["known"]),
            "expression": EXPRESSION * losses.expression_size(head.expression),
        }

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        source, driving = batch["sources"][:, 0], batch["driving"]
        return {"source": source, "driving": driving, "result": self.reenact(source, driving)[0]}


def rotation(angles: Tensor) -> Tensor:
    """(B, 3) yaw, pitch, roll in degrees -> (B, 3, 3), as `engines.facevid2vid.pose.rotation`, with gradients."""
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


def posed(canonical: Tensor, head: HeadPose) -> Tensor:
    """R canonical + shift + expression: (B, 15, 3) -> (B, 15, 3)."""
    with exactly(canonical):
        turned = canonical @ rotation(head.angles()).transpose(1, 2)
        return turned + head.shift[:, None] + head.expression.view(-1, KEYPOINTS, 3)


def with_spectral_norm(generator: SpadeGenerator) -> None:
    """Spectral norm on the blocks' convolutions, as published: their keys become weight_orig, weight_u, weight_v."""
    for block in generator.modules():
        if isinstance(block, SpadeBlock):
            for name in ("conv_0", "conv_1", "conv_s"):
                if isinstance(conv := getattr(block, name, None), nn.Conv2d):
                    spectral_norm(conv)

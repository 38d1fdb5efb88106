"""Training of fadm-s: predict the true frame from a coarse frame, the source and noise.

Source: Zeng et al. 2023 (FADM), sec. 3.
differs from FADM: it predicts the frame as a change of the coarse one. The losses are L1 and
features of the frame instead of the noise. The true frame's colours are in the alignment loss only,
never in the condition, where they are missing at test time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import FadmTrainOptions, TrainOptions
from thcli.diffusion import process
from thcli.refiners.fadm import small
from thcli.refiners.fadm.agcn import ConditionImages
from thcli.refiners.fadm.alignment import MotionPrior, RefinerInput
from thcli.refiners.fadm.network import Diffusion
from thcli.refiners.fadm.refiner import Guidance, refine_once
from thcli.train.core.checkpoints import load_start
from thcli.train.core.fast_group_norm import replace_group_norms
from thcli.train.core.identity_features import TEACHER, IdentityFeatures
from thcli.train.core.task import (
    CosineTask,
    Hyperparameters,
    LossTerms,
    Phase,
    TrainingData,
    use_channels_last,
)
from thcli.train.data.batches import Batch
from thcli.train.fadm.data import CoarsePairs
from thcli.weights.tensors import load_tensors

L1_BETA = 0.02  # difference in [0, 1] below which the smooth L1 loss is quadratic
# Added to the mean error of a coarse frame, by which a pair's error is divided: frames that are
# nearly right must not get worse.
ERROR_FLOOR = 0.003
EDGES, FEATURES, COLOURS = 0.5, 0.05, 0.02  # weights: image gradients, features, colour alignment
FEATURE_ITEMS = 4  # items of a batch in the feature loss
CLASSIFIER = 0.1  # weight of the real-frame classifier
POSITIVE_WEIGHT = 0.4  # weight of a warped frame relative to a real one, which are fewer
LAST_SHARE = 0.6  # share of the items at the last step, the refiner's
MAX_RESIDUAL = 6.0  # pixels; larger residual flow is clamped in the fit of the motion prior
RIDGE = 0.18  # of the fit of the motion prior, per pair
RESIDUAL_FLOW = 0.02  # weight of the residual flow, per pixel of 192
NOISE_GAIN = 0.1  # initial scale of the first layer's weights for the noisy image


class FadmTask(CosineTask):
    """Training of fadm-s."""

    name = "fadm"
    entry = small.NAME
    exported = ("diffusion",)
    sizes = (small.SIDE, 96)
    warmup, final_rate = 60, 0.02

    def __init__(
        self, options: TrainOptions, model_options: FadmTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options
        self.hyperparameters = Hyperparameters(4, 1, 8, 1e-3)
        shape = replace(small.SHAPE, width=max(8, small.SHAPE.width // options.narrow))
        self.diffusion = Diffusion(shape)
        init_network(self.diffusion)
        if model_options.start:
            load_start(self.diffusion, model_options.start, "diffusion.")
        replace_group_norms(self.diffusion)
        use_channels_last(self.diffusion)
        self.networks = {"diffusion": self.diffusion}
        self.phases = (Phase("refine", ("diffusion",)),)
        self.schedule = self.diffusion.schedule
        self.teacher = IdentityFeatures()
        self.frozen_modules = (self.teacher,)
        self.perceptual = TEACHER

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        """Open the pairs; a new run first fits the motion prior to them."""
        pairs = CoarsePairs(folder, self.options, self.model_options, batch, on)
        if not self.model_options.start and not self.options.resume:
            fit_motion_prior(self.diffusion.denoise_fn.habit, pairs)
        return pairs

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        coarse, truth, inside = batch["coarse"], batch["truth"], batch["inside"]
        index = self.sample_timesteps(len(truth), noise)
        fresh = torch.randn(truth.shape, generator=noise).to(truth.device)
        x = process.diffuse(self.schedule, coarse, index, fresh)
        warped = 1 - batch["untouched"]
        encoded = self.diffusion.encode_frame(
            coarse, batch["source"], batch["source_flow"], known_warped=True
        )
        refiner_input = cast(RefinerInput, encoded.refiner_input)._replace(confidence=warped)
        encoded = encoded._replace(refiner_input=refiner_input)
        prediction = self.diffusion.denoise_fn.predict_output(
            x, index.to(truth.device), encoded, batch["attributes"]
        )
        output = prediction.image(refiner_input)
        coarse_error = masked_mean(smooth_l1(coarse - truth).mean(1, keepdim=True), inside)
        weight = inside / (ERROR_FLOOR + coarse_error)[:, None, None, None] / inside.mean()
        error = output - truth
        flow_error = F.smooth_l1_loss(
            prediction.coarse_flow, batch["residual_flow"], reduction="none"
        ).mean(1, keepdim=True)
        classifier_loss = F.binary_cross_entropy_with_logits(
            self.diffusion.denoise_fn.doubt(refiner_input),
            warped,
            pos_weight=truth.new_tensor(POSITIVE_WEIGHT),
        )
        return {
            "pixels": (smooth_l1(error) * weight).mean(),
            "edges": EDGES * gradient_loss(error, weight),
            "looks": FEATURES * self.feature_loss(output, truth, weight),
            "colours": COLOURS * self.colour_alignment(coarse, truth),
            "motion": RESIDUAL_FLOW * (flow_error * inside).mean(),
            "doubt": CLASSIFIER * classifier_loss,
        }

    def feature_loss(self, output: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted squared difference of the teacher's maps for some of the items."""
        part = slice(FEATURE_ITEMS)
        terms = []
        for a, b in zip(self.teacher(output[part]), self.teacher(truth[part]), strict=True):
            reduced = F.interpolate(weight[part], a.shape[2:], mode="area")
            terms.append((((a - b) ** 2).sum(1, keepdim=True) * reduced).mean())
        return torch.stack(terms).mean()

    def sample_timesteps(self, count: int, noise: torch.Generator) -> Tensor:
        """Draw (count,) time steps: mostly the last, 0, the rest uniformly."""
        uniform = (torch.rand(count, generator=noise) * len(self.schedule)).long()
        at_last = torch.rand(count, generator=noise) < LAST_SHARE
        return torch.where(at_last, torch.zeros_like(uniform), uniform)

    def colour_alignment(self, coarse: Tensor, truth: Tensor) -> Tensor:
        """Return the distance between the colour features of coarse and true frame (AGCN)."""
        patch, agcn = self.diffusion.shape.patch, self.diffusion.denoise_fn.condition_conv
        both = ConditionImages.of(F.avg_pool2d(coarse, patch), F.avg_pool2d(truth, patch))
        generated, driving = agcn.pre_conv_color(both.generated), agcn.pre_conv_color(both.driving)
        distance: Tensor = (generated - driving).abs().mean()
        return distance

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Refine the sample batch as the refiner does."""
        coarse = batch["coarse"]
        encoded = self.diffusion.encode_frame(
            coarse, batch["source"], batch["source_flow"], known_warped=True
        )
        refined = refine_once(self.diffusion, Guidance(coarse, encoded, batch["attributes"]))
        return {
            "source": batch["source"],
            "coarse": coarse,
            "refined": refined.clamp(0, 1),
            "truth": batch["truth"],
        }

    def write_importable(self, path: Path) -> Path:
        """Write the bundled file: the same with the networks in half precision."""
        tensors = load_tensors(path)
        return self.write_bundled(
            path, {k: v.half() if small.is_stored_as_half(k) else v for k, v in tensors.items()}
        )


class FlowPairs(Protocol):
    """A source of flows and attributes (`CoarsePairs.flows`)."""

    def flows(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]: ...


def init_network(network: Diffusion) -> None:
    """Initialise the network to return the coarse frame with a little of the source.

    The noisy image has a small influence at first.
    """
    unet, pixels = network.denoise_fn, 3 * network.shape.patch**2
    first, last = cast(nn.Conv2d, unet.downs[0]), cast(nn.Conv2d, unet.final_conv.block[3])
    with torch.no_grad():
        first.weight[:, 3 : 3 + pixels].mul_(NOISE_GAIN)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)


def fit_motion_prior(prior: MotionPrior, pairs: FlowPairs) -> None:
    """Set the linear map to the ridge regression of the residual flow on the source flow.

    The fit uses all pairs and their mirror images.
    """
    features = prior.map.in_features + 1
    squares = torch.zeros(features, features, dtype=torch.double)
    products = torch.zeros(features, prior.map.out_features, dtype=torch.double)
    count = 0
    for source_flow, residual_flow, attributes in pairs.flows():
        count += len(source_flow)
        regressors = prior.regressors(source_flow, attributes)
        inputs = F.pad(regressors, (0, 1), value=1.0).double()
        residual = residual_flow.clamp(-MAX_RESIDUAL, MAX_RESIDUAL)
        residual = residual / prior.unit_pixels(residual_flow)
        targets = F.adaptive_avg_pool2d(residual, prior.OUTPUT_GRID).flatten(1).double()
        squares += inputs.T @ inputs
        products += inputs.T @ targets
    solved = torch.linalg.solve(squares + count * RIDGE * torch.eye(features), products).T
    with torch.no_grad():
        prior.map.weight.copy_(solved[:, :-1])
        prior.map.bias.copy_(solved[:, -1])


def smooth_l1(difference: Tensor) -> Tensor:
    """Return the element-wise loss: quadratic below L1_BETA, absolute above.

    A purely absolute loss has its minimum at no change, because most pixels are right already.
    """
    return F.smooth_l1_loss(
        difference, torch.zeros_like(difference), reduction="none", beta=L1_BETA
    )


def gradient_loss(error: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted smooth L1 norm of the image gradient of an error, on three scales."""
    total = error.new_zeros(())
    for _ in range(3):
        dx, dy = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
        total = total + (smooth_l1(dx) * weight[..., 1:]).mean()
        total = total + (smooth_l1(dy) * weight[..., 1:, :]).mean()
        error, weight = F.avg_pool2d(error, 2), F.avg_pool2d(weight, 2)
    return total / 3


def masked_mean(values: Tensor, inside: Tensor) -> Tensor:
    """Return the means (B,) of values (B, 1, S, S) where `inside` is 1."""
    return (values * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)

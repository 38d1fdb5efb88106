"""FADM's diffusion network with the keys of its checkpoint (without `diffusion.`).

It holds the schedule's tables and the U-Net with the AGCN inside.
Source: Zeng et al. 2023 (CVPR workshops); the layout is that of zengbohan0217/FADM at 090f0ae
(facts, not code).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.errors import WeightsError
from thcli.diffusion.process import Prediction
from thcli.diffusion.schedule import Floats, Schedule, linear_schedule
from thcli.refiners.fadm.agcn import Agcn, ConditionFeatures, ConditionImages
from thcli.refiners.fadm.alignment import (
    MOTION_CHANNELS,
    OUTPUT_CHANNELS,
    PRIOR_CHANNELS,
    RESIDUAL_WEIGHT,
    MotionPrior,
    RealFrameClassifier,
    RefinerInput,
    RefinerOutput,
)
from thcli.refiners.fadm.blocks import ConvBlock, Downsample, StepEmbedding, UNetLayer, Upsample


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """Size of the diffusion network.

    width: channels of the U-Net's first level.  multipliers: of each level's channels.  blocks:
    residual blocks per level (one more on the way up).  attention: downsampling factors of the
    levels with attention (the middle always has it).  inner: channels of the AGCN.  attributes:
    number of expression and pose attributes.  steps: of the schedule.

    sees_images: the U-Net also sees coarse frame and source, which the published one does not. Its
    output then is a `RefinerOutput`, the frame (x0) instead of the noise.  patch: side in pixels
    of the patches that the U-Net processes.
    """

    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 4, 8, 8)
    blocks: int = 3
    attention: tuple[int, ...] = (16,)
    inner: int = 32
    attributes: int = 56
    steps: int = 100
    sees_images: bool = False
    patch: int = 1

    @property
    def patch_channels(self) -> int:
        """Channels of one image, unshuffled to patches."""
        return 3 * self.patch**2

    @property
    def input_channels(self) -> int:
        """Channels of the U-Net's input: the condition image, then the noisy frame and features."""
        if not self.sees_images:
            return 3 + self.patch_channels
        return 3 + 3 * self.patch_channels + MOTION_CHANNELS + PRIOR_CHANNELS

    @property
    def output_channels(self) -> int:
        """Channels of the U-Net's output."""
        return self.patch_channels + (OUTPUT_CHANNELS if self.sees_images else 0)


OFFICIAL = NetworkShape()


class UNet(nn.Module):
    """U-Net that predicts the noise in a frame (or the frame: `NetworkShape.sees_images`).

    At every step the condition image is concatenated to the noisy frame.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        width, self.patch = shape.width, shape.patch
        self.condition_conv = Agcn(width, shape.attributes, shape.inner)
        self.time_mlp = nn.Sequential(
            StepEmbedding(width),
            nn.Linear(width, 4 * width),
            nn.SiLU(),
            nn.Linear(4 * width, width),
        )
        self.downs = nn.ModuleList([nn.Conv2d(shape.input_channels, width, 3, padding=1)])
        self.ups = nn.ModuleList()
        skips, channels = [width], width
        for level, multiplier in enumerate(shape.multipliers):
            attention, level_width = 1 << level in shape.attention, width * multiplier
            if level:
                self.downs.append(Downsample(channels))
                skips.append(channels)
            for _ in range(shape.blocks):
                self.downs.append(UNetLayer(channels, level_width, width, attention=attention))
                channels = level_width
                skips.append(channels)
        self.mid = nn.ModuleList(
            [UNetLayer(channels, channels, width, attention=i == 0) for i in range(2)]
        )
        for level, multiplier in reversed(list(enumerate(shape.multipliers))):
            attention, level_width = 1 << level in shape.attention, width * multiplier
            for _ in range(shape.blocks + 1):
                inputs = channels + skips.pop()
                self.ups.append(UNetLayer(inputs, level_width, width, attention=attention))
                channels = level_width
            if level:
                self.ups.append(Upsample(channels))
        self.final_conv = ConvBlock(channels, shape.output_channels)
        if shape.sees_images:
            self.habit = MotionPrior(shape.attributes)  # checkpoint key
            self.doubt = RealFrameClassifier()  # checkpoint key

    def forward(
        self, x: Tensor, timesteps: Tensor, features: ConditionFeatures, attributes: Tensor
    ) -> Tensor:
        """Predict the noise, or x0 when the network sees the images, (B, 3, n, n).

        Args:
            x: (B, 3, n, n) noisy frames.
            timesteps: (B,).
            features: of the frames.
            attributes: (B, A), source minus driving.
        """
        if features.refiner_input is not None:
            output = self.predict_output(x, timesteps, features, attributes, RESIDUAL_WEIGHT)
            return output.inference_image(features.refiner_input)
        return F.pixel_shuffle(self._patches(x, timesteps, features, attributes, []), self.patch)

    def predict_output(
        self,
        x: Tensor,
        timesteps: Tensor,
        features: ConditionFeatures,
        attributes: Tensor,
        residual_weight: float = 1.0,
    ) -> RefinerOutput:
        """Predict the corrections of frames whose images the network sees.

        Arguments as for `forward`; residual_weight as for `RefinerOutput.of`.
        """
        refiner_input = features.refiner_input
        assert refiner_input is not None
        size = refiner_input.features.shape[-2:]
        coarse_prior = self.habit(refiner_input.motion, attributes).float()
        prior_flow = F.interpolate(coarse_prior, size, mode="bilinear", align_corners=False)
        inputs = [refiner_input.features, prior_flow / self.patch]
        out = self._patches(x, timesteps, features, attributes, inputs).float()
        return RefinerOutput.of(
            out, prior_flow, refiner_input.confidence, self.patch, residual_weight
        )

    def _patches(
        self,
        x: Tensor,
        timesteps: Tensor,
        features: ConditionFeatures,
        attributes: Tensor,
        inputs: Sequence[Tensor],
    ) -> Tensor:
        """Compute the last layer's output (B, C, n / p, n / p), in patches of p x p.

        inputs: more channels of the first layer, (B, C, n / p, n / p) each.
        """
        time = self.time_mlp(timesteps)
        condition = self.condition_conv(features, attributes, time)
        x = torch.cat([condition, F.pixel_unshuffle(x, self.patch), *inputs], 1)
        x = x.contiguous(memory_format=torch.channels_last)
        skips: list[Tensor] = []
        for part in self.downs:
            x = part(x, time) if isinstance(part, UNetLayer) else part(x)
            skips.append(x)
        for part in self.mid:
            x = part(x, time)
        for part in self.ups:
            if isinstance(part, UNetLayer):
                x = part(torch.cat([x, skips.pop()], 1), time)
            else:
                x = part(x)
        out: Tensor = self.final_conv(x)
        return out


class Diffusion(nn.Module):
    """The whole checkpoint.

    Its tables are loaded, but only the betas are used: the others follow from them.
    """

    betas: Tensor

    def __init__(self, shape: NetworkShape = OFFICIAL) -> None:
        super().__init__()
        self.shape = shape
        for name, table in tables(linear_schedule(shape.steps)).items():
            self.register_buffer(name, torch.from_numpy(table).float())
        self.denoise_fn = UNet(shape)

    @property
    def schedule(self) -> Schedule:
        """Noise schedule of the checkpoint's betas."""
        betas = self.betas.double().cpu().numpy()
        return Schedule(betas, np.arange(len(betas), dtype=np.int64))

    @property
    def predicts(self) -> Prediction:
        """Quantity that the network predicts."""
        return "x0" if self.shape.sees_images else "eps"

    def encode_conditions(self, images: ConditionImages) -> ConditionFeatures:
        """Compute the features of frames, once for all steps."""
        return self.denoise_fn.condition_conv.encode_conditions(images)

    def encode_frame(
        self, coarse: Tensor, source: Tensor, motion: Tensor, *, known_warped: bool = False
    ) -> ConditionFeatures:
        """Compute the features of coarse frames and, where the network sees it, of the source.

        Args:
            coarse: (B, 3, n, n) in 0..1, n divisible by 8 patches.
            source: (B, 3, n, n) in 0..1.
            motion: (B, 2, n, n) optical flow in pixels, see `RefinerInput`.
            known_warped: the frames are known to be warped ones; else the network's classifier
                sets the confidence.
        """
        patch = self.shape.patch
        small = F.avg_pool2d(coarse, patch) if patch > 1 else coarse
        features = self.encode_conditions(ConditionImages.of(small))
        if not self.shape.sees_images:
            return features
        refiner_input = RefinerInput.of(coarse, source, motion, patch)
        if not known_warped:
            confidence = torch.sigmoid(self.denoise_fn.doubt(refiner_input))
            refiner_input = refiner_input._replace(confidence=confidence)
        return features._replace(refiner_input=refiner_input)

    def forward(
        self, x: Tensor, timesteps: Tensor, features: ConditionFeatures, attributes: Tensor
    ) -> Tensor:
        """Run the U-Net; see `UNet.forward`."""
        out: Tensor = self.denoise_fn(x, timesteps, features, attributes)
        return out


def tables(schedule: Schedule) -> dict[str, Floats]:
    """Compute the checkpoint's thirteen tables by name."""
    s = schedule
    return {
        "betas": s.betas,
        "alphas_cumprod": s.alpha_bar,
        "alphas_cumprod_prev": s.alpha_bar_prev,
        "sqrt_alphas_cumprod": np.sqrt(s.alpha_bar),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - s.alpha_bar),
        "log_one_minus_alphas_cumprod": np.log(1 - s.alpha_bar),
        "sqrt_recip_alphas_cumprod": s.x0_from_x,
        "sqrt_recipm1_alphas_cumprod": s.x0_from_noise,
        "posterior_variance": s.posterior_variance,
        "posterior_log_variance_clipped": np.log(np.maximum(s.posterior_variance, 1e-20)),
        "posterior_mean_coef1": s.mean_from_x0,
        "posterior_mean_coef2": s.mean_from_x,
        "ddim_c1": np.sqrt(
            (1 - s.alpha_bar / s.alpha_bar_prev) * (1 - s.alpha_bar_prev) / (1 - s.alpha_bar)
        ),
    }


def shape_of(tensors: Mapping[str, Tensor], where: str) -> NetworkShape:
    """Infer the network's shape from its tensors.

    Args:
        tensors: state dict without the prefix `diffusion.`.
        where: name of the weights, for messages.

    Raises:
        WeightsError: the tensors are another model's.
    """
    motion = tensors.get("denoise_fn.condition_conv.motion_cond.condition.1.weight")
    first, betas = tensors.get("denoise_fn.downs.0.weight"), tensors.get("betas")
    last = tensors.get("denoise_fn.final_conv.block.3.bias")
    levels: list[list[int]] = [[]]
    attention: list[int] = []
    for number in count(1):
        stem = f"denoise_fn.downs.{number}."
        bias = tensors.get(f"{stem}res_block.block1.block.3.bias")
        if bias is not None:
            levels[-1].append(len(bias))
            attention += [1 << (len(levels) - 1)] if f"{stem}attn.out.bias" in tensors else []
        elif f"{stem}conv.weight" in tensors:
            levels.append([])
        else:
            break
    if motion is None or first is None or last is None or betas is None or not all(levels):
        raise WeightsError(
            f"{where} holds no diffusion network of FADM.", "Download or import it again."
        )
    width, half, outputs = len(first), len(motion), len(last)
    sees_images = first.shape[1] - 3 != outputs
    patch_channels = outputs - OUTPUT_CHANNELS if sees_images else outputs
    return NetworkShape(
        width=width,
        multipliers=tuple(level[0] // width for level in levels),
        blocks=len(levels[0]),
        attention=tuple(sorted(set(attention))),
        inner=2 * half,
        attributes=motion.shape[1] - half,
        steps=len(betas),
        sees_images=sees_images,
        patch=math.isqrt(patch_channels // 3),
    )

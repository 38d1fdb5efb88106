"""FADM's diffusion network under the keys of its checkpoint (without `diffusion.`): schedule tables, U-Net, AGCN inside.

Source: Zeng et al. 2023 (CVPR workshops); the layout is that of zengbohan0217/FADM at 090f0ae (facts, not code).
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
from thcli.diffusion.schedule import Floats, Schedule, linear
from thcli.refiners.fadm.agcn import Agcn, Conditions, Read
from thcli.refiners.fadm.alignment import (
    EXTRA,
    MADE,
    TRUST,
    USUAL,
    MotionPrior,
    RealFrameClassifier,
    RefinerInput,
    RefinerOutput,
)
from thcli.refiners.fadm.blocks import Block, Down, Layer, Sinusoid, Up


@dataclass(frozen=True, slots=True)
class Shape:
    """width: of the U-Net's first level, times `times` for each.  blocks: residual blocks a level (one more going up).

    attention: the factors of downsampling at whose levels there is attention (the middle always has it).  inner: channels of the AGCN.
    attributes: numbers of expression and pose.  steps: of the schedule.

    beside: whether the U-Net also sees coarse frame and source, which the published one does not. It then gives what the coarse frame becomes
    (x0) instead of the noise, as `beside.RefinerOutput`.  patch: so many pixels a side are one place of the U-Net.
    """

    width: int = 64
    times: tuple[int, ...] = (1, 2, 4, 4, 8, 8)
    blocks: int = 3
    attention: tuple[int, ...] = (16,)
    inner: int = 32
    attributes: int = 56
    steps: int = 100
    beside: bool = False
    patch: int = 1


OFFICIAL = Shape()


class UNet(nn.Module):
    """Gives the noise in a frame (or the frame: `Shape.beside`); it sees the condition image beside the noisy frame at every step."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, self.patch, pixels = shape.width, shape.patch, 3 * shape.patch**2
        self.condition_conv = Agcn(width, shape.attributes, shape.inner)
        self.time_mlp = nn.Sequential(
            Sinusoid(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
        )
        self.downs, self.ups = (
            nn.ModuleList(
                [
                    nn.Conv2d(
                        3 + (3 * pixels + EXTRA + USUAL if shape.beside else pixels),
                        width,
                        3,
                        padding=1,
                    )
                ]
            ),
            nn.ModuleList(),
        )
        skips, channels = [width], width
        for level, times in enumerate(shape.times):
            if level:
                self.downs.append(Down(channels))
                skips.append(channels)
            for _ in range(shape.blocks):
                self.downs.append(
                    Layer(channels, width * times, width, attention=1 << level in shape.attention)
                )
                channels = width * times
                skips.append(channels)
        self.mid = nn.ModuleList(
            [Layer(channels, channels, width, attention=i == 0) for i in range(2)]
        )
        for level, times in reversed(list(enumerate(shape.times))):
            for _ in range(shape.blocks + 1):
                inside = channels + skips.pop()
                self.ups.append(
                    Layer(inside, width * times, width, attention=1 << level in shape.attention)
                )
                channels = width * times
            if level:
                self.ups.append(Up(channels))
        self.final_conv = Block(channels, pixels + (MADE if shape.beside else 0))
        if shape.beside:
            self.habit, self.doubt = MotionPrior(shape.attributes), RealFrameClassifier()

    def forward(self, x: Tensor, timesteps: Tensor, read: Read, attributes: Tensor) -> Tensor:
        """(B, 3, n, n) noise of x (B, 3, n, n) at timesteps (B,), or with pictures beside x0. attributes: (B, A) source minus driving."""
        if read.beside is not None:
            return self.parts(x, timesteps, read, attributes, TRUST).careful(read.beside)
        return F.pixel_shuffle(self._raw(x, timesteps, read, attributes, []), self.patch)

    def parts(
        self, x: Tensor, timesteps: Tensor, read: Read, attributes: Tensor, trust: float = 1.0
    ) -> RefinerOutput:
        """What it makes of the pictures beside, which must be there; arguments as for `forward`, and `RefinerOutput.of`."""
        beside = read.beside
        assert beside is not None
        size = beside.seen.shape[-2:]
        usual = F.interpolate(
            self.habit(beside.motion, attributes).float(),
            size,
            mode="bilinear",
            align_corners=False,
        )
        out = self._raw(x, timesteps, read, attributes, [beside.seen, usual / self.patch]).float()
        return RefinerOutput.of(out, usual, beside.gain, self.patch, trust)

    def _raw(
        self, x: Tensor, timesteps: Tensor, read: Read, attributes: Tensor, beside: Sequence[Tensor]
    ) -> Tensor:
        """(B, C, n / p, n / p), what the last layer gives in patches of p x p."""
        time = self.time_mlp(timesteps)
        condition = self.condition_conv(read, attributes, time)
        x = torch.cat([condition, F.pixel_unshuffle(x, self.patch), *beside], 1).contiguous(
            memory_format=torch.channels_last
        )
        kept: list[Tensor] = []
        for part in self.downs:
            x = part(x, time) if isinstance(part, Layer) else part(x)
            kept.append(x)
        for part in self.mid:
            x = part(x, time)
        for part in self.ups:
            x = part(torch.cat([x, kept.pop()], 1), time) if isinstance(part, Layer) else part(x)
        out: Tensor = self.final_conv(x)
        return out


class Diffusion(nn.Module):
    """The whole checkpoint. The tables stand in it, but only its betas are read: the others follow."""

    betas: Tensor

    def __init__(self, shape: Shape = OFFICIAL) -> None:
        super().__init__()
        self.shape = shape
        for name, table in tables(linear(shape.steps)).items():
            self.register_buffer(name, torch.from_numpy(table).float())
        self.denoise_fn = UNet(shape)

    @property
    def schedule(self) -> Schedule:
        betas = self.betas.double().cpu().numpy()
        return Schedule(betas, np.arange(len(betas), dtype=np.int64))

    @property
    def predicts(self) -> Prediction:
        """What its output is."""
        return "x0" if self.shape.beside else "eps"

    def read(self, pictures: Conditions) -> Read:
        """What a frame's pictures give once, for every step."""
        return self.denoise_fn.condition_conv.read(pictures)

    def look(self, coarse: Tensor, source: Tensor, motion: Tensor, *, sure: bool = False) -> Read:
        """The same of a coarse frame (B, 3, n, n), n divisible by 8 patches, of the source (B, 3, n, n) and of the way between (see `RefinerInput`), where the network sees them.

        sure: that the frames are warped ones; else the network says how far it believes that.
        """
        patch = self.shape.patch
        found = self.read(Conditions.of(F.avg_pool2d(coarse, patch) if patch > 1 else coarse))
        if not self.shape.beside:
            return found
        beside = RefinerInput.of(coarse, source, motion, patch)
        return found._replace(
            beside=beside
            if sure
            else beside._replace(gain=torch.sigmoid(self.denoise_fn.doubt(beside)))
        )

    def forward(self, x: Tensor, timesteps: Tensor, read: Read, attributes: Tensor) -> Tensor:
        """See `UNet`."""
        out: Tensor = self.denoise_fn(x, timesteps, read, attributes)
        return out


def tables(schedule: Schedule) -> dict[str, Floats]:
    """The checkpoint's thirteen, by name."""
    s = schedule
    return {
        "betas": s.betas,
        "alphas_cumprod": s.abar,
        "alphas_cumprod_prev": s.abar_before,
        "sqrt_alphas_cumprod": np.sqrt(s.abar),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - s.abar),
        "log_one_minus_alphas_cumprod": np.log(1 - s.abar),
        "sqrt_recip_alphas_cumprod": s.x0_from_x,
        "sqrt_recipm1_alphas_cumprod": s.x0_from_noise,
        "posterior_variance": s.posterior_variance,
        "posterior_log_variance_clipped": np.log(np.maximum(s.posterior_variance, 1e-20)),
        "posterior_mean_coef1": s.mean_from_x0,
        "posterior_mean_coef2": s.mean_from_x,
        "ddim_c1": np.sqrt((1 - s.abar / s.abar_before) * (1 - s.abar_before) / (1 - s.abar)),
    }


def shape_of(tensors: Mapping[str, Tensor], where: str) -> Shape:
    """How large the network of these tensors is (narrower ones have the same layout). Raises WeightsError when they are another's."""
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
            f"{where} holds no diffusion network of FADM.", "Fetch or import it again."
        )
    width, half, outputs = len(first), len(motion), len(last)
    beside = first.shape[1] - 3 != outputs
    pixels = outputs - MADE if beside else outputs
    times = tuple(level[0] // width for level in levels)
    return Shape(
        width,
        times,
        len(levels[0]),
        tuple(sorted(set(attention))),
        2 * half,
        motion.shape[1] - half,
        len(betas),
        beside,
        math.isqrt(pixels // 3),
    )

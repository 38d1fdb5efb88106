"""Training of Diffused Heads: dh-s on talking clips.

Source: Stypulkowski et al. 2024, sec. 3, and MStypulkowski/diffused-heads, branch `train` (facts).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import TrainOptions
from thcli.diffusion import process
from thcli.diffusion.samplers import Denoiser, sample_dpmpp
from thcli.evaluate.datasets.test_clip import RATE
from thcli.motion import sliders
from thcli.motion.file import MotionWriter
from thcli.train.core.synthetic import SMOKE
from thcli.train.core.task import Batch, Data, Phase, Published, Terms, TrainingTask, rising_cosine
from thcli.train.data.dataset import MOTION
from thcli.train.diffused_heads.data import TalkingClips
from thcli.voices.diffused_heads import small
from thcli.voices.diffused_heads.network import DiffusedHeads
from thcli.weights.tensors import load_tensors

LIPS = 2.0  # weight of the error at the lips (the paper has 0.2 for its larger pictures)
AROUND_LIPS = 4  # pixels
CALM = 0.3  # mean square of a difference below which items count alike
STEPS = 12  # of the sample pictures
NOISY = 8  # most steps of training are noisy ones: there the code alone says what the lips do (1: all steps alike, as published)
WARM = 100  # updates in which the rate rises
LAST = 0.05  # of the rate, at the end


class DiffusedHeadsTask(TrainingTask):
    """Paints a frame of a clip from another one, the two before it and its code; what the sound says of the code is another voice's matter."""

    name = "diffused-heads"
    entry = "dh-s"
    exported = ("unet",)
    sizes = (small.SHAPE.size, 48)

    def __init__(self, options: TrainOptions, own: Any, on: Listener) -> None:
        super().__init__(options, own, on)
        self.published = Published(100, 1, 16, 4e-4)
        shape = replace(
            small.SHAPE, size=options.size, width=max(32, small.SHAPE.width // options.narrow)
        )
        self.unet = DiffusedHeads(shape)
        self.networks = {"unet": self.unet}
        self.phases = (Phase("paint", ("unet",)),)
        self.schedule = small.full_schedule()

    @classmethod
    def trial_data(cls, folder: Path, options: TrainOptions) -> None:
        """Two clips, and motion files that say something of them."""
        super().trial_data(folder, options)
        for clip in sorted(folder.glob("*.mp4")):
            pts = np.arange(SMOKE.frames, dtype=np.int64)
            moving = sliders.motion(
                sliders.Script(jaw=pts / len(pts)),
                pts,
                Fraction(1, RATE),
                (options.size, options.size),
            )
            with MotionWriter(clip.with_name(clip.stem + MOTION), {"source": clip.name}) as writer:
                writer.append(moving)

    def data(self, folder: Path, batch: int, on: Listener) -> Data:
        return TalkingClips(folder, self.options, batch, small.SHAPE.around, on)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        clean = small.differing(batch["target"], batch["identity"])
        late = torch.rand(len(clean), generator=noise) ** (1 / NOISY)
        index = (
            (late * len(self.schedule)).long().clamp(max=len(self.schedule) - 1).to(clean.device)
        )
        fresh = torch.randn(clean.shape, generator=noise).to(clean.device)
        noised = process.diffuse(self.schedule, clean, index, fresh)
        wanted = process.target(self.schedule, clean, index, fresh, small.PREDICTS)
        error = (self.paint(noised, index, batch).float() - wanted).square().mean(1)
        error = (
            error / (CALM + clean.square().mean((1, 2, 3)))[:, None, None]
        )  # a head that turns must not outweigh the lips
        return {"simple": error.mean(), "lips": LIPS * at_lips(error, batch["lips"])}

    def paint(self, noised: Tensor, timesteps: Tensor, batch: Batch) -> Tensor:
        """What the network says of noised differences."""
        identity = batch["identity"]
        out: Tensor = self.unet(
            noised, timesteps, identity, small.differing(batch["motion"], identity), batch["codes"]
        )
        return out

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        """Sampled from the truth's code, from the true frames before; the same noise every time."""
        identity, target = batch["identity"], batch["target"]
        denoiser = Denoiser(
            lambda x, t: self.paint(x, t, batch), small.few_steps(STEPS), small.PREDICTS, clip=False
        )
        start = torch.randn(target.shape, generator=torch.Generator().manual_seed(0)).to(
            target.device
        )
        made = small.painted(sample_dpmpp(denoiser, start), identity)
        return {
            name: (value + 1) / 2
            for name, value in (("identity", identity), ("truth", target), ("painted", made))
        }

    def publish(self, path: Path) -> Path:
        """The file that is bundled: the same in half precision."""
        return self.named_entry(
            path, {key: value.half() for key, value in load_tensors(path).items()}
        )

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr, betas=(0.9, 0.99), weight_decay=0.01)

    def rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Rises at first, then falls along a cosine."""
        return rising_cosine(lr, step, steps, WARM, LAST)


def at_lips(error: Tensor, boxes: Tensor, margin: int = AROUND_LIPS) -> Tensor:
    """The mean of (B, S, S) over each item's box of the lips, widened by some pixels; then over the items."""
    side = error.shape[-1]
    along = torch.arange(side, device=error.device)
    low, high = (
        (boxes[:, :2].floor() - margin)[..., None],
        (boxes[:, 2:].ceil() + margin)[..., None],
    )
    inside = ((along >= low) & (along <= high)).to(error.dtype)  # (B, 2, S): x and y
    mask = inside[:, 1, :, None] * inside[:, 0, None, :]
    return ((error * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)).mean()

"""Training of dh-s, the small Diffused Heads, on talking clips.

Source: Stypulkowski et al. 2024, sec. 3, and MStypulkowski/diffused-heads, branch `train` (facts).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thcli.core.events import Listener
from thcli.core.options import TrainOptions
from thcli.diffusion import process
from thcli.diffusion.samplers import Denoiser, sample_dpmpp
from thcli.evaluate.datasets.sample_clip import RATE
from thcli.motion import sliders
from thcli.motion.file.writer import MotionWriter
from thcli.train.core.synthetic import SMOKE
from thcli.train.core.task import CosineTask, Hyperparameters, LossTerms, Phase, TrainingData
from thcli.train.data.batches import Batch
from thcli.train.data.dataset import MOTION
from thcli.train.diffused_heads.data import TalkingFaceBatches
from thcli.voices.diffused_heads import small
from thcli.voices.diffused_heads.network import DiffusedHeads
from thcli.weights.tensors import load_tensors

LIPS = 2.0  # weight of the error at the lips (the paper has 0.2 for its larger images)
LIP_MARGIN = 4  # pixels
# Added to the mean square of an item's difference, by which its error is divided: a head that
# turns must not outweigh the lips.
DIFFERENCE_FLOOR = 0.3
STEPS = 12  # sampling steps of the sample sheets
# Exponent of the time step distribution; 1 is uniform, as published. Noisy steps are more frequent,
# because only the code determines the lips there.
NOISY_EXPONENT = 8


class DiffusedHeadsTask(CosineTask):
    """Training to generate a frame from an identity frame, two previous frames and its code.

    Another voice maps the sound to codes.
    """

    name = "diffused-heads"
    entry = "dh-s"
    exported = ("unet",)
    sizes = (small.CONFIG.size, 48)
    warmup, final_rate = 100, 0.05

    def __init__(self, options: TrainOptions, model_options: Any, on: Listener) -> None:
        super().__init__(options, model_options, on)
        self.hyperparameters = Hyperparameters(100, 1, 16, 4e-4)
        config = replace(
            small.CONFIG,
            size=options.size,
            base_channels=max(32, small.CONFIG.base_channels // options.narrow),
        )
        self.unet = DiffusedHeads(config)
        self.networks = {"unet": self.unet}
        self.phases = (Phase("paint", ("unet",)),)
        self.schedule = small.training_schedule()

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write two clips and motion files with a moving jaw."""
        super().write_synthetic_data(folder, options)
        for clip in sorted(folder.glob("*.mp4")):
            pts = np.arange(SMOKE.frames, dtype=np.int64)
            motion = sliders.motion_from_sliders(
                sliders.SliderCurves(jaw=pts / len(pts)),
                pts,
                Fraction(1, RATE),
                (options.size, options.size),
            )
            with MotionWriter(clip.with_name(clip.stem + MOTION), {"source": clip.name}) as writer:
                writer.append(motion)

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        return TalkingFaceBatches(folder, self.options, batch, small.CONFIG.audio_context, on)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        clean = small.to_difference(batch["target"], batch["identity"])
        time = torch.rand(len(clean), generator=noise) ** (1 / NOISY_EXPONENT)
        index = (time * len(self.schedule)).long().clamp(max=len(self.schedule) - 1)
        index = index.to(clean.device)
        fresh = torch.randn(clean.shape, generator=noise).to(clean.device)
        noised = process.diffuse(self.schedule, clean, index, fresh)
        target = process.training_target(self.schedule, clean, index, fresh, small.PREDICTS)
        error = (self.predict(noised, index, batch).float() - target).square().mean(1)
        error = error / (DIFFERENCE_FLOOR + clean.square().mean((1, 2, 3)))[:, None, None]
        return {"simple": error.mean(), "lips": LIPS * mean_at_lips(error, batch["lips"])}

    def predict(self, noised: Tensor, timesteps: Tensor, batch: Batch) -> Tensor:
        """Return the network's prediction for noised differences."""
        identity = batch["identity"]
        motion = small.to_difference(batch["motion"], identity)
        out: Tensor = self.unet(noised, timesteps, identity, motion, batch["codes"])
        return out

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Sample from the true codes and true previous frames, with the same noise every time."""
        identity, target = batch["identity"], batch["target"]
        denoiser = Denoiser(
            lambda x, t: self.predict(x, t, batch),
            small.sampling_schedule(STEPS),
            small.PREDICTS,
            clamp=False,
        )
        start = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
        difference = sample_dpmpp(denoiser, start.to(target.device))
        generated = small.from_difference(difference, identity)
        rows = {"identity": identity, "truth": target, "generated": generated}
        return {name: (value + 1) / 2 for name, value in rows.items()}

    def write_importable(self, path: Path) -> Path:
        """Write the bundled file: the same in half precision."""
        tensors = {key: value.half() for key, value in load_tensors(path).items()}
        return self.write_bundled(path, tensors)


def mean_at_lips(error: Tensor, boxes: Tensor, margin: int = LIP_MARGIN) -> Tensor:
    """Return the mean of (B, S, S) over each item's lip box plus a margin, averaged over the items.

    Args:
        error: (B, S, S).
        boxes: (B, 4) x0, y0, x1, y1 in pixels.
        margin: Pixels.
    """
    side = error.shape[-1]
    along = torch.arange(side, device=error.device)
    low = (boxes[:, :2].floor() - margin)[..., None]
    high = (boxes[:, 2:].ceil() + margin)[..., None]
    inside = ((along >= low) & (along <= high)).to(error.dtype)  # (B, 2, S): x and y
    mask = inside[:, 1, :, None] * inside[:, 0, None, :]
    return ((error * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)).mean()

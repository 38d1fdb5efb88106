"""Training of Diffused Heads as published, with the frozen speech encoder and true previous frames.

The network predicts noise and its variance.
Source: Stypulkowski et al. 2024, sec. 3.3; MStypulkowski/diffused-heads, branch `train`: losses and
numbers (facts). L_simple, L_vlb with weight 1e-4, L_ls at the lips with weight 0.2; Adam 5e-5;
batches of 10.
differs from the paper in the alignment of the faces: FFHQ's crop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import DiffusedHeadsTrainOptions, TrainOptions
from thcli.diffusion import process
from thcli.diffusion.likelihood import variational_bound
from thcli.diffusion.samplers import Denoiser, sample_ddim
from thcli.faces.crops import align
from thcli.train.core.synthetic import write_tones
from thcli.train.core.task import (
    Hyperparameters,
    LossTerms,
    Phase,
    TrainingData,
    TrainingTask,
    ignore_inputs,
)
from thcli.train.data.batches import Batch
from thcli.train.diffused_heads.data import CropMethod, TalkingFaceBatches
from thcli.train.diffused_heads.train import DiffusedHeadsTask, mean_at_lips
from thcli.voices.diffused_heads.autoregressive import published_schedule, to_luma
from thcli.voices.diffused_heads.network import GREY, OFFICIAL, DiffusedHeads
from thcli.voices.diffused_heads.published import load_speech_encoder
from thcli.voices.diffused_heads.speech_encoder import SpeechEncoder

LIPS, BOUND = 0.2, 1e-4  # weights of the loss terms
LIP_MARGIN = 5  # pixels
STEPS = 20  # sampling steps of the sample sheets


class PublishedDiffusedHeadsTask(TrainingTask):
    """Training of the paper's network, for the voices diffused-heads and diffused-heads-lrw."""

    name = "diffused-heads-published"
    entry = "diffused-heads-lrw"
    exported = ("unet",)
    sizes = (OFFICIAL.size, 64)

    def __init__(
        self, options: TrainOptions, model_options: DiffusedHeadsTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.hyperparameters = Hyperparameters(3000, 1, 10, 5e-5)
        shape = replace(
            GREY if model_options.grey else OFFICIAL,
            size=options.size,
            base_channels=max(32, OFFICIAL.base_channels // options.narrow),
        )
        self.unet = DiffusedHeads(shape)
        if not model_options.motion_frames:
            ignore_motion(self.unet)
        self.networks = {"unet": self.unet}
        self.lip_loss = model_options.lip_loss
        self.phases = (Phase("paint", ("unet",)),)
        self.schedule = published_schedule(1000)
        self.encoder = (
            SpeechEncoder().eval()
            if options.smoke
            else load_speech_encoder(offline=options.offline)
        )

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write two clips with motion files, and a tone beside each."""
        DiffusedHeadsTask.write_synthetic_data(folder, options)
        write_tones(folder)

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        method = CropMethod(align.ffhq, self.encoder.encode_speech, "-heard")
        return TalkingFaceBatches(folder, self.options, batch, OFFICIAL.audio_context, on, method)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        clean = batch["target"]
        index = torch.randint(len(self.schedule), (len(clean),), generator=noise).to(clean.device)
        fresh = torch.randn(clean.shape, generator=noise).to(clean.device)
        noised = process.diffuse(self.schedule, clean, index, fresh)
        eps, share = self.predict(noised, index, batch).float().chunk(2, 1)
        error = (eps - fresh).square()
        bound = variational_bound(self.schedule, clean, noised, index, eps, share).mean()
        terms = {"simple": error.mean(), "vlb": BOUND * bound}
        if self.lip_loss:
            terms["lips"] = LIPS * mean_at_lips(error.mean(1), batch["lips"], LIP_MARGIN)
        return terms

    def predict(self, noised: Tensor, timesteps: Tensor, batch: Batch) -> Tensor:
        """Return the network's output at x_t."""
        motion = batch["motion"]
        if self.unet.config.motion_channels == 1:
            motion = torch.cat(
                [to_luma(frame) for frame in motion.chunk(self.unet.config.motion_frames, 1)], 1
            )
        out: Tensor = self.unet(noised, timesteps, batch["identity"], motion, batch["heard"])
        return out

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Sample from true previous frames, with the same noise every time."""
        target = batch["target"]
        schedule = published_schedule(STEPS)
        denoiser = Denoiser(lambda x, t: self.predict(x, t, batch), schedule)
        start = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
        generated = sample_ddim(denoiser, start.to(target.device)).clamp(-1, 1)
        rows = {"identity": batch["identity"], "truth": target, "generated": generated}
        return {name: (value + 1) / 2 for name, value in rows.items()}

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr)

    def learning_rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Return the learning rate, multiplied by 0.8 every 166 epochs."""
        return float(lr * 0.8 ** (step // (166 * epoch_steps)))

    def export_tensors(self, states: Any) -> dict[str, Tensor]:
        """Return the tensors under the names of the authors' training code."""
        return {f"state_dict.unet.{key}": value for key, value in states["unet"].items()}


def ignore_motion(unet: DiffusedHeads) -> None:
    """Keep the weights of the motion frames at 0; a voice may give any."""
    shape, first = unet.config, next(unet.input_blocks[0].children())
    ignore_inputs(first, slice(3, 3 + shape.motion_frames * shape.motion_channels))

"""Training of Diffused Heads as published: noise and its variance are predicted, from the true frames before and the frozen speech encoder.

Source: Stypulkowski et al. 2024, sec. 3.3; MStypulkowski/diffused-heads, branch `train`: losses and numbers (facts). L_simple, L_vlb
with weight 1e-4, L_ls at the lips with weight 0.2; Adam 5e-5; batches of 10. Its faces are aligned by another program; ours are FFHQ's crop.
"""

from __future__ import annotations

import wave
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import DiffusedHeadsTrainOptions, TrainOptions
from thcli.diffusion import process
from thcli.diffusion.likelihood import bound
from thcli.diffusion.samplers import Denoiser, sample_ddim
from thcli.faces.crops import align
from thcli.train.core.task import Batch, Data, Phase, Published, Terms, TrainingTask
from thcli.train.diffused_heads.data import TalkingClips, Way
from thcli.train.diffused_heads.train import DiffusedHeadsTask, at_lips
from thcli.voices.diffused_heads.autoregressive import greyed, published_schedule
from thcli.voices.diffused_heads.network import GREY, OFFICIAL, DiffusedHeads
from thcli.voices.diffused_heads.published import speech_encoder
from thcli.voices.diffused_heads.speech_encoder import RATE, SpeechEncoder

LIPS, BOUND = 0.2, 1e-4
AROUND_LIPS = 5  # pixels
STEPS = 20  # of the sample pictures


class PublishedTask(TrainingTask):
    """The whole network of the paper; what it exports is what the voices diffused-heads and diffused-heads-lrw load."""

    name = "diffused-heads-published"
    entry = "diffused-heads-lrw"
    exported = ("unet",)
    sizes = (OFFICIAL.size, 64)

    def __init__(self, options: TrainOptions, own: DiffusedHeadsTrainOptions, on: Listener) -> None:
        super().__init__(options, own, on)
        self.published = Published(3000, 1, 10, 5e-5)
        shape = replace(
            GREY if own.grey else OFFICIAL,
            size=options.size,
            width=max(32, OFFICIAL.width // options.narrow),
        )
        self.unet = DiffusedHeads(shape)
        self.networks = {"unet": self.unet}
        self.phases = (Phase("paint", ("unet",)),)
        self.schedule = published_schedule(1000)
        self.encoder = (
            SpeechEncoder().eval() if options.smoke else speech_encoder(offline=options.offline)
        )

    @classmethod
    def trial_data(cls, folder: Path, options: TrainOptions) -> None:
        """Two clips, and a tone beside each."""
        DiffusedHeadsTask.trial_data(folder, options)
        tone = (8000 * np.sin(np.arange(RATE) / 9)).astype("<i2").tobytes()
        for clip in sorted(folder.glob("*.mp4")):
            with wave.open(str(clip.with_suffix(".wav")), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE)
                file.writeframes(tone)

    def data(self, folder: Path, batch: int, on: Listener) -> Data:
        way = Way(align.ffhq, self.encoder.rows, "-heard")
        return TalkingClips(folder, self.options, batch, OFFICIAL.around, on, way)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        clean = batch["target"]
        index = torch.randint(len(self.schedule), (len(clean),), generator=noise).to(clean.device)
        fresh = torch.randn(clean.shape, generator=noise).to(clean.device)
        noised = process.diffuse(self.schedule, clean, index, fresh)
        eps, share = self.paint(noised, index, batch).float().chunk(2, 1)
        error = (eps - fresh).square()
        return {
            "simple": error.mean(),
            "vlb": BOUND * bound(self.schedule, clean, noised, index, eps, share).mean(),
            "lips": LIPS * at_lips(error.mean(1), batch["lips"], AROUND_LIPS),
        }

    def paint(self, noised: Tensor, timesteps: Tensor, batch: Batch) -> Tensor:
        """The network's output at x_t."""
        motion = batch["motion"]
        if self.unet.shape.motion == 1:
            motion = torch.cat(
                [greyed(frame) for frame in motion.chunk(self.unet.shape.frames, 1)], 1
            )
        out: Tensor = self.unet(noised, timesteps, batch["identity"], motion, batch["heard"])
        return out

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        """Sampled from the true frames before; the same noise every time."""
        target = batch["target"]
        schedule = published_schedule(STEPS)
        denoiser = Denoiser(lambda x, t: self.paint(x, t, batch), schedule)
        start = torch.randn(target.shape, generator=torch.Generator().manual_seed(0)).to(
            target.device
        )
        made = sample_ddim(denoiser, start).clamp(-1, 1)
        return {
            name: (value + 1) / 2
            for name, value in (
                ("identity", batch["identity"]),
                ("truth", target),
                ("painted", made),
            )
        }

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr)

    def rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """0.8 of it after every 166 epochs."""
        return float(lr * 0.8 ** (step // (166 * epoch_steps)))

    def layout(self, states: Any) -> dict[str, Tensor]:
        """As the authors' training program keeps it."""
        return {f"state_dict.unet.{key}": value for key, value in states["unet"].items()}

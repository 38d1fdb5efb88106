"""Training of Real3D-Portrait's audio-to-motion network: a VAE with a flow as its prior.

Source: Ye et al. 2024 (Real3D-Portrait), sec. 3.4; Real3DPortrait egs/os_avatar/audio2motion_vae
and audio2motion_task (facts): errors of expressions (0.5) and of the mesh (0.5), divergence from
the prior (0.02, rising and staying in turns of 2,000 updates), Laplacian over time (1), size of the
expressions (0.1); Adam 5e-4, gradients of norm 1, 1,000 updates of warm-up, a tenth every 250,000,
400,000 updates of 20,000 rows of sound.
differs from the reference: no expert of synchrony, which is trained before; its weight is 0.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.errors import UsageError
from thcli.core.events import Listener
from thcli.core.options import A2mPublishedTrainOptions, TrainOptions
from thcli.faces.landmarks.topology import EYES, LIPS_INNER, LIPS_OUTER
from thcli.faces.model3d.bfm.model import UNMATCHED_POINTS
from thcli.train.a2m.expressions import SpokenClips, write_synthetic_measurements
from thcli.train.a2m.train import plot_openings
from thcli.train.core.published_archive import write_archive
from thcli.train.core.task import Hyperparameters, LossTerms, Phase, TrainingTask
from thcli.train.data.batches import Batch
from thcli.voices.real3d.networks import LATENT, AudioToMotion, CheckpointFlags, TrainingOutput
from thcli.voices.real3d.voice import CHECKPOINT, CONFIG, PREFIX
from thcli.weights.tensors import load_tensors

EXPRESSIONS, MESH, LAPLACIAN, SIZE = 0.5, 0.5, 1.0, 0.1  # weights of the terms
KL, RISE = 0.02, 2000  # weight of the divergence; updates that it rises, and then stays
UPDATES, WARMUP, TENTH, LEAST = 400_000, 1000, 250_000, 1e-6
NORM = 1.0  # of the gradients
UPPER_LIDS = (161, 160, 159, 158, 157, 388, 387, 386, 385, 384)
EYE_WEIGHT, LID_WEIGHT, LIP_WEIGHT = 3.0, 20.0, 5.0  # of points of the mesh
SMOKE_INPUTS = 16  # columns of a row of sound


class PublishedA2mTask(TrainingTask):
    """Training of the paper's network, for the voice real3d."""

    name = "a2m-published"
    entry = "real3d"
    exported = ("model",)
    sizes = (200, 64)  # rows of sound of an item, 50 per second
    perceptual = "motion"

    def __init__(
        self, options: TrainOptions, model_options: A2mPublishedTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        if options.narrow > 1 and not options.smoke:
            raise UsageError("a2m-published has one width.", "Leave out --narrow.")
        self.model_options = model_options
        self.hyperparameters = Hyperparameters(1, 1, 100, 5e-4, updates=UPDATES)
        self.flags = CheckpointFlags(inputs=SMOKE_INPUTS) if options.smoke else CheckpointFlags()
        self.model = AudioToMotion(self.flags)
        self.networks = {"model": self.model}
        self.phases = (Phase("speak", ("model",)),)
        self._points = mesh_weights(lips=model_options.lip_loss)
        self._basis = torch.zeros(self.flags.outputs, len(self._points))

    @classmethod
    def smoke_options(cls, options: TrainOptions) -> TrainOptions:
        return replace(options, size=min(cls.sizes))

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        write_synthetic_measurements(folder, SMOKE_INPUTS)

    def load_data(self, folder: Path, batch: int, on: Listener) -> SpokenClips:
        data = SpokenClips(folder, self.options, self.model_options, batch, on)
        self._basis = torch.from_numpy(data.basis)
        return data

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        target, weight = batch["expression"], batch["weight"]
        steps = target.shape[1] // 4
        fresh = torch.randn(len(target), LATENT, steps, generator=noise).to(target.device)
        out = self.encode(batch, fresh)
        predicted = out.prediction.float()
        error = predicted - target
        count = weight.sum().clamp(min=1)

        def mean(values: Tensor) -> Tensor:
            return (values.square().mean(-1) * weight).sum() / count

        moved = error @ self._basis.to(error) * self._points.to(error).sqrt()
        terms = {
            "expression": EXPRESSIONS * mean(error),
            "mesh": MESH * mean(moved),
            "size": SIZE * mean(predicted),
            "kl": KL * annealing(int(batch["step"][0])) * out.kl.float(),
        }
        if self.model_options.laplacian:
            terms["laplacian"] = LAPLACIAN * mean(laplacian(predicted))
        return terms

    def encode(self, batch: Batch, noise: Tensor) -> TrainingOutput:
        """Run the VAE on a batch; noise: (B, 16, steps) of the posterior."""
        condition = self.model.condition(
            batch["hubert"], batch["pitch"], batch["blink"], batch["mouth"]
        )
        mask = batch["weight"][:, None]
        out: TrainingOutput = self.model.vae(batch["expression"].mT, mask, condition, noise)
        return out

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Plot the largest movement: the true one, and the likeliest one for the sound."""
        steps = batch["expression"].shape[1] // 4
        noise = batch["expression"].new_zeros(len(batch["mouth"]), LATENT, steps)
        drawn = self.model(batch["hubert"], batch["pitch"], noise, batch["mouth"])
        row = int(batch["expression"].square().mean((0, 1)).argmax())
        return {
            "truth": plot_openings(batch["expression"][..., row] + 2),
            "likeliest": plot_openings(drawn[..., row] + 2),
        }

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        """Create Adam, before each of whose steps the gradients' norm is limited."""
        trained = list(parameters)
        adam = torch.optim.Adam(trained, lr, betas=(0.9, 0.999))

        def limit(*_: object) -> None:
            nn.utils.clip_grad_norm_(trained, NORM)

        adam.register_step_pre_hook(limit)
        return adam

    def learning_rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Return the rate after a linear warm-up: a tenth after every 250,000 updates."""
        if step <= WARMUP:
            return max(lr * step / WARMUP, 1e-7)
        return max(lr * float(0.1 ** (step / TENTH)), LEAST)

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the tensors under the names of the published checkpoint."""
        return {f"{PREFIX}{key}": value for key, value in states["model"].items()}

    def write_importable(self, path: Path) -> Path:
        """Write a zip file with the published members: a configuration and a checkpoint."""
        config = CONFIG, config_text(self.flags)
        target = path.with_name(f"{self.entry}.zip")
        return write_archive(target, config, CHECKPOINT, load_tensors(path, prefix=PREFIX))


def config_text(flags: CheckpointFlags) -> str:
    """Return the lines of config.yaml that the voice reads."""
    values = {
        "use_pitch": flags.pitch,
        "use_flow": flags.flow,
        "use_mouth_amp_embed": flags.mouth,
        "use_eye_amp_embed": flags.eyes,
    }
    lines = [f"{key}: {str(value).lower()}" for key, value in values.items()]
    return "\n".join(["audio_type: hubert", "motion_type: exp", *lines, ""])


def mesh_weights(*, lips: bool) -> Tensor:
    """Return the weight of each coordinate of the mesh, (1404,); lips: they count five times."""
    points = torch.ones(468)
    points[[*EYES[0], *EYES[1]]] = EYE_WEIGHT
    points[list(UPPER_LIDS)] = LID_WEIGHT
    if lips:
        points[[*LIPS_INNER, *LIPS_OUTER]] = LIP_WEIGHT
    points[list(UNMATCHED_POINTS)] = 0
    return points.repeat_interleave(3)


def laplacian(rows: Tensor) -> Tensor:
    """Return half of the second differences over time of rows (B, T, C), zeros around them."""
    padded = F.pad(rows, (0, 0, 1, 1))
    return padded[:, 1:-1] - (padded[:, :-2] + padded[:, 2:]) / 2


def annealing(step: int) -> float:
    """Return the share of the divergence's weight: it rises to 1, stays, and begins again."""
    return min(step % (2 * RISE) / RISE, 1.0)

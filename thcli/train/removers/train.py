"""Training of removers-s: from an unrolled face with glasses, beard or make-up to the bare one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.events import Listener, Warned
from thcli.core.options import RemoverTrainOptions, RunOptions, TrainOptions
from thcli.editors.atlas import tone
from thcli.editors.atlas.removers.loading import split_tensors
from thcli.editors.atlas.removers.network import Removal, RemoverNet, create_networks
from thcli.editors.atlas.removers.prior import Priors
from thcli.evaluate.datasets.labelled_images import parse_digits, read_labelled_folder
from thcli.train.atlas.train import write_synthetic_faces
from thcli.train.core.checkpoints import load_start
from thcli.train.core.task import (
    Hyperparameters,
    LossTerms,
    Phase,
    TrainingTask,
    use_channels_last,
    warmup_then_cosine,
)
from thcli.train.data.batches import Batch
from thcli.train.data.face_tools import FaceTools
from thcli.train.removers.batches import RemoverBatches
from thcli.train.removers.pairs import select_faces, store_pairs
from thcli.weights.tensors import load_tensors

EDGES, MASK = 0.5, 0.15  # weights of the losses of the gradients and of the mask, beside 1
CHANGED = 5.0  # added to the weight 1 of a sample that changes
CHANGE_RANGE = (0.02, 0.08)  # soft logarithms: below the first unchanged, above the second changed
EVEN = 0.01  # soft logarithms, added to a face's mean change that divides its weight
WARMUP, FINAL_RATE = 0.03, 0.02  # fractions of the updates and of the learning rate
WEIGHT_DECAY = 0.01  # of AdamW
SYNTHETIC = 16  # faces of a smoke run


class RemoverTask(TrainingTask):
    """Training of one of the removers on painted faces; both are exported, as float16."""

    name = "removers"
    entry = "removers-s"
    exported = ("worn", "makeup")
    sizes = (512,)
    hyperparameters = Hyperparameters(16, 1, 8, 1.5e-3)
    perceptual = "gradients"

    def __init__(
        self, options: TrainOptions, model_options: RemoverTrainOptions | None, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options or RemoverTrainOptions()
        networks = create_networks(options.narrow)
        for network in networks.values():
            use_channels_last(network)
        self.networks = {name: network for name, network in networks.items()}
        trained = self.model_options.network
        self.net = networks[trained]
        self.phases = (Phase(trained, (trained,)),)
        self.priors: Priors = {}
        if start := self.model_options.start:
            _, self.priors = split_tensors(load_tensors(Path(start)), start)
            for name, network in networks.items():
                load_start(network, start, f"{name}.")
            self.net.reopen()
        else:
            for name, network in networks.items():
                if name != trained:
                    network.let_through()
                    on(Warned(f"Without --start the network {name} is untrained: it does nothing."))

    @classmethod
    def smoke_options(cls, options: TrainOptions) -> TrainOptions:
        """Return the options of --smoke."""
        return replace(options, narrow=4, size=512, batch=2, samples=min(options.samples, 2))

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write one photographed head in several poses, half of it labelled as bare."""
        write_synthetic_faces(folder, SYNTHETIC, bare=True)

    def load_data(self, folder: Path, batch: int, on: Listener) -> RemoverBatches:
        """Paint the faces, or open those that an earlier run painted.

        Raises:
            MediaError: The folder has no labels or no usable face.
            WeightsError: Weights of the tracker or of the parser are missing.
            OutputError: The storage cannot be written.
        """
        options = self.model_options
        images = read_labelled_folder(folder).of_persons(parse_digits(options.persons))
        images, kinds = select_faces(images, options.pictures)
        run = RunOptions(threads=self.options.threads, offline=self.options.offline)
        storage = Path(options.pairs) if options.pairs else folder / "removers"
        pairs = store_pairs(images, kinds, storage, lambda: FaceTools.load(run, True), on)
        data = RemoverBatches(
            pairs,
            batch,
            self.options.seed,
            flip=self.options.flip,
            network=options.network,
            priors=self.priors or None,
        )
        self.priors = data.priors
        return data

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        """Create AdamW."""
        return torch.optim.AdamW(parameters, lr, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY)

    def learning_rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Return a rate that rises linearly, then falls along a cosine."""
        return warmup_then_cosine(lr, step, steps, WARMUP, FINAL_RATE)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        found = run_network(self.net, batch)
        removed = found.apply(batch["worn"])
        even = self.model_options.network == "makeup"
        return removal_losses(batch["worn"], removed, found.logit, batch, even=even)

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        found = run_network(self.net, batch)
        return {
            "worn": to_colours(batch["worn"]),
            "prior": to_colours(batch["prior"]),
            "removed": to_colours(found.apply(batch["worn"])),
            "truth": to_colours(batch["bare"]),
            "mask": found.mask.expand(-1, 3, -1, -1),
        }

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the networks' keys and those of the priors."""
        return {**super().export_tensors(states), **prior_tensors(self.priors)}

    def write_importable(self, path: Path) -> Path:
        """Write the bundled file: the networks in half precision."""
        tensors = load_tensors(path)
        return self.write_bundled(path, {key: value.half() for key, value in tensors.items()})


def prior_tensors(priors: Priors) -> dict[str, Tensor]:
    """Return the tensors of the priors in the exported file."""
    return {
        f"prior.{part}.{name}": torch.from_numpy(getattr(prior, name))
        for part, prior in priors.items()
        for name in ("mean", "basis", "spread")
    }


def run_network(net: RemoverNet, batch: Batch) -> Removal:
    """Return the network's result for a batch."""
    names = ("worn", "prior", "weight", "condition", "place")
    found: Removal = net(*(batch[name] for name in names))
    return found


def to_colours(texture: Tensor) -> Tensor:
    """Convert soft logarithms to colours in [0, 1]."""
    return (texture.exp() - tone.FLOOR).clamp(0, 1)


def removal_losses(
    worn: Tensor, output: Tensor, logit: Tensor, batch: Batch, *, even: bool = False
) -> LossTerms:
    """Return L1 of the texture, of its gradients, and cross-entropy of the mask.

    Samples that change weigh more.

    Args:
        worn: (B, 3, H, W) input.
        output: (B, 3, H, W) result, soft logarithms.
        logit: (B, 1, H, W) of the mask.
        batch: with bare (B, 3, H, W) and weight (B, 1, H, W).
        even: whether faint changes weigh as much as strong ones.
    """
    bare, seen = batch["bare"], batch["weight"]
    low, high = CHANGE_RANGE
    changed = (((worn - bare).abs().amax(1, keepdim=True) - low) / (high - low)).clamp(0, 1)
    weight = seen * (1 + CHANGED * changed)
    if even:
        weight = weight / (EVEN + (worn - bare).abs().mean((1, 2, 3), keepdim=True))
    weight = weight / weight.mean().clamp(min=1e-6)
    error = output - bare
    pixels = (error.abs() * weight).mean()
    across, down = error.diff(dim=3).abs(), error.diff(dim=2).abs()
    edges = (across * weight[..., 1:]).mean() + (down * weight[:, :, 1:]).mean()
    mask = F.binary_cross_entropy_with_logits(logit, changed, seen + 0.05)
    return {"pixels": pixels, "edges": EDGES * edges, "mask": MASK * mask}

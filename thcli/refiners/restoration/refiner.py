"""Networks that restore degraded faces, as refiners.

They see one frame alone, crops as in FFHQ. What they change is limited by `--fidelity`, so that the
face stays the same person's: the frame's light stays, and features that it does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.errors import NotFiniteError
from thcli.core.options import RefineOptions, RunOptions, Template
from thcli.core.types import Array32, Image
from thcli.engines.mesh.sampling import resize
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.engine import to_unit_image
from thcli.refiners.restoration.codeformer import CodeFormer
from thcli.refiners.restoration.gfpgan import Gfpgan
from thcli.refiners.restoration.restoreformer import (
    RestoreFormer,
    RestoreFormerShape,
    flat_keys,
)
from thcli.refiners.shared import bands
from thcli.refiners.shared.sourceless import Sourceless
from thcli.refiners.shared.structure import shared_structure
from thcli.refiners.shared.torch_refiner import TorchRefiner
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

SIDE = 512
FIDELITY = 0.5  # as in CodeFormer's own program
# Beginnings of the tensors' names: of inference, of GFPGAN's programs, of RestoreFormer's training.
_PREFIXES = ("params_ema.", "params.", "state_dict.vqvae.")


@dataclass(frozen=True, slots=True)
class Restorer:
    """A network and its call.

    build: the empty network.
    names: the network's names for tensors of a checkpoint.
    restore: network, images (B, 3, S, S) in -1..1 and fidelity, to images.
    """

    build: Callable[[], nn.Module]
    names: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
    restore: Callable[[nn.Module, Tensor, float], Tensor]


RESTORERS = {
    "gfpgan": Restorer(Gfpgan, lambda tensors: tensors, lambda net, x, fidelity: net(x)),
    "codeformer": Restorer(
        CodeFormer, lambda tensors: tensors, lambda net, x, fidelity: net(x, fidelity)
    ),
    "restoreformer": Restorer(
        RestoreFormer,
        lambda tensors: flat_keys(tensors, RestoreFormerShape().autoencoder),
        lambda net, x, fidelity: net(x),
    ),
}


class RestorationRefiner(Sourceless, TorchRefiner):
    """Refiner protocol over a restoration network."""

    template: Template = "ffhq"

    def __init__(
        self, network: nn.Module, restorer: Restorer, run: RunOptions, crop_size: int = SIDE
    ) -> None:
        super().__init__(run)
        self.network = self.prepare(network)
        self.crop_size = crop_size
        self._restorer = restorer

    def network_calls(self, options: RefineOptions) -> int:
        """Return 1."""
        return 1

    def refine(
        self,
        coarse: Sequence[Image],
        source: None,
        driving: Array32,
        frame_numbers: Sequence[int],
        options: RefineOptions,
        reference_crops: Sequence[Image] | None = None,
        *,
        source_is_reference: bool = False,
    ) -> list[Image]:
        """Restore crops; see `core.protocols.Refiner`.

        Raises:
            NotFiniteError: a result is NaN or infinite.
            DeviceError: memory does not suffice.
        """
        fidelity = FIDELITY if options.fidelity is None else options.fidelity
        out: list[Image] = []
        for first in range(0, len(coarse), self.batch):
            part = coarse[first : first + self.batch]
            restored = self._restore(part, fidelity)
            if not np.isfinite(restored).all():
                raise NotFiniteError
            out += [keep_face(*pair, fidelity) for pair in zip(part, restored, strict=True)]
        return out

    def _restore(self, crops: Sequence[Image], fidelity: float) -> Array32:
        """Restore crops, (B, S, S, 3) in levels of 255."""
        scaled = np.stack([to_unit_image(image, self.crop_size) for image in crops]) * 2 - 1
        with self.inference():
            pixels = torch.from_numpy(scaled).to(self.device).permute(0, 3, 1, 2).contiguous()
            restored = self._restorer.restore(self.network, pixels, fidelity).float()
        unit = (restored.clamp(-1, 1) + 1) / 2
        return np.asarray(unit.permute(0, 2, 3, 1).cpu().numpy() * np.float32(255), np.float32)


def keep_face(coarse: Image, restored: Array32, fidelity: float) -> Image:
    """Limit the change of a crop.

    Args:
        coarse: (N, N, 3) uint8.
        restored: (N, N, 3) levels of 255.
        fidelity: 0 shows the restored crop; 1 keeps the coarse one's light, and all of it where
            the two differ in structure.
    """
    if fidelity == 0:
        return np.asarray(np.rint(restored.clip(0, 255)), np.uint8)
    side = coarse.shape[0]
    change = restored - coarse
    light = cv2.GaussianBlur(change, (0, 0), bands.LIGHT * side / bands.UNIT)
    change -= np.float32(fidelity) * light
    reduced = [
        resize(image, (int(bands.UNIT), int(bands.UNIT)), shrink=True)
        for image in (coarse, np.rint(restored).astype(np.uint8))
    ]
    shared = bands.upsample(shared_structure(*map(bands.to_grey, reduced)), side)
    share = 1 - np.float32(fidelity) * (1 - shared)
    return np.rint(np.clip(coarse + share[..., None] * change, 0, 255)).astype(np.uint8)


def load(run: RunOptions, name: str) -> RestorationRefiner:
    """Load the network of a row of weights.toml.

    Raises:
        WeightsError: weights are missing, another model's, or refused by --licence.
    """
    check_licence(name, run.licence)
    tensors = load_tensors(name, prefix="", offline=run.offline)
    restorer = RESTORERS[name]
    network = load_state(restorer.build(), restorer.names(_inference(tensors)), name)
    return RestorationRefiner(network, restorer, run)


def load_gfpgan(run: RunOptions) -> RestorationRefiner:
    """Load GFPGAN. Raises as `load`."""
    return load(run, "gfpgan")


def load_codeformer(run: RunOptions) -> RestorationRefiner:
    """Load CodeFormer. Raises as `load`."""
    return load(run, "codeformer")


def load_restoreformer(run: RunOptions) -> RestorationRefiner:
    """Load RestoreFormer. Raises as `load`."""
    return load(run, "restoreformer")


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of its network."""
    restorer = RESTORERS[checkpoint.name]
    tensors = restorer.names(_inference(checkpoint.tensors("")))
    load_state(restorer.build(), tensors, checkpoint.name)


def _inference(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of inference without their prefix; others belong to training."""
    for prefix in _PREFIXES:
        found = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if found:
            return found
    return dict(tensors)

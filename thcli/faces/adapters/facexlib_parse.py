"""facexlib: BiSeNet and ParseNet, the parsers of 512 x 512 crops, with the library's networks and our own weight files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from thcli.core.device import enough_memory, resolve
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.faces.adapters.common import check_licence, fill
from thcli.faces.adapters.torchvision_ops import mend_torchvision
from thcli.faces.parsing.classes import CLASSES
from thcli.weights import load_tensors

mend_torchvision()  # facexlib imports torchvision, which may not import beside this torch

from facexlib.parsing.bisenet import BiSeNet  # noqa: E402  # after the line above
from facexlib.parsing.parsenet import ParseNet  # noqa: E402

BISENET, PARSENET = "facexlib-bisenet", "facexlib-parsenet"
SIDE = 512

# What the networks' outputs stand for. The two differ: xinntao/facexlib, inference/inference_parsing.py (BiSeNet, as
# zllrunning/face-parsing.PyTorch trained it) and inference/inference_parsing_parsenet.py (ParseNet, CelebAMask-HQ's own order).
BISENET_ORDER = (
    "background",
    "skin",
    "l_brow",
    "r_brow",
    "l_eye",
    "r_eye",
    "eye_g",
    "l_ear",
    "r_ear",
    "ear_r",
    "nose",
    "mouth",
    "u_lip",
    "l_lip",
    "neck",
    "neck_l",
    "cloth",
    "hair",
    "hat",
)
PARSENET_ORDER = (
    "background",
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
)
# Mean and spread of RGB in 0..1, from the same two files.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

Tensors = dict[str, torch.Tensor]
Levels = tuple[tuple[float, float, float], tuple[float, float, float]]


class FacexlibParser:
    """See `core.protocols.Parser`; it looks at the pixels alone."""

    crop_size = SIDE
    template: Template = "ffhq"

    def __init__(
        self, network: torch.nn.Module, order: Sequence[str], levels: Levels, device: torch.device
    ) -> None:
        """order: the region of each of the network's outputs.  levels: mean and spread that it was trained with.  On the device already."""
        self._network, self._device = network, device
        self._rows = torch.tensor([order.index(name) for name in CLASSES], device=device)
        self._mean, self._spread = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in levels)

    @classmethod
    def bisenet(cls, tensors: Tensors, run: RunOptions) -> FacexlibParser:
        """Yu et al. 2018. Raises WeightsError for other tensors than the official file's, DeviceError."""
        device = resolve(run.device)
        network = BiSeNet(num_class=len(CLASSES))
        fill(network, tensors, BISENET, device)
        return cls(network, BISENET_ORDER, _IMAGENET, device)

    @classmethod
    def parsenet(cls, tensors: Tensors, run: RunOptions) -> FacexlibParser:
        """Of PSFRGAN (Chen et al. 2021). Raises as `bisenet` does."""
        device = resolve(run.device)
        network = ParseNet(in_size=SIDE, out_size=SIDE, parsing_ch=len(CLASSES))
        fill(network, tensors, PARSENET, device)
        return cls(network, PARSENET_ORDER, _HALF, device)

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        """crops: (512, 512, 3) uint8.  Gives (N, 19, 512, 512) float32.  Raises DeviceError when the device's memory is full.

        One by one: networks of this size fill a device with a single crop, and the batch cannot change a bit.
        """
        out = np.empty((len(crops), len(CLASSES), SIDE, SIDE), np.float32)
        with enough_memory(self._device, "to parse", "Use --device cpu."), torch.inference_mode():
            for target, crop in zip(out, crops, strict=True):
                rgb = (
                    torch.from_numpy(np.ascontiguousarray(crop))
                    .to(self._device)
                    .permute(2, 0, 1)[None]
                )
                logits = self._network((rgb.float() / 255 - self._mean) / self._spread)[0]
                target[:] = logits[0].float().softmax(0)[self._rows].cpu().numpy()
        return out


def load_bisenet(run: RunOptions) -> FacexlibParser:
    """Raises WeightsError when the weights are absent or refused by --licence, DeviceError when torchvision cannot be used."""
    check_licence(BISENET, run.licence)
    return FacexlibParser.bisenet(load_tensors(BISENET), run)


def load_parsenet(run: RunOptions) -> FacexlibParser:
    """Raises as `load_bisenet` does."""
    check_licence(PARSENET, run.licence)
    return FacexlibParser.parsenet(load_tensors(PARSENET), run)

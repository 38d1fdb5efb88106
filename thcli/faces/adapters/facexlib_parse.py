"""facexlib: BiSeNet and ParseNet, parsers of 512 x 512 crops, with our own weight files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from thcli.core.device import convert_out_of_memory, resolve_device
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.faces.adapters.torchvision_ops import make_torchvision_importable
from thcli.faces.parsing.classes import CLASSES
from thcli.weights import check_licence, load_tensors
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state

make_torchvision_importable()  # facexlib imports torchvision

from facexlib.parsing.bisenet import BiSeNet  # noqa: E402  # after the line above
from facexlib.parsing.parsenet import ParseNet  # noqa: E402

BISENET, PARSENET = "facexlib-bisenet", "facexlib-parsenet"
SIDE = 512

# The class of each output channel. The two networks differ:
# BiSeNet: xinntao/facexlib: inference/inference_parsing.py (zllrunning/face-parsing.PyTorch),
# ParseNet: inference/inference_parsing_parsenet.py (CelebAMask-HQ's own order).
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
PARSENET_ORDER = CLASSES
# Mean and standard deviation of RGB in 0..1, from the same two files.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SYMMETRIC = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

Tensors = dict[str, torch.Tensor]
Normalization = tuple[tuple[float, float, float], tuple[float, float, float]]


class FacexlibParser:
    """A `core.protocols.Parser` that reads the pixels alone."""

    crop_size = SIDE
    template: Template = "ffhq"

    def __init__(
        self,
        network: torch.nn.Module,
        order: Sequence[str],
        normalisation: Normalization,
        device: torch.device,
    ) -> None:
        """Wrap a network that is on the device already.

        Args:
            network: BiSeNet or ParseNet.
            order: class of each output channel.
            normalisation: mean and standard deviation of its training images.
            device: device of the network.
        """
        self._network, self._device = network, device
        self._rows = torch.tensor([order.index(name) for name in CLASSES], device=device)
        self._mean, self._std = (
            torch.tensor(v, device=device).view(1, 3, 1, 1) for v in normalisation
        )

    @classmethod
    def bisenet(cls, tensors: Tensors, run: RunOptions) -> FacexlibParser:
        """Build BiSeNet (Yu et al. 2018).

        Raises:
            WeightsError: the tensors are not the official file's.
            DeviceError: the device does not exist or its memory is full.
        """
        device = resolve_device(run.device)
        network = BiSeNet(num_class=len(CLASSES))
        load_state(network, tensors, BISENET, device)
        return cls(network, BISENET_ORDER, _IMAGENET, device)

    @classmethod
    def parsenet(cls, tensors: Tensors, run: RunOptions) -> FacexlibParser:
        """Build ParseNet of PSFRGAN (Chen et al. 2021). Raises as `bisenet` does."""
        device = resolve_device(run.device)
        network = ParseNet(in_size=SIDE, out_size=SIDE, parsing_ch=len(CLASSES))
        load_state(network, tensors, PARSENET, device)
        return cls(network, PARSENET_ORDER, _SYMMETRIC, device)

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        """Parse crops (512, 512, 3) uint8 to probabilities (N, 19, 512, 512) float32.

        Crops run one by one: a single crop fills the device, and the result cannot depend on the
        batch. Raises DeviceError when the device's memory is full.
        """
        out = np.empty((len(crops), len(CLASSES), SIDE, SIDE), np.float32)
        with (
            convert_out_of_memory(self._device, "to parse", "Use --device cpu."),
            torch.inference_mode(),
        ):
            for target, crop in zip(out, crops, strict=True):
                pixels = torch.from_numpy(np.ascontiguousarray(crop)).to(self._device)
                rgb = pixels.permute(2, 0, 1)[None].float() / 255
                logits = self._network((rgb - self._mean) / self._std)[0]
                target[:] = logits[0].float().softmax(0)[self._rows].cpu().numpy()
        return out


def load_bisenet(run: RunOptions) -> FacexlibParser:
    """Load BiSeNet.

    Raises:
        WeightsError: its weights are absent or refused by --licence.
        DeviceError: torchvision does not import.
    """
    check_licence(BISENET, run.licence)
    return FacexlibParser.bisenet(load_tensors(BISENET), run)


def load_parsenet(run: RunOptions) -> FacexlibParser:
    """Load ParseNet. Raises as `load_bisenet` does."""
    check_licence(PARSENET, run.licence)
    return FacexlibParser.parsenet(load_tensors(PARSENET), run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the library's network."""
    build = FacexlibParser.bisenet if checkpoint.name == BISENET else FacexlibParser.parsenet
    with torch.device("cpu"):  # the library moves its networks, which the meta device refuses
        build(checkpoint.tensors(), RunOptions(device="cpu"))

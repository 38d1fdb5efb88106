"""facexlib.

The RetinaFace detector and the 98-point AWing landmarker, with our own weight files.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from thcli.core.device import resolve_device
from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.types import Face, Image
from thcli.faces.adapters.downscale import downscale
from thcli.faces.adapters.heatmaps import landmarks_from_heatmaps
from thcli.faces.adapters.keypoints import six_keypoints
from thcli.faces.adapters.nms import nonmax_suppression
from thcli.faces.adapters.torchvision_ops import make_torchvision_importable
from thcli.faces.crops.align import square
from thcli.faces.crops.crop import crop
from thcli.weights import check_licence, load_tensors
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state

make_torchvision_importable()  # facexlib imports torchvision

from facexlib.alignment.awing_arch import FAN  # noqa: E402  # after the line above
from facexlib.detection.retinaface import RetinaFace as Network  # noqa: E402
from facexlib.detection.retinaface_utils import PriorBox, decode, decode_landm  # noqa: E402

DETECTOR, LANDMARKS = "facexlib-retinaface-r50", "facexlib-awing"
SMALL_DETECTOR = "facexlib-retinaface-mobilenet"
_LONG_SIDE = 960  # of the image that the detector reads
_SCORE, _OVERLAP = 0.8, 0.4  # the library's own (RetinaFace.detect_faces)
_MEAN_BGR = (104.0, 117.0, 123.0)
_SIDE = 256  # AWing's input
_BOX_SCALE = (
    1.25  # AWing is trained on WFLW boxes enlarged by a quarter (Wang et al. 2019, sec. 7.1)
)

Tensors = dict[str, torch.Tensor]


class RetinaFace:
    """Detector of boxes and five points. Deng et al. 2020 (RetinaFace)."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self._network, self._device = network, device

    @classmethod
    def from_tensors(
        cls, tensors: Tensors, run: RunOptions, backbone: str = "resnet50"
    ) -> RetinaFace:
        """Build the library's network with the official file's tensors.

        backbone: resnet50 or mobile0.25.
        """
        device = resolve_device(run.device)
        with warnings.catch_warnings():
            # facexlib 0.3 builds its ResNet with torchvision's old argument `pretrained=False`,
            # which warns twice; no weights are fetched.
            for message in (
                "The parameter 'pretrained' is deprecated",
                "Arguments other than a weight enum",
            ):
                warnings.filterwarnings("ignore", message, UserWarning)
            network = Network(backbone, device=device)
        load_state(network, tensors, f"RetinaFace ({backbone})", device)
        return cls(network, device)

    def detect(self, image: Image) -> list[Face]:
        """Detect faces in (H, W, 3) RGB, best score first."""
        small, scale = downscale(to_uint8(image), _LONG_SIDE)
        height, width = small.shape[:2]
        bgr = np.ascontiguousarray(small[..., ::-1].transpose(2, 0, 1), np.float32)
        mean = torch.tensor(_MEAN_BGR, device=self._device).view(1, 3, 1, 1)
        with torch.inference_mode():
            batch = torch.from_numpy(bgr)[None].to(self._device) - mean
            boxes, scores, points = self._network(batch)
            cfg: Any = self._network.cfg
            priors = PriorBox(cfg, image_size=(height, width)).forward().to(self._device)
            variances = cfg["variance"]
            sure = scores[0, :, 1] > _SCORE
            found = decode(boxes[0, sure], priors[sure], variances).cpu().numpy()
            decoded = decode_landm(points[0, sure], priors[sure], variances)
            five = decoded.cpu().numpy().reshape(-1, 5, 2)
            score = scores[0, sure, 1].cpu().numpy()
        # Both are fractions of the image size, edges at 0 and 1. The library's detect_faces calls
        # torchvision's nms, which is absent where `make_torchvision_importable` had to help.
        size = np.array([width, height], np.float32)
        found = (found.reshape(-1, 2, 2) * size * scale - 0.5).reshape(-1, 4).astype(np.float32)
        five = (five * size * scale - 0.5).astype(np.float32)
        return [
            Face(found[i], float(score[i]), keypoints=six_keypoints(five[i]), points=five[i])
            for i in nonmax_suppression(found, score, _OVERLAP)
        ]


class AWing:
    """Landmarker of 98 points. Wang et al. 2019 (Adaptive Wing Loss), four hourglasses."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self._network, self._device = network, device

    @classmethod
    def from_tensors(cls, tensors: Tensors, run: RunOptions) -> AWing:
        """Build the library's network with the official file's tensors."""
        device = resolve_device(run.device)
        network = FAN(num_modules=4, num_landmarks=98, device=device)
        load_state(network, tensors, LANDMARKS, device)
        return cls(network, device)

    def fit(self, image: Image, face: Face) -> Face | None:
        """Return the face with `points` (98, 2) and keypoints; None where there is no face."""
        if not face.area > 0:
            return None
        placement = square(face.box, _SIDE, _BOX_SCALE)
        pixels = crop(to_uint8(image), placement, border="black").transpose(2, 0, 1)
        batch = torch.from_numpy(np.ascontiguousarray(pixels))[None].to(self._device).float() / 255
        with torch.inference_mode():
            last_stage = self._network(batch)[0][-1]
        heatmaps = last_stage[0, :-1].cpu().numpy()  # the last map is the face's outline
        return landmarks_from_heatmaps(heatmaps, face, placement)


def load_detector(run: RunOptions) -> RetinaFace:
    """Load RetinaFace with a ResNet-50.

    Raises:
        WeightsError: its weights are absent or refused by --licence.
        DeviceError: torchvision does not import.
    """
    check_licence(DETECTOR, run.licence)
    return RetinaFace.from_tensors(load_tensors(DETECTOR), run)


def load_small_detector(run: RunOptions) -> RetinaFace:
    """Load RetinaFace with a MobileNet 0.25. Raises as `load_detector` does."""
    check_licence(SMALL_DETECTOR, run.licence)
    return RetinaFace.from_tensors(load_tensors(SMALL_DETECTOR), run, "mobile0.25")


def load_landmarks(run: RunOptions) -> AWing:
    """Load AWing. Raises as `load_detector` does."""
    check_licence(LANDMARKS, run.licence)
    return AWing.from_tensors(load_tensors(LANDMARKS), run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the library's network."""
    run = RunOptions(device="cpu")
    with torch.device("cpu"):  # the library moves its networks, which the meta device refuses
        if checkpoint.name == LANDMARKS:
            AWing.from_tensors(checkpoint.tensors(), run)
        else:
            backbone = "mobile0.25" if checkpoint.name == SMALL_DETECTOR else "resnet50"
            RetinaFace.from_tensors(checkpoint.tensors(), run, backbone)

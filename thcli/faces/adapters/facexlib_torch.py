"""facexlib: the RetinaFace detector and the 98-point AWing landmarker, with the library's networks and our own weight files."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from thcli.core.device import resolve
from thcli.core.geometry import transform
from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.types import Face, Image
from thcli.faces.adapters.common import check_licence, fill, peaks, six_points, suppress
from thcli.faces.adapters.reduce import at_most
from thcli.faces.adapters.torchvision_ops import mend_torchvision
from thcli.faces.crops.align import square
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.layouts import five_points
from thcli.weights import load_tensors

mend_torchvision()  # facexlib imports torchvision, which may not import beside this torch

from facexlib.alignment.awing_arch import FAN  # noqa: E402  # after the line above
from facexlib.detection.retinaface import RetinaFace as Network  # noqa: E402
from facexlib.detection.retinaface_utils import PriorBox, decode, decode_landm  # noqa: E402

DETECTOR, SMALL_DETECTOR, LANDMARKS = (
    "facexlib-retinaface-r50",
    "facexlib-retinaface-mobilenet",
    "facexlib-awing",
)
_LONG_SIDE = 960  # of the picture that the detector sees
_SCORE, _OVERLAP = 0.8, 0.4  # the library's own (RetinaFace.detect_faces)
_MEAN_BGR = (104.0, 117.0, 123.0)
_SIDE = 256  # AWing's input
_BOX_SCALE = 1.25  # WFLW faces are trained on with a quarter more than their box (Wang et al. 2019, sec. 7.1)
_PEAK = 0.1  # median height of the heatmaps below which it is no face

Tensors = dict[str, torch.Tensor]


class RetinaFace:
    """Detector: boxes and five points. Deng et al. 2020 (RetinaFace), with a ResNet-50 or a small MobileNet."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self._network, self._device = network, device

    @classmethod
    def of(cls, tensors: Tensors, run: RunOptions, backbone: str = "resnet50") -> RetinaFace:
        """With the library's network and the official file's tensors. backbone: resnet50 or mobile0.25."""
        device = resolve(run.device)
        with warnings.catch_warnings():
            # facexlib 0.3 builds its ResNet with torchvision's older argument `pretrained=False`: two warnings that tell
            # the user nothing; no weights are fetched.
            for message in (
                "The parameter 'pretrained' is deprecated",
                "Arguments other than a weight enum",
            ):
                warnings.filterwarnings("ignore", message, UserWarning)
            network = Network(backbone, device=device)
        fill(network, tensors, f"RetinaFace ({backbone})", device)
        return cls(network, device)

    def detect(self, picture: Image) -> list[Face]:
        """Faces in (H, W, 3) RGB, best score first."""
        small, scale = at_most(to_uint8(picture), _LONG_SIDE)
        height, width = small.shape[:2]
        bgr = np.ascontiguousarray(small[..., ::-1].transpose(2, 0, 1), np.float32)
        mean = torch.tensor(_MEAN_BGR, device=self._device).view(1, 3, 1, 1)
        with torch.inference_mode():
            boxes, scores, points = self._network(
                torch.from_numpy(bgr)[None].to(self._device) - mean
            )
            cfg: Any = self._network.cfg
            priors = PriorBox(cfg, image_size=(height, width)).forward().to(self._device)
            variances = cfg["variance"]
            sure = scores[0, :, 1] > _SCORE
            found = decode(boxes[0, sure], priors[sure], variances).cpu().numpy()
            five = (
                decode_landm(points[0, sure], priors[sure], variances)
                .cpu()
                .numpy()
                .reshape(-1, 5, 2)
            )
            score = scores[0, sure, 1].cpu().numpy()
        # Both come in parts of the picture's size, edges at 0 and 1. The library's detect_faces calls torchvision's
        # suppression, which is missing where `mend_torchvision` had to help: ours does the same.
        size = np.array([width, height], np.float32)
        found = (found.reshape(-1, 2, 2) * size * scale - 0.5).reshape(-1, 4).astype(np.float32)
        five = (five * size * scale - 0.5).astype(np.float32)
        return [
            Face(found[i], float(score[i]), keypoints=six_points(five[i]), points=five[i])
            for i in suppress(found, score, _OVERLAP)
        ]


class AWing:
    """Landmarker: 98 points. Wang et al. 2019 (Adaptive Wing Loss), four hourglasses."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self._network, self._device = network, device

    @classmethod
    def of(cls, tensors: Tensors, run: RunOptions) -> AWing:
        """With the library's network and the official file's tensors."""
        device = resolve(run.device)
        network = FAN(num_modules=4, num_landmarks=98, device=device)
        fill(network, tensors, LANDMARKS, device)
        return cls(network, device)

    def fit(self, picture: Image, face: Face) -> Face | None:
        """The face with `points` (98, 2) and keypoints; None when the network sees no face there."""
        if not face.area > 0:
            return None
        where = square(face.box, _SIDE, _BOX_SCALE)
        pixels = crop(to_uint8(picture), where, border="black").transpose(2, 0, 1)
        batch = torch.from_numpy(np.ascontiguousarray(pixels))[None].to(self._device).float() / 255
        with torch.inference_mode():
            heat = (
                self._network(batch)[0][-1][0, :-1].cpu().numpy()
            )  # the last map is the face's outline
        cells, heights = peaks(heat)
        if float(np.median(heights)) < _PEAK:
            return None
        inside = (cells + 0.5) * (_SIDE / heat.shape[-1]) - 0.5
        points = transform(np.asarray(np.linalg.inv(where.crop_from_frame)), inside).astype(
            np.float32
        )
        return replace(face, points=points, keypoints=six_points(five_points(points)))


def load_detector(run: RunOptions) -> RetinaFace:
    """Raises WeightsError when the weights are absent or refused by --licence, DeviceError when torchvision cannot be used."""
    check_licence(DETECTOR, run.licence)
    return RetinaFace.of(load_tensors(DETECTOR), run)


def load_small_detector(run: RunOptions) -> RetinaFace:
    """Raises as `load_detector` does."""
    check_licence(SMALL_DETECTOR, run.licence)
    return RetinaFace.of(load_tensors(SMALL_DETECTOR), run, "mobile0.25")


def load_landmarks(run: RunOptions) -> AWing:
    """Raises as `load_detector` does."""
    check_licence(LANDMARKS, run.licence)
    return AWing.of(load_tensors(LANDMARKS), run)

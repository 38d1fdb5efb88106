"""face-alignment: the S3FD detector and the 68-point FAN, with the library's networks and our own weight files.

The library's FaceAlignment class downloads its weights from its author's site when it is made; here only its networks and
functions are used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from face_alignment.detection.sfd.bbox import nms
from face_alignment.detection.sfd.detect import detect
from face_alignment.detection.sfd.net_s3fd import s3fd
from face_alignment.models.fan import FAN
from face_alignment.utils import flip

from thcli.core.device import resolve
from thcli.core.geometry import rotated_square, transform
from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.types import Crop, Face, Image
from thcli.faces.adapters.common import check_licence, fill, peaks, six_points
from thcli.faces.adapters.reduce import at_most
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.layouts import five_points
from thcli.weights import load_tensors

DETECTOR, LANDMARKS = "face-alignment-s3fd", "face-alignment-2dfan4"
_LONG_SIDE = 960  # of the picture that S3FD sees: at this size its smallest faces are 16 pixels, and a CPU needs seconds
_SCORE, _OVERLAP = 0.5, 0.3  # the library's own (sfd_detector.py)
_SIDE = 256  # FAN's input
_BOX_SCALE = (
    200 / 195
)  # FAN's crop is this much of the mean of the box's width and height (face_alignment/api.py)
_BOX_UP = 0.12  # its centre lies this part of the box's height above the box's
_PEAK = 0.1  # median height of the heatmaps below which it is no face; those of faces are several times as high

Tensors = dict[str, torch.Tensor]


class S3fd:
    """Detector: boxes only. Zhang et al. 2017 (S3FD)."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self._network, self._device = network, device

    @classmethod
    def of(cls, tensors: Tensors, run: RunOptions) -> S3fd:
        """With the library's network and the official file's tensors."""
        network, device = s3fd(), resolve(run.device)
        fill(network, tensors, DETECTOR, device)
        return cls(network, device)

    def detect(self, picture: Image) -> list[Face]:
        """Faces in (H, W, 3) RGB, best score first; they have no landmarks yet."""
        small, scale = at_most(to_uint8(picture), _LONG_SIDE)
        found = np.asarray(detect(self._network, small, str(self._device)), np.float64).reshape(
            -1, 5
        )
        found = found[found[:, 4] > _SCORE]
        return [
            Face(((row[:4] + 0.5) * scale - 0.5).astype(np.float32), float(row[4]))
            for row in found[nms(found, _OVERLAP)]
        ]


class Fan:
    """Landmarker: 68 points. Bulat and Tzimiropoulos 2017 (2D-FAN-4)."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self._network, self._device = network, device

    @classmethod
    def of(cls, tensors: Tensors, run: RunOptions) -> Fan:
        """With the library's network and the official file's tensors."""
        network, device = FAN(4), resolve(run.device)
        fill(network, tensors, LANDMARKS, device)
        return cls(network, device)

    def fit(self, picture: Image, face: Face) -> Face | None:
        """The face with `points` (68, 2) and keypoints; None when the network sees no face there.

        The picture and its mirror image are averaged, as in the library.
        """
        if not face.area > 0:
            return None
        where = _crop_of(face)
        heat = self._heatmaps(crop(to_uint8(picture), where, border="black"))
        cells, heights = peaks(heat)
        if float(np.median(heights)) < _PEAK:
            return None
        inside = (cells + 0.5) * (_SIDE / heat.shape[-1]) - 0.5
        points = transform(np.asarray(np.linalg.inv(where.crop_from_frame)), inside).astype(
            np.float32
        )
        return replace(face, points=points, keypoints=six_points(five_points(points)))

    def _heatmaps(self, pixels: Image) -> Any:
        batch = (
            torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
            .to(self._device)
            .float()
            / 255
        )
        with torch.inference_mode():
            straight = self._network(batch)[-1]
            mirrored = flip(self._network(flip(batch))[-1], is_label=True)
        return ((straight + mirrored) / 2)[0].cpu().numpy()


def load_detector(run: RunOptions) -> S3fd:
    """Raises WeightsError when the weights are absent or refused by --licence."""
    check_licence(DETECTOR, run.licence)
    return S3fd.of(load_tensors(DETECTOR), run)


def load_landmarks(run: RunOptions) -> Fan:
    """Raises as `load_detector` does."""
    check_licence(LANDMARKS, run.licence)
    return Fan.of(load_tensors(LANDMARKS), run)


def _crop_of(face: Face) -> Crop:
    x0, y0, x1, y1 = (float(v) for v in face.box)
    width, height = x1 - x0, y1 - y0
    centre = [(x0 + x1) / 2, (y0 + y1) / 2 - _BOX_UP * height]
    return Crop(rotated_square(centre, (width + height) * _BOX_SCALE, 0.0, _SIDE), (_SIDE, _SIDE))

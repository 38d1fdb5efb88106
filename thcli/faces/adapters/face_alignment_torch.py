"""face-alignment: the S3FD detector and the 68-point FAN, with our own weight files.

The library's FaceAlignment class downloads its weights from its author's site when it is built.
Only the library's networks and functions are used here.
"""

from __future__ import annotations

import numpy as np
import torch
from face_alignment.detection.sfd.bbox import nms
from face_alignment.detection.sfd.detect import detect
from face_alignment.detection.sfd.net_s3fd import s3fd
from face_alignment.models.fan import FAN
from face_alignment.utils import flip

from thcli.core.device import resolve_device
from thcli.core.geometry import square_crop_matrix
from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Crop, Face, Image
from thcli.faces.adapters.downscale import downscale
from thcli.faces.adapters.heatmaps import landmarks_from_heatmaps
from thcli.faces.crops.crop import crop
from thcli.weights import check_licence, load_tensors
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state

DETECTOR, LANDMARKS = "face-alignment-s3fd", "face-alignment-2dfan4"
# Of the image that S3FD reads: its smallest faces are then 16 pixels, and a CPU needs seconds.
_LONG_SIDE = 960
_SCORE, _OVERLAP = 0.5, 0.3  # the library's own (sfd_detector.py)
_SIDE = 256  # FAN's input
# Side of FAN's crop over the mean of the box's width and height (face_alignment/api.py).
_BOX_SCALE = 200 / 195
_CENTRE_SHIFT = 0.12  # of the box's height, from the box's centre up to the crop's

Tensors = dict[str, torch.Tensor]


class S3fd:
    """Detector of boxes only. Zhang et al. 2017 (S3FD)."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self._network, self._device = network, device

    @classmethod
    def from_tensors(cls, tensors: Tensors, run: RunOptions) -> S3fd:
        """Build the library's network with the official file's tensors."""
        network, device = s3fd(), resolve_device(run.device)
        load_state(network, tensors, DETECTOR, device)
        return cls(network, device)

    def detect(self, image: Image) -> list[Face]:
        """Detect faces in (H, W, 3) RGB, best score first, without landmarks."""
        small, scale = downscale(to_uint8(image), _LONG_SIDE)
        rows = np.asarray(detect(self._network, small, str(self._device)), np.float64)
        rows = rows.reshape(-1, 5)
        rows = rows[rows[:, 4] > _SCORE]
        return [
            Face(((row[:4] + 0.5) * scale - 0.5).astype(np.float32), float(row[4]))
            for row in rows[nms(rows, _OVERLAP)]
        ]


class Fan:
    """Landmarker of 68 points. Bulat and Tzimiropoulos 2017 (2D-FAN-4)."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self._network, self._device = network, device

    @classmethod
    def from_tensors(cls, tensors: Tensors, run: RunOptions) -> Fan:
        """Build the library's network with the official file's tensors."""
        network, device = FAN(4), resolve_device(run.device)
        load_state(network, tensors, LANDMARKS, device)
        return cls(network, device)

    def fit(self, image: Image, face: Face) -> Face | None:
        """Return the face with `points` (68, 2) and keypoints; None where there is no face.

        The heat maps of the image and of its mirror image are averaged, as in the library.
        """
        if not face.area > 0:
            return None
        placement = _fan_crop(face)
        heatmaps = self._heatmaps(crop(to_uint8(image), placement, border="black"))
        return landmarks_from_heatmaps(heatmaps, face, placement)

    def _heatmaps(self, pixels: Image) -> Array32:
        planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
        batch = planes.to(self._device).float() / 255
        with torch.inference_mode():
            direct = self._network(batch)[-1]
            mirrored = flip(self._network(flip(batch))[-1], is_label=True)
        return np.asarray(((direct + mirrored) / 2)[0].cpu().numpy())


def load_detector(run: RunOptions) -> S3fd:
    """Load S3FD. Raises WeightsError when its weights are absent or refused by --licence."""
    check_licence(DETECTOR, run.licence)
    return S3fd.from_tensors(load_tensors(DETECTOR), run)


def load_landmarks(run: RunOptions) -> Fan:
    """Load FAN. Raises as `load_detector` does."""
    check_licence(LANDMARKS, run.licence)
    return Fan.from_tensors(load_tensors(LANDMARKS), run)


def _fan_crop(face: Face) -> Crop:
    x0, y0, x1, y1 = (float(v) for v in face.box)
    width, height = x1 - x0, y1 - y0
    centre = [(x0 + x1) / 2, (y0 + y1) / 2 - _CENTRE_SHIFT * height]
    side = (width + height) * _BOX_SCALE
    return Crop(square_crop_matrix(centre, side, 0.0, _SIDE), (_SIDE, _SIDE))


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the library's network."""
    adapter = S3fd if checkpoint.name == DETECTOR else Fan
    with torch.device("cpu"):  # the library moves its networks, which the meta device refuses
        adapter.from_tensors(checkpoint.tensors(), RunOptions(device="cpu"))

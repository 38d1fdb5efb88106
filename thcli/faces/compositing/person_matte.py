"""The person in a picture, by MediaPipe's selfie segmentation net: a soft mask of 256 x 256, enlarged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.options import RunOptions
from thcli.core.types import Array32
from thcli.faces.tflite import Network, read
from thcli.weights import locate

SIDE = 256


class Selfie:
    """The matte net. Not safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._network = Network(read(path), ["input_1"], ["activation_10"])

    def probability(self, picture: npt.NDArray[Any]) -> Array32:
        """(H, W) float32 0..1, how much each pixel belongs to a person, of a (H, W, 3) RGB picture, uint8 or uint16."""
        height, width = picture.shape[:2]
        how = cv2.INTER_AREA if min(height, width) > SIDE else cv2.INTER_LINEAR
        small = cv2.resize(picture, (SIDE, SIDE), interpolation=how)
        self._network.scaled_input(small, 1.0 / np.iinfo(picture.dtype).max)
        (mask,) = self._network.run()
        enlarged = cv2.resize(mask[0, :, :, 0], (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(np.asarray(enlarged, np.float32), 0, 1)


def load(run: RunOptions) -> Selfie:
    """The matte net. Raises WeightsError when its weights are absent, DeviceError without LiteRT."""
    return Selfie(locate("selfie", offline=run.offline))

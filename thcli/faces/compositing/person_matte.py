"""Person matte by MediaPipe's selfie segmentation network: a soft mask of 256 x 256, enlarged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.options import RunOptions
from thcli.core.types import Array32
from thcli.faces.tflite import TfliteNetwork, read_model, require_tensors
from thcli.weights import locate
from thcli.weights.layout import Checkpoint

SIDE = 256
INPUT, OUTPUT = "input_1", "activation_10"


class PersonMatte:
    """Person segmentation network. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._network = TfliteNetwork(read_model(path), [INPUT], [OUTPUT])

    def probability(self, image: npt.NDArray[Any]) -> Array32:
        """Return the probability that each pixel is of a person, (H, W) float32 0..1.

        image: (H, W, 3) RGB uint8 or uint16.
        """
        height, width = image.shape[:2]
        interpolation = cv2.INTER_AREA if min(height, width) > SIDE else cv2.INTER_LINEAR
        small = cv2.resize(image, (SIDE, SIDE), interpolation=interpolation)
        self._network.write_scaled_input(small, 1.0 / np.iinfo(image.dtype).max)
        (mask,) = self._network.run()
        enlarged = cv2.resize(mask[0, :, :, 0], (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(np.asarray(enlarged, np.float32), 0, 1)


def load(run: RunOptions) -> PersonMatte:
    """Load the person matte.

    Raises:
        WeightsError: its weights are absent.
        DeviceError: LiteRT is not installed.
    """
    return PersonMatte(locate("selfie", offline=run.offline))


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a file has the input and the output."""
    require_tensors(checkpoint.path, (INPUT, OUTPUT))

"""Person matte by MediaPipe's selfie segmentation network: a soft mask of 256 x 256, enlarged."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.options import RunOptions
from thcli.core.types import Array32
from thcli.faces.compositing.guided_filter import guided_filter
from thcli.faces.tflite import TfliteNetwork, read_model, require_tensors
from thcli.weights import locate
from thcli.weights.layout import Checkpoint

SIDE = 256
CERTAIN = (0.25, 0.75)  # probabilities below which is background, above which is person
EDGE_SIDE = 640  # pixels, longest side of the image in which the edge is refined
EDGE_RADIUS = 0.02  # of that side, window in which the edge is moved
EDGE_SMOOTHNESS = 1e-4  # variance of colour above which an edge is kept
EDGE_MARGIN = 0.1  # of alpha, that counts as none and as all
INPUT, OUTPUT = "input_1", "activation_10"


class PersonMatte:
    """Person segmentation network. Threads may share it, one at a time, and it can be pickled."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._network = TfliteNetwork(read_model(path), [INPUT], [OUTPUT])
        self._alone = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path,)

    def probability(self, image: npt.NDArray[Any]) -> Array32:
        """Return the probability that each pixel is of a person, (H, W) float32 0..1.

        image: (H, W, 3) RGB uint8 or uint16.
        """
        height, width = image.shape[:2]
        interpolation = cv2.INTER_AREA if min(height, width) > SIDE else cv2.INTER_LINEAR
        small = cv2.resize(image, (SIDE, SIDE), interpolation=interpolation)
        with self._alone:
            self._network.write_scaled_input(small, 1.0 / np.iinfo(image.dtype).max)
            (mask,) = self._network.run()
            enlarged = cv2.resize(mask[0, :, :, 0], (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(np.asarray(enlarged, np.float32), 0, 1)


def soft_alpha(image: npt.NDArray[Any], probability: Array32) -> Array32:
    """Return the alpha (H, W) float32 0..1 of the person, whose edge follows the image's.

    Args:
        image: (H, W, 3) RGB uint8.
        probability: (H, W) from `PersonMatte.probability`.
    """
    height, width = image.shape[:2]
    scale = min(1.0, EDGE_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    guide = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    likely = cv2.resize(probability, size, interpolation=cv2.INTER_AREA)
    coarse = np.clip((likely - CERTAIN[0]) / (CERTAIN[1] - CERTAIN[0]), 0, 1).astype(np.float32)
    radius = max(2, round(EDGE_RADIUS * max(size)))
    refined = guided_filter(guide / np.float32(255), coarse, radius, EDGE_SMOOTHNESS)
    alpha = np.clip((refined - EDGE_MARGIN) / (1 - 2 * EDGE_MARGIN), 0, 1).astype(np.float32)
    enlarged = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, np.float32)


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

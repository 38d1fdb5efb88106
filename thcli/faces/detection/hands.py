"""Hands near a face, by MediaPipe's networks of palms and of hands.

Zhang et al. 2020, "MediaPipe Hands", arXiv:2006.10214, sec. 2: palms are detected, and 21 points of
a hand are fitted in a turned square around each. The second network also tells whether that square
shows a hand at all: the first finds palms in many faces that have none before them.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import numpy as np

from thcli.core.geometry import square_crop_matrix, transform_points
from thcli.core.imaging import smoothstep
from thcli.core.options import RunOptions
from thcli.core.types import Array, Array32, Crop, Image
from thcli.faces.crops.crop import crop
from thcli.faces.detection.anchors import AnchorDetector, AnchorVariant, Detection
from thcli.faces.tflite import TfliteNetwork, read_model, require_tensors
from thcli.weights import locate
from thcli.weights.layout import Checkpoint

PALM = AnchorVariant(192, ((24, 2), (12, 6)), 7, 0.5, 0.0, "input_1", ("Identity", "Identity_1"))
HAND_INPUT, HAND_OUTPUTS = "input_1", ("Identity", "Identity_1")
HAND_SIDE = 224  # pixels of the second network's input
# Probability of a hand. 14 of 673 pictures of faces show hands, with .94 and more; an ear came
# nearest, with .90.
LEAST_HAND = 0.92
# Of a face's box: half the side of the square that is searched, and how far it lies lower.
REACH, LOWER = 1.1, 0.1
HAND_SCALE, HAND_SHIFT = 2.6, 0.5  # sides of a palm: of the turned square, and towards the fingers
WRIST, MIDDLE_FINGER = 0, 2  # points of a palm, which give its direction
# Bones of a hand by their points, and the width of a finger, faded at its edge: its half over the
# palm's width, which is between the roots of the first and the last finger.
BONES = np.array(
    [(0, 1), (0, 5), (0, 9), (0, 13), (0, 17), (5, 9), (9, 13), (13, 17)]
    + [(root + k, root + k + 1) for root in (1, 5, 9, 13, 17) for k in range(3)]
)
FINGER = (0.15, 0.25)
FIRST_FINGER, LAST_FINGER = 5, 17
NO_HANDS: Array = np.zeros((0, 21, 2))


class HandFinder:
    """Finds hands near faces. Threads may share it; they wait for one another."""

    def __init__(self, palm: Path, hand: Path) -> None:
        """Load the networks. Raises WeightsError, DeviceError."""
        self._palms = AnchorDetector(palm, PALM)
        self._hand = TfliteNetwork(read_model(hand), [HAND_INPUT], HAND_OUTPUTS)
        self._alone = Lock()

    def find(self, image: Image, box: Array | Array32) -> Array:
        """Return the points of each hand near a face, (N, 21, 2) pixels of the image.

        They are the wrist and four of each finger from its root on, the thumb's first.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: (4,) of the face.
        """
        side = float(max(box[2] - box[0], box[3] - box[1]))
        middle = np.asarray((box[:2] + box[2:]) / 2, float) + np.array([0.0, LOWER * side])
        x0, y0 = np.maximum(middle - REACH * side, 0).astype(int)
        x1, y1 = np.maximum(np.ceil(middle + REACH * side), 0).astype(int)
        near = np.ascontiguousarray(image[y0:y1, x0:x1])
        if not near.size:
            return NO_HANDS
        with self._alone:
            hands = [self._fit(near, palm) for palm in self._palms.detect(near)]
        found = [points + np.array([x0, y0], float) for points in hands if points is not None]
        return np.stack(found) if found else NO_HANDS

    def _fit(self, image: Image, palm: Detection) -> Array | None:
        """Return the points (21, 2) of a palm's hand, None where it is none."""
        low, high = palm.box[:2].astype(float), palm.box[2:].astype(float)
        side = float((high - low).max())
        upwards = (palm.points[MIDDLE_FINGER] - palm.points[WRIST]).astype(float)
        upwards /= max(float(np.hypot(*upwards)), 1e-6)
        centre = (low + high) / 2 + HAND_SHIFT * side * upwards
        angle = float(np.arctan2(upwards[0], -upwards[1]))  # of a hand that points up: 0
        crop_from_image = square_crop_matrix(centre.tolist(), HAND_SCALE * side, angle, HAND_SIDE)
        placement = Crop(crop_from_image, (HAND_SIDE, HAND_SIDE))
        self._hand.write_scaled_input(crop(image, placement, border="black"), 1 / 255)
        points, probability = self._hand.run()
        if probability.item() < LEAST_HAND:
            return None
        image_from_crop = np.asarray(np.linalg.inv(crop_from_image), np.float64)
        return transform_points(image_from_crop, points.reshape(21, 3)[:, :2])


def cover(hands: Array, points: Array) -> Array:
    """Return how far points (N, 2) are under one of the hands (M, 21, 2), (N,) 0..1."""
    covered = np.zeros(len(points))
    for hand in hands:
        start, end = hand[BONES[:, 0]], hand[BONES[:, 1]]
        along = end - start
        length = np.maximum((along**2).sum(-1), 1e-6)
        away = points[:, None] - start
        share = np.clip((away * along).sum(-1) / length, 0, 1)
        distance = np.linalg.norm(away - share[..., None] * along, axis=-1).min(1)
        palm = float(np.linalg.norm(hand[LAST_FINGER] - hand[FIRST_FINGER]))
        covered = np.maximum(covered, 1 - smoothstep(*FINGER, distance / max(palm, 1e-6)))
    return covered


def load(run: RunOptions) -> HandFinder:
    """Load the finder.

    Raises:
        WeightsError: its weights are absent.
        DeviceError: LiteRT is not installed.
    """
    return HandFinder(locate("palm", offline=run.offline), locate("hand", offline=run.offline))


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a file has the input and the outputs of its network."""
    palm, hand = (PALM.input, *PALM.outputs), (HAND_INPUT, *HAND_OUTPUTS)
    require_tensors(checkpoint.path, palm if checkpoint.name == "palm" else hand)

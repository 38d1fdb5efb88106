"""A labelled photograph for smoke runs and tests: the one that scikit-image ships."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow

from thcli.core.options import RunOptions
from thcli.engines.mesh.anatomy import LIPS
from thcli.evaluate.datasets.sample_clip import portrait
from thcli.faces.parsing import class_number
from thcli.train.data.talking_pairs import SourceTracker

SIDE = 512
COUNT = 3


def write_labelled_photographs(folder: Path) -> None:
    """Write images/ and masks/ of COUNT photographs, all the same; the labels are of the mouth.

    Raises:
        WeightsError: weights of the tracker are missing.
    """
    image = portrait(SIDE)
    face = SourceTracker(RunOptions(device="cpu")).find_face(image, "the photograph")
    labels = np.zeros((SIDE, SIDE), np.uint8)
    ring = np.rint(np.asarray(face.mesh)[LIPS, :2]).astype(np.int32)
    cv2.fillPoly(labels, [ring], class_number("mouth"))
    for name, pixels in (("images", image), ("masks", labels)):
        (folder / name).mkdir()
        for number in range(1, COUNT + 1):
            Pillow.fromarray(pixels).save(folder / name / f"{number}.png")

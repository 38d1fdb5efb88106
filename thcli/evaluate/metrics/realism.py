"""Separability of edited faces and real ones with the same attribute.

A linear classifier of the features of attributes-judge learns to tell them apart and is tested on
clips and faces that it did not see. Clips differ from photographs in more than the edit, so the
same is measured for the unedited clips: an edit that nobody notices adds nothing to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.imaging import to_uint8
from thcli.core.types import Array, Array32, Face, Image
from thcli.evaluate.metrics.attribute_scores import face_crop, roc_auc
from thcli.evaluate.metrics.measure import Tracker
from thcli.media.reading.image import list_images

FRAMES = 16  # crops of a clip at most, evenly over its length
LEAST = 8  # real faces
_RIDGE = 0.1  # regularization, over the mean variance of a feature


class ClipCrops:
    """Face crops of a clip of any length: at most FRAMES of them, evenly spaced."""

    def __init__(self) -> None:
        self._kept: list[Image] = []
        self._every, self._count = 1, 0

    def add(self, image: Image, face: Face | None) -> None:
        """Add the next frame; one without a face is left out."""
        if face is None:
            return
        if self._count % self._every == 0:
            self._kept.append(face_crop(image, face))
        self._count += 1
        if len(self._kept) > FRAMES:
            self._kept, self._every = self._kept[::2], 2 * self._every

    @property
    def crops(self) -> Sequence[Image]:
        """The kept crops, (S, S, 3) uint8."""
        return self._kept


def read_wearers(folder: Path, make_tracker: Callable[[], Tracker]) -> list[Image]:
    """Read the largest face of each image of a folder, as crops (S, S, 3) uint8.

    Args:
        folder: images of real faces; those without a face are left out.
        make_tracker: makes a tracker for each image: none follows the face of another.

    Raises:
        MediaError: the folder has no images.
        UsageError: it has fewer than LEAST faces.
    """
    out = []
    for path in list_images(folder):
        image = to_uint8(media.read_image(path))
        face = make_tracker()(image)
        if face is not None:
            out.append(face_crop(image, face))
    if len(out) < LEAST:
        raise UsageError(
            f"--wearers: {folder} shows {len(out)} faces.",
            f"Give a folder of {LEAST} or more images of real faces with the attribute.",
        )
    return out


def separability(real: Array32, clips: Sequence[Array32]) -> float | None:
    """Return the area under the ROC curve of a classifier of real faces and those of clips.

    Each clip is held out once, with a part of the real faces, which several clips share when there
    are more than half as many clips as faces. 0.5: they cannot be told apart; 1: always.

    Args:
        real: (N, D) features of real faces.
        clips: (M, D) features of the faces of each clip.

    Returns:
        The mean over the clips; None for fewer than two clips with faces or two real faces.
    """
    clips = [rows for rows in clips if len(rows)]
    if min(len(clips), len(real)) < 2:
        return None
    folds = max(min(len(clips), len(real) // 2), 2)
    parts = np.arange(len(real)) % folds
    areas = []
    for number, own in enumerate(clips):
        others = [rows for k, rows in enumerate(clips) if k != number]
        held = parts == number % folds
        classify = _fit(real[~held], np.concatenate(others))
        scores = np.concatenate([classify(real[held]), classify(own)])
        areas.append(roc_auc(scores, np.arange(len(scores)) >= len(scores) - len(own)))
    return float(np.mean(areas))


def _fit(real: Array32, made: Array32) -> _Linear:
    """Fit ridge regression to -1 for real and 1 for made faces; both count alike."""
    rows = np.concatenate([real, made]).astype(np.float64)
    mean, spread = rows.mean(0), rows.std(0) + 1e-6
    x = (rows - mean) / spread
    weight = np.concatenate([np.full(len(n), 0.5 / len(n)) for n in (real, made)])
    goal = np.concatenate([-np.ones(len(real)), np.ones(len(made))])
    root = np.sqrt(weight)[:, None]
    weighted = x * root
    # There are more features than faces: solved in the space of the faces.
    gram = weighted @ weighted.T
    gram += _RIDGE * float(np.trace(gram)) / len(gram) * np.eye(len(gram))
    slope = weighted.T @ np.linalg.solve(gram, goal * root[:, 0])
    return _Linear(mean, spread, slope)


class _Linear:
    """Linear score of standardized features."""

    def __init__(self, mean: Array, spread: Array, slope: Array) -> None:
        self._mean, self._spread, self._slope = mean, spread, slope

    def __call__(self, rows: Array32) -> Array:
        """Return (N,) scores of features (N, D)."""
        return np.asarray((rows - self._mean) / self._spread @ self._slope)

"""Batches for the face parser; each follows from (seed, step) alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from thcli.core.options import ParseTrainOptions, TrainOptions
from thcli.core.types import Image
from thcli.evaluate.datasets.parse_pairs import list_pairs, load_pairs, load_train_pairs
from thcli.faces.parsing import CLASSES, class_number
from thcli.train.data.batches import Batch
from thcli.train.parse.augment import augment_pair

# Rare classes; times --rare, the value is added to the sampling weight of 1 of an image with one.
RARE = {"hat": 3.0, "eye_g": 2.0, "neck_l": 3.0, "ear_r": 0.7, "mouth": 0.3}
DEFAULT_JITTER = 0.1  # the --jitter at which `augment.change_lighting` has full strength


class ParseBatches:
    """Batches of pairs, of half the image size in the first part of the run.

    images: (B, S, S, 3) uint8. labels: (B, S, S) uint8.
    steps: number of pairs -> updates of the whole run.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        model_options: ParseTrainOptions,
        batch: int,
        steps: Callable[[int], int],
    ) -> None:
        self._options, self._model_options, self._batch = options, model_options, batch
        self.pairs = load_train_pairs(folder)
        self._test_pairs = load_pairs([pair for pair in list_pairs(folder) if pair.kept_out][:8])
        self._small_until = round(model_options.half * steps(len(self.pairs)))
        weights = np.ones(len(self.pairs))
        for name, extra in RARE.items():
            present = (self.pairs.labels == class_number(name)).any((1, 2))
            weights += model_options.rare * extra * present
        self._probabilities = weights / weights.sum()
        counts = [np.bincount(m.ravel(), minlength=len(CLASSES)) for m in self.pairs.labels]
        pixels = np.stack(counts).astype(np.float64)
        self.class_ratio = (self._probabilities @ pixels + 1) / (pixels.mean(0) + 1)
        """(19,) expected pixels of each class in a batch, relative to uniform sampling."""

    def __len__(self) -> int:
        """Return the number of training pairs."""
        return len(self.pairs)

    @property
    def fingerprint(self) -> str:
        return self.pairs.fingerprint()

    def batch(self, step: int) -> Batch:
        """Return the batch of an update, counted from 0."""
        small = step < self._small_until
        count, side = (
            (self._batch * self._model_options.more, self._options.size // 2)
            if small
            else (self._batch, self._options.size)
        )
        rng = np.random.default_rng([self._options.seed, step, 3])
        rows = rng.choice(len(self.pairs), count, p=self._probabilities)
        others = rng.integers(0, len(self.pairs), count)
        tint = self._options.jitter / DEFAULT_JITTER
        items = [
            augment_pair(
                self.pairs.images[i],
                self.pairs.labels[i],
                self.pairs.images[j],
                side,
                rng,
                self._options.flip,
                tint,
            )
            for i, j in zip(rows, others, strict=True)
        ]
        return _stack(items)

    def sample_batch(self) -> Batch:
        """Return the first test pairs, without augmentation."""
        size = (self._options.size, self._options.size)
        pairs = self._test_pairs if len(self._test_pairs) else self.pairs
        items = [
            (
                np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_AREA), np.uint8),
                np.asarray(cv2.resize(m, size, interpolation=cv2.INTER_NEAREST), np.uint8),
            )
            for p, m in zip(pairs.images[:8], pairs.labels[:8], strict=True)
        ]
        return _stack(items)

    def close(self) -> None:
        """Do nothing: all images are in memory."""


def _stack(items: list[tuple[Image, Image]]) -> Batch:
    images, labels = zip(*items, strict=True)
    return {
        "images": torch.from_numpy(np.stack(images)),
        "labels": torch.from_numpy(np.stack(labels)),
    }

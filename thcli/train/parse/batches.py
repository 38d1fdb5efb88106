"""Batches for the face parser: which pairs, at which size, changed how, follows from (seed, step) alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from thcli.core.options import ParseTrainOptions, TrainOptions
from thcli.core.types import Image
from thcli.evaluate.datasets.parse_pairs import pairs, read, train_shelf
from thcli.faces.parsing import CLASSES, number
from thcli.train.parse.augment import augmented

Batch = Mapping[str, Tensor]
# What few pictures have; added to a picture's weight of 1 where it has it, times --rare.
RARE = {"hat": 3.0, "eye_g": 2.0, "neck_l": 3.0, "ear_r": 0.7, "mouth": 0.3}
USUAL_JITTER = 0.1  # the --jitter at which the light changes as `parse_augment` says


class Labelled:
    """Batches with pictures (B, S, S, 3) uint8 and labels (B, S, S) uint8, S the half size first.

    steps: pairs in the set -> updates of the whole run.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        own: ParseTrainOptions,
        batch: int,
        steps: Callable[[int], int],
    ) -> None:
        self._options, self._own, self._batch = options, own, batch
        self.shelf = train_shelf(folder)
        self._shown = read([pair for pair in pairs(folder) if pair.kept_out][:8])
        self._small_until = round(own.half * steps(len(self.shelf)))
        weights = np.ones(len(self.shelf))
        for name, extra in RARE.items():
            weights += own.rare * extra * (self.shelf.labels == number(name)).any((1, 2))
        self._chances = weights / weights.sum()
        shares = np.stack(
            [np.bincount(m.ravel(), minlength=len(CLASSES)) for m in self.shelf.labels]
        ).astype(np.float64)
        self.oftener = (self._chances @ shares + 1) / (shares.mean(0) + 1)
        """(19,) how many times as many pixels of a class a batch has as the set has."""

    def __len__(self) -> int:
        """Pairs to learn from."""
        return len(self.shelf)

    @property
    def fingerprint(self) -> str:
        return self.shelf.fingerprint()

    def batch(self, step: int) -> Batch:
        """The batch of an update, counted from 0."""
        small = step < self._small_until
        count, side = (
            (self._batch * self._own.more, self._options.size // 2)
            if small
            else (self._batch, self._options.size)
        )
        draw = np.random.default_rng([self._options.seed, step, 3])
        numbers = draw.choice(len(self.shelf), count, p=self._chances)
        others = draw.integers(0, len(self.shelf), count)
        tint = self._options.jitter / USUAL_JITTER
        items = [
            augmented(
                self.shelf.pictures[i],
                self.shelf.labels[i],
                self.shelf.pictures[j],
                side,
                draw,
                self._options.flip,
                tint,
            )
            for i, j in zip(numbers, others, strict=True)
        ]
        return self._stacked(items)

    def fixed(self) -> Batch:
        """A few pairs of the test, as they are."""
        size = (self._options.size, self._options.size)
        shelf = self._shown if len(self._shown) else self.shelf
        items = [
            (
                np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_AREA), np.uint8),
                np.asarray(cv2.resize(m, size, interpolation=cv2.INTER_NEAREST), np.uint8),
            )
            for p, m in zip(shelf.pictures[:8], shelf.labels[:8], strict=True)
        ]
        return self._stacked(items)

    @staticmethod
    def _stacked(items: list[tuple[Image, Image]]) -> Batch:
        pictures, labels = zip(*items, strict=True)
        return {
            "pictures": torch.from_numpy(np.stack(pictures)),
            "labels": torch.from_numpy(np.stack(labels)),
        }

    def close(self) -> None:
        """There is nothing to close: all is in memory."""

"""Training of clip-s: for every picture and every text of a batch, whether the one is true of the other, which labels say exactly.

The loss is SigLIP's (Zhai et al. 2023, eq. 1), with the truth of each pair in place of "the text that came with the picture": two women
in a batch are both what "a woman" means.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from thcli.core.events import Listener
from thcli.core.options import LabelledTrainOptions, TrainOptions
from thcli.editors.clip.network import LENGTH, ClipSmall
from thcli.editors.clip.vocabulary import caption, holds, numbers_of
from thcli.editors.shared.celeba import CELEBA
from thcli.evaluate.datasets.labelled_images import Labelled, labelled
from thcli.train.core.task import Batch, Phase, Published, Terms
from thcli.train.labelled.faces import LabelledFaces
from thcli.train.labelled.judge import LabelledTask

NAMED = 0.5  # weight of the labels themselves, read off the picture's row by a layer that is thrown away: teaches it sooner
LEAST = 0.01  # share of pictures at which an attribute counts as no rarer


class Captioned(LabelledFaces):
    """Batches with texts (B, L), one written of each picture, and truth (B, B): 1 where a text is true of a picture, else 0."""

    def __init__(self, faces: Labelled, batch: int, seed: int, *, flip: bool = True) -> None:
        super().__init__(faces, batch, seed, flip=flip)
        self._rarity = np.maximum(faces.labels.mean(0), LEAST) ** -0.5

    def _items(self, numbers: list[int], step: int) -> Batch:
        said = [
            caption(
                self.faces.labels[number],
                np.random.default_rng([self._seed, step, place, 1]),
                self._rarity,
            )
            for place, number in enumerate(numbers)
        ]
        truth = holds([one.says for one in said], self.faces.labels[numbers])
        texts = torch.from_numpy(numbers_of([one.text for one in said]))
        return {
            **super()._items(numbers, step),
            "texts": texts,
            "truth": torch.from_numpy(truth).float(),
        }


class ClipTask(LabelledTask):
    """The two networks, and a layer that only training needs."""

    name = "clip"
    entry = "clip-s"
    phases = (Phase("net", ("net", "labels")),)
    published = Published(12, 1, 128, 2e-3)
    perceptual = "texts"

    def __init__(
        self, options: TrainOptions, own: LabelledTrainOptions | None, on: Listener
    ) -> None:
        super().__init__(options, own, on)
        self.net = ClipSmall(options.narrow)
        self.networks = {"net": self.net, "labels": nn.Linear(LENGTH, len(CELEBA))}

    def data(self, folder: Path, batch: int, on: Listener) -> Captioned:
        """The pictures of the persons meant, with texts. Raises MediaError for a folder without labels."""
        return Captioned(
            labelled(folder).only(self.digits), batch, self.options.seed, flip=self.options.flip
        )

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        seen = self.net.pictures(batch["pictures"].contiguous(memory_format=torch.channels_last))
        with torch.autocast(seen.device.type, enabled=False):
            odds = self.net.odds(seen, self.net.texts(batch["texts"]))
            pairs = functional.binary_cross_entropy_with_logits(odds, batch["truth"])
            read = self.networks["labels"](seen * self.net.log_scale.exp())
            named = functional.binary_cross_entropy_with_logits(read, batch["labels"])
        return {"pairs": pairs, "labels": NAMED * named}

"""Training of clip-s on pairs of images and texts whose truth follows from labels.

The loss is SigLIP's (Zhai et al. 2023, eq. 1) with the truth of every pair, instead of "the text
that belongs to the image": in a batch with two women, "a woman" is true of both.
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
from thcli.editors.clip.captions import make_caption, match_labels
from thcli.editors.clip.network import EMBEDDING_SIZE, ClipSmall
from thcli.editors.clip.vocabulary import tokenize
from thcli.editors.shared.celeba import CELEBA
from thcli.evaluate.datasets.labelled_images import LabelledImages, read_labelled_folder
from thcli.train.core.task import Hyperparameters, LossTerms, Phase
from thcli.train.data.batches import Batch
from thcli.train.labelled.faces import LabelledFaces
from thcli.train.labelled.judge import LabelledTask

# Weight of the auxiliary label loss, from a linear layer that is not exported: speeds up training.
LABEL_WEIGHT = 0.5
MIN_FREQUENCY = 0.01  # attributes with a smaller share of the images count as having this share


class CaptionedFaces(LabelledFaces):
    """Batches of labelled faces with texts.

    texts: (B, L) token numbers, one text written for each image.
    truth: (B, B), 1 where a text (column) is true of an image (row), else 0.
    """

    def __init__(self, faces: LabelledImages, batch: int, seed: int, *, flip: bool = True) -> None:
        super().__init__(faces, batch, seed, flip=flip)
        self._rarity = np.maximum(faces.labels.mean(0), MIN_FREQUENCY) ** -0.5

    def _items(self, rows: list[int], step: int) -> Batch:
        rngs = [np.random.default_rng([self._seed, step, i, 1]) for i in range(len(rows))]
        captions = [
            make_caption(self.faces.labels[row], rng, self._rarity)
            for row, rng in zip(rows, rngs, strict=True)
        ]
        truth = match_labels([one.label_values for one in captions], self.faces.labels[rows])
        texts = torch.from_numpy(tokenize([one.text for one in captions]))
        return {
            **super()._items(rows, step),
            "texts": texts,
            "truth": torch.from_numpy(truth).float(),
        }


class ClipTask(LabelledTask):
    """Training of the image and text networks, and of a linear layer that is not exported."""

    name = "clip"
    entry = "clip-s"
    phases = (Phase("net", ("net", "labels")),)
    hyperparameters = Hyperparameters(12, 1, 128, 2e-3)
    perceptual = "texts"

    def __init__(
        self, options: TrainOptions, model_options: LabelledTrainOptions | None, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.net = ClipSmall(options.narrow)
        self.networks = {"net": self.net, "labels": nn.Linear(EMBEDDING_SIZE, len(CELEBA))}

    def load_data(self, folder: Path, batch: int, on: Listener) -> CaptionedFaces:
        """Open the images of the selected persons, with texts.

        Raises:
            MediaError: The folder has no labels.
        """
        return CaptionedFaces(
            read_labelled_folder(folder).of_persons(self.digits),
            batch,
            self.options.seed,
            flip=self.options.flip,
        )

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        images = batch["images"].contiguous(memory_format=torch.channels_last)
        embeddings = self.net.encode_images(images)
        with torch.autocast(embeddings.device.type, enabled=False):
            odds = self.net.log_odds(embeddings, self.net.encode_texts(batch["texts"]))
            pairs = functional.binary_cross_entropy_with_logits(odds, batch["truth"])
            logits = self.networks["labels"](embeddings * self.net.log_scale.exp())
            labels = functional.binary_cross_entropy_with_logits(logits, batch["labels"])
        return {"pairs": pairs, "labels": LABEL_WEIGHT * labels}

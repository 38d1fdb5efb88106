"""Batches of labelled faces, disturbed as an editor's pictures and videos are: moved, blurred, lit otherwise, coded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from thcli.core.types import Image
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.face_cnn import SIDE, planes
from thcli.evaluate.datasets.labelled_images import Labelled, pixels
from thcli.train.core.task import Batch

KEPT = 72  # pixels of the side at which pictures are kept in memory
FIXED = 2**31 - 1  # stands for the step of what sample pictures show


class LabelledFaces:
    """Batches with pictures (B, 3, 64, 64) in 0..1 and labels (B, 40) in 0 and 1; every item follows from (seed, step, place) alone."""

    def __init__(self, faces: Labelled, batch: int, seed: int, *, flip: bool = True) -> None:
        self.faces, self._batch, self._seed, self._flip = faces, batch, seed, flip
        self._pixels = pixels(faces.paths, KEPT)
        self._order: tuple[int, npt.NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def fingerprint(self) -> str:
        return self.faces.fingerprint()

    def batch(self, step: int) -> Batch:
        """The batch of an update."""
        return self._items(
            [self._row_of(step * self._batch + place) for place in range(self._batch)], step
        )

    def fixed(self) -> Batch:
        """The same few items every time, for sample pictures."""
        return self._items([place % len(self) for place in range(16)], FIXED)

    def close(self) -> None:
        """There is nothing to close: all is in memory."""

    def _row_of(self, position: int) -> int:
        """Which picture stands at a place of the endless row of shuffled epochs."""
        epoch, place = divmod(position, len(self))
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self._seed, epoch]).permutation(len(self)))
        return int(self._order[1][place])

    def _items(self, numbers: list[int], step: int) -> Batch:
        made = [
            disturbed(
                self._pixels[number], np.random.default_rng([self._seed, step, place]), self._flip
            )
            for place, number in enumerate(numbers)
        ]
        return {
            "pictures": planes(np.stack(made)),
            "labels": torch.from_numpy(self.faces.labels[numbers]).float(),
        }


def disturbed(picture: npt.NDArray[Any], dice: np.random.Generator, flip: bool = True) -> Image:
    """A picture (S, S, 3) as (64, 64, 3): turned, scaled and shifted a little, perhaps mirrored, lit otherwise, blurred, coded."""
    side = len(picture)
    turn, grow = dice.normal(0, 0.06), SIDE / side * np.exp(dice.normal(0.03, 0.06))
    matrix = grow * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if flip and dice.random() < 0.5:
        matrix[:, 0] *= -1
    middle = np.full(2, (side - 1) / 2)
    shift = (SIDE - 1) / 2 - matrix @ middle + dice.normal(0, 1.2, 2)
    where = np.column_stack([matrix, shift])
    out: Any = cv2.warpAffine(
        picture, where, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if dice.random() < 0.7:
        levels = np.linspace(0, 1, 256) ** np.exp(dice.normal(0, 0.2))
        levels = ((levels - 0.5) * np.exp(dice.normal(0, 0.15)) + 0.5 + dice.normal(0, 0.05))[
            :, None
        ]
        cast = np.exp(dice.normal(0, 0.04, 3))
        out = cv2.LUT(out, np.clip(levels * cast * 255, 0, 255).astype(np.uint8)[None])
    kind = dice.random()
    if kind < 0.25:  # what a small diffusion autoencoder gives is soft
        out = cv2.GaussianBlur(out, (0, 0), dice.uniform(0.4, 1.3))
    elif kind < 0.35:
        out = np.clip(out + dice.normal(0, dice.uniform(2, 10), out.shape), 0, 255).astype(np.uint8)
    elif kind < 0.5:
        coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(dice.integers(25, 90))])[1]
        out = cv2.imdecode(
            coded, cv2.IMREAD_COLOR
        )  # the channels' order is kept, whatever it is called
    return np.asarray(out, np.uint8)


def drawn_labelled(folder: Path, count: int = 24) -> None:
    """For a trial: made-up faces with labels, of which dark glasses and a red mouth are drawn."""
    from thcli.train.identity.train import drawn_face

    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(count):
        picture = drawn_face(number % 6, number)
        labels = np.random.default_rng([7, number]).random(len(CELEBA)) < 0.3
        if labels[CELEBA.index("Eyeglasses")]:
            picture[46:58, 24:88] = 20
        if labels[CELEBA.index("Wearing_Lipstick")]:
            picture[82:90, 44:68] = 200, 20, 40
        (folder / "images" / f"{number}.png").write_bytes(
            cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
        )
        rows.append(f"{number}.png " + " ".join("1" if yes else "-1" for yes in labels))
    (folder / "attributes.txt").write_text(
        f"{count}\n{' '.join(CELEBA)}\n" + "\n".join(rows) + "\n", "utf-8"
    )
    (folder / "identities.txt").write_text("".join(f"{n}.png {n}\n" for n in range(count)), "utf-8")

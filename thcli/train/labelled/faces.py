"""Batches of labelled faces, augmented as an editor's images and videos look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from thcli.core.types import Image
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.face_cnn import SIDE, images_to_tensor
from thcli.evaluate.datasets.labelled_images import LabelledImages, load_images
from thcli.train.core.epoch_order import EpochOrder
from thcli.train.data.batches import Batch

STORED_SIDE = 72  # pixels of a side of the images in memory
SAMPLE_STEP = 2**31 - 1  # step number of the sample batch


class LabelledFaces:
    """Batches of labelled faces; every item follows from (seed, step, index) alone.

    images: (B, 3, 64, 64) in [0, 1]. labels: (B, 40) in {0, 1}.
    """

    def __init__(self, faces: LabelledImages, batch: int, seed: int, *, flip: bool = True) -> None:
        self.faces, self._batch, self._seed, self._flip = faces, batch, seed, flip
        self._pixels = load_images(faces.paths, STORED_SIDE)
        self._order = EpochOrder(seed, len(faces))

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def fingerprint(self) -> str:
        return self.faces.fingerprint()

    def batch(self, step: int) -> Batch:
        """Return the batch of an update."""
        first = step * self._batch
        return self._items([self._order(first + i) for i in range(self._batch)], step)

    def sample_batch(self) -> Batch:
        """Return the fixed items of the sample sheets."""
        return self._items([i % len(self) for i in range(16)], SAMPLE_STEP)

    def close(self) -> None:
        """Do nothing: all images are in memory."""

    def _items(self, rows: list[int], step: int) -> Batch:
        images = [
            augment(self._pixels[row], np.random.default_rng([self._seed, step, i]), self._flip)
            for i, row in enumerate(rows)
        ]
        return {
            "images": images_to_tensor(np.stack(images)),
            "labels": torch.from_numpy(self.faces.labels[rows]).float(),
        }


def augment(image: npt.NDArray[Any], rng: np.random.Generator, flip: bool = True) -> Image:
    """Move, scale, mirror, relight, blur, add noise or compress an image at random.

    Args:
        image: (S, S, 3) uint8.
        rng: Source of the random numbers.
        flip: Mirror half of the images.

    Returns:
        (64, 64, 3) uint8.
    """
    side = len(image)
    angle, scale = rng.normal(0, 0.06), SIDE / side * np.exp(rng.normal(0.03, 0.06))
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if flip and rng.random() < 0.5:
        matrix[:, 0] *= -1
    centre = np.full(2, (side - 1) / 2)
    shift = (SIDE - 1) / 2 - matrix @ centre + rng.normal(0, 1.2, 2)
    affine = np.column_stack([matrix, shift])
    out: Any = cv2.warpAffine(
        image, affine, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if rng.random() < 0.7:
        levels = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.2))
        levels = (levels - 0.5) * np.exp(rng.normal(0, 0.15)) + 0.5 + rng.normal(0, 0.05)
        cast = np.exp(rng.normal(0, 0.04, 3))
        table = np.clip(levels[:, None] * cast * 255, 0, 255).astype(np.uint8)
        out = cv2.LUT(out, table[None])
    kind = rng.random()
    if kind < 0.25:  # the output of a small diffusion autoencoder is blurred
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.3))
    elif kind < 0.35:
        out = np.clip(out + rng.normal(0, rng.uniform(2, 10), out.shape), 0, 255).astype(np.uint8)
    elif kind < 0.5:
        coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])[1]
        out = cv2.imdecode(coded, cv2.IMREAD_COLOR)  # the order of the channels is unchanged
    return np.asarray(out, np.uint8)


def write_synthetic_labelled_faces(folder: Path, count: int = 24) -> None:
    """Write rendered faces with random labels; dark glasses and red lips are drawn as labelled."""
    from thcli.train.identity.train import render_synthetic_face

    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(count):
        image = render_synthetic_face(number % 6, number)
        labels = np.random.default_rng([7, number]).random(len(CELEBA)) < 0.3
        if labels[CELEBA.index("Eyeglasses")]:
            image[46:58, 24:88] = 20
        if labels[CELEBA.index("Wearing_Lipstick")]:
            image[82:90, 44:68] = 200, 20, 40
        coded = cv2.imencode(".png", image[..., ::-1])[1]
        (folder / "images" / f"{number}.png").write_bytes(coded.tobytes())
        rows.append(f"{number}.png " + " ".join("1" if yes else "-1" for yes in labels))
    (folder / "attributes.txt").write_text(
        f"{count}\n{' '.join(CELEBA)}\n" + "\n".join(rows) + "\n", "utf-8"
    )
    (folder / "identities.txt").write_text("".join(f"{n}.png {n}\n" for n in range(count)), "utf-8")

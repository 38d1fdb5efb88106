"""Aligned faces by person, augmented as crops of videos look: one folder per person with images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from thcli.core.types import Image
from thcli.evaluate.datasets.persons import PersonImage, read_face
from thcli.faces.identity.aligned_crop import SIZE
from thcli.faces.identity.network import reduce_crop
from thcli.train.core.epoch_order import EpochOrder
from thcli.train.data.batches import Batch
from thcli.train.identity.teacher import TeacherOutputs

Pixels = npt.NDArray[Any]
SAMPLE_STEP = 2**31 - 1  # step number of the sample batch


@dataclass(frozen=True, slots=True)
class AugmentationStage:
    """Augmentation of a part of the training.

    strength: of the augmentation, 1 as in bad videos. hints: with the teacher's feature maps, which
    fit only images that are nearly aligned.
    """

    strength: float = 1.0
    hints: bool = False


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Settings of `IdentityBatches`.

    batch: items per update. seed: of the random numbers. flip: mirror half of the images.
    threads: that read images, 0 for one per core.
    """

    batch: int
    seed: int
    flip: bool = True
    threads: int = 0


class IdentityBatches:
    """Batches of faces; every item follows from (seed, step, index) alone.

    images: (B, 3, 64, 64) in [0, 1]. person: (B,).
    lesson: (B, D) the teacher's vectors, where there is a teacher.
    hint_0, hint_1: (B, C, G, G) its feature maps, in a stage with hints.
    straight: (B,) 1 where the image is not mirrored; only these images have hints.
    """

    def __init__(
        self,
        rows: list[PersonImage],
        folder: Path,
        settings: BatchSettings,
        *,
        teacher_outputs: TeacherOutputs | None,
        stage: Callable[[int], AugmentationStage],
    ) -> None:
        """Open the dataset. stage: step -> augmentation."""
        self.rows, self.persons = rows, rows[-1].person + 1
        self._folder, self._settings = folder, settings
        self._teacher_outputs, self._stage = teacher_outputs, stage
        self._readers = ThreadPoolExecutor(
            settings.threads or os.cpu_count() or 1, thread_name_prefix="read-faces"
        )
        self._order = EpochOrder(settings.seed, len(rows))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def fingerprint(self) -> str:
        """Hash of the images' paths and sizes."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(
                f"{row.path.relative_to(self._folder)} {row.path.stat().st_size}\n".encode()
            )
        return digest.hexdigest()[:16]

    def close(self) -> None:
        self._readers.shutdown(wait=True, cancel_futures=True)

    def batch(self, step: int) -> Batch:
        """Return the batch of an update.

        Raises:
            MediaError: An image cannot be read.
        """
        first, count = step * self._settings.batch, self._settings.batch
        rows = [self._order(first + i) for i in range(count)]
        return self._items(rows, step, self._stage(step))

    def sample_batch(self) -> Batch:
        """Return the fixed items of the sample sheets."""
        return self._items(
            [i % len(self.rows) for i in range(12)], SAMPLE_STEP, AugmentationStage()
        )

    def _items(self, rows: list[int], step: int, stage: AugmentationStage) -> Batch:
        seed = self._settings.seed
        mirror_share = 0.0 if not self._settings.flip else 0.25 if stage.hints else 0.5

        def read(index: int) -> tuple[Image, bool]:
            rng = np.random.default_rng([seed, step, index])
            image = read_face(self.rows[rows[index]].path)
            mirrored = bool(rng.random() < mirror_share)
            if mirrored:
                image = np.asarray(cv2.flip(image, 1), np.uint8)
            return augment(image, rng, stage.strength), mirrored

        items = list(self._readers.map(read, range(len(rows))))
        pixels = np.stack([image for image, _ in items]).transpose(0, 3, 1, 2)
        batch = {
            "images": torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255,
            "person": torch.tensor([self.rows[row].person for row in rows]),
        }
        if self._teacher_outputs is not None:
            mirrored = np.array([flag for _, flag in items])
            vectors = self._teacher_outputs.vectors[rows, mirrored.astype(int)]
            batch["lesson"] = torch.from_numpy(vectors)
            if stage.hints:
                batch["straight"] = torch.from_numpy(~mirrored).float()
                for index, maps in enumerate(self._teacher_outputs.maps):
                    hints = np.stack([maps[row] for row in rows]).astype(np.float32)
                    batch[f"hint_{index}"] = torch.from_numpy(hints)
        return batch


def augment(image: Pixels, rng: np.random.Generator, strength: float = 1.0) -> Image:
    """Simulate a face crop of a video: misaligned, blurred, compressed, relit, partly covered.

    Args:
        image: Aligned face, (112, 112, 3) uint8.
        rng: Source of the random numbers.
        strength: 0..1; scales the misalignment and the probability of the other changes.

    Returns:
        (64, 64, 3) uint8.
    """
    angle, scale = rng.normal(0, 0.09 * strength), np.exp(rng.normal(0, 0.07 * strength))
    aspect = np.exp(rng.normal(0, 0.03 * strength))
    centre = (SIZE - 1) / 2
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.diag([scale * aspect, scale / aspect])
    shift = (
        np.array([centre, centre]) - matrix @ [centre, centre] + rng.normal(0, 2.5 * strength, 2)
    )
    out: Pixels = cv2.warpAffine(
        image,
        np.column_stack([matrix, shift]),
        (SIZE, SIZE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE if rng.random() < 0.7 else cv2.BORDER_CONSTANT,
    )
    if rng.random() < 0.2 * strength:
        out = cover_patch(out, rng)
    if rng.random() < 0.8 * strength:
        out = change_lighting(out, rng)
    kind = rng.random() / max(strength, 1e-6)
    if kind < 0.15:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 2.2))
    elif kind < 0.35:
        side = int(rng.integers(24, 88))
        small = cv2.resize(out, (side, side), interpolation=cv2.INTER_AREA)
        out = cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    out = reduce_crop(out)
    if rng.random() < 0.25 * strength:
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))])
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))  # channel order is unchanged
    return np.asarray(out, np.uint8)


def change_lighting(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Change brightness, contrast, gamma and colour; some images get side light, noise or grey."""
    levels = np.linspace(0, 1, 256, dtype=np.float32) ** np.exp(rng.normal(0, 0.25))
    levels = (levels - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.08)
    grey = rng.random() < 0.12
    if grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    cast = np.ones(3) if grey else np.exp(rng.normal(0, 0.06, 3))
    table = np.clip(levels[:, None] * cast * 255, 0, 255).astype(np.uint8)
    out = cv2.LUT(image, table[None])
    side_light, noisy = rng.random() < 0.25, rng.random() < 0.15
    if not (side_light or noisy):
        return np.asarray(out, np.uint8)
    x = out.astype(np.float32)
    if side_light:
        angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.7)
        across = np.linspace(-1, 1, SIZE, dtype=np.float32)
        slope = across[None] * np.cos(angle) + across[:, None] * np.sin(angle)
        x = x * (1 + np.float32(strength) * slope.astype(np.float32))[..., None]
    if noisy:
        x = x + rng.standard_normal(x.shape, np.float32) * np.float32(rng.uniform(2.5, 15))
    return np.asarray(np.clip(x, 0, 255), np.uint8)


def cover_patch(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Cover a random patch of at most half a side with one colour or another part of the image."""
    width, height = (int(v) for v in rng.integers(16, SIZE // 2, 2))
    x, y = int(rng.integers(0, SIZE - width)), int(rng.integers(0, SIZE - height))
    out = image.copy()
    if rng.random() < 0.5:
        out[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    else:
        u, v = int(rng.integers(0, SIZE - width)), int(rng.integers(0, SIZE - height))
        out[y : y + height, x : x + width] = image[v : v + height, u : u + width]
    return out

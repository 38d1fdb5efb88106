"""Aligned faces by person, disturbed as video crops are: a folder for each person, pictures in it."""

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
from thcli.evaluate.datasets.persons import Person, read_face
from thcli.faces.identity.aligned import SIZE
from thcli.faces.identity.network import seen
from thcli.train.core.task import Batch
from thcli.train.identity.teacher import Lessons

Pixels = npt.NDArray[Any]
FIXED = 2**31 - 1  # stands for the step of what sample pictures show


@dataclass(frozen=True, slots=True)
class Stage:
    """How faces are shown for a part of the training. strength: of what disturbs them, 1 as in bad videos.  hints: with the teacher's
    inner maps, which fit only what is nearly where it was."""

    strength: float = 1.0
    hints: bool = False


class Faces:
    """Batches of faces; every item follows from (seed, step, place) alone.

    A batch holds pictures (B, 3, 64, 64) in 0..1 and person (B,); where there is a teacher lesson (B, D), and in a stage with hints
    hint_0, hint_1 (B, C, G, G) with straight (B,), 1 where the picture is not mirrored: only these have hints.  stage: step -> Stage.
    """

    def __init__(
        self,
        rows: list[Person],
        folder: Path,
        batch: int,
        seed: int,
        *,
        taught: Lessons | None,
        stage: Callable[[int], Stage],
        flip: bool = True,
        threads: int = 0,
    ) -> None:
        self.rows, self.persons = rows, rows[-1].person + 1
        self._folder, self._batch, self._seed, self._flip = folder, batch, seed, flip
        self._taught, self._stage = taught, stage
        self._readers = ThreadPoolExecutor(
            threads or os.cpu_count() or 1, thread_name_prefix="read-faces"
        )
        self._order: tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = (
            -1,
            np.zeros(0, np.int64),
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def fingerprint(self) -> str:
        """Changes when pictures are added, removed or replaced."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(
                f"{row.path.relative_to(self._folder)} {row.path.stat().st_size}\n".encode()
            )
        return digest.hexdigest()[:16]

    def close(self) -> None:
        self._readers.shutdown(wait=True, cancel_futures=True)

    def batch(self, step: int) -> Batch:
        """The batch of an update. Raises MediaError for a picture that cannot be read."""
        return self._items(
            [self._row_of(step * self._batch + i) for i in range(self._batch)],
            step,
            self._stage(step),
        )

    def fixed(self) -> Batch:
        """The same few items every time, for sample pictures."""
        return self._items([i % len(self.rows) for i in range(12)], FIXED, Stage())

    def _row_of(self, position: int) -> int:
        """Which picture stands at a place of the endless row of shuffled epochs."""
        epoch, place = divmod(position, len(self.rows))
        if self._order[0] != epoch:
            self._order = (
                epoch,
                np.random.default_rng([self._seed, epoch]).permutation(len(self.rows)),
            )
        return int(self._order[1][place])

    def _items(self, numbers: list[int], step: int, stage: Stage) -> Batch:
        mirrors = 0.0 if not self._flip else 0.25 if stage.hints else 0.5

        def one(place: int) -> tuple[Image, bool]:
            dice = np.random.default_rng([self._seed, step, place])
            picture = read_face(self.rows[numbers[place]].path)
            mirrored = bool(dice.random() < mirrors)
            return disturbed(
                cv2.flip(picture, 1) if mirrored else picture, dice, stage.strength
            ), mirrored

        made = list(self._readers.map(one, range(len(numbers))))
        pixels = np.stack([picture for picture, _ in made]).transpose(0, 3, 1, 2)
        batch = {
            "pictures": torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255,
            "person": torch.tensor([self.rows[n].person for n in numbers]),
        }
        if self._taught is not None:
            mirrored = np.array([turned for _, turned in made])
            batch["lesson"] = torch.from_numpy(self._taught.vectors[numbers, mirrored.astype(int)])
            if stage.hints:
                batch["straight"] = torch.from_numpy(~mirrored).float()
                for place, maps in enumerate(self._taught.maps):
                    batch[f"hint_{place}"] = torch.from_numpy(
                        np.stack([maps[n] for n in numbers]).astype(np.float32)
                    )
        return batch


def disturbed(picture: Pixels, dice: np.random.Generator, strength: float = 1.0) -> Image:
    """A face as a video might show it: badly aligned, blurred, coded, lit otherwise, partly covered; (64, 64, 3).

    strength: 0..1, how far it is moved, and how often the rest happens.
    """
    turn, grow = dice.normal(0, 0.09 * strength), np.exp(dice.normal(0, 0.07 * strength))
    squeeze = np.exp(dice.normal(0, 0.03 * strength))
    middle = (SIZE - 1) / 2
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag(
        [grow * squeeze, grow / squeeze]
    )
    shift = (
        np.array([middle, middle]) - matrix @ [middle, middle] + dice.normal(0, 2.5 * strength, 2)
    )
    out: Pixels = cv2.warpAffine(
        picture,
        np.column_stack([matrix, shift]),
        (SIZE, SIZE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE if dice.random() < 0.7 else cv2.BORDER_CONSTANT,
    )
    if dice.random() < 0.2 * strength:
        out = covered(out, dice)
    if dice.random() < 0.8 * strength:
        out = lit(out, dice)
    kind = dice.random() / max(strength, 1e-6)
    if kind < 0.15:
        out = cv2.GaussianBlur(out, (0, 0), dice.uniform(0.5, 2.2))
    elif kind < 0.35:
        few = int(dice.integers(24, 88))
        out = cv2.resize(
            cv2.resize(out, (few, few), interpolation=cv2.INTER_AREA),
            (SIZE, SIZE),
            interpolation=cv2.INTER_LINEAR,
        )
    out = seen(out)
    if dice.random() < 0.25 * strength:
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(dice.integers(15, 80))])
        out = np.asarray(
            cv2.imdecode(coded, cv2.IMREAD_COLOR)
        )  # the channels' order is kept, whatever it is called
    return np.asarray(out, np.uint8)


def lit(picture: Pixels, dice: np.random.Generator) -> Pixels:
    """Brightness, contrast, gamma, colour cast, light from one side, grey, noise."""
    levels = np.linspace(0, 1, 256, dtype=np.float32) ** np.exp(dice.normal(0, 0.25))
    levels = (levels - 0.5) * np.exp(dice.normal(0, 0.2)) + 0.5 + dice.normal(0, 0.08)
    grey = dice.random() < 0.12
    if grey:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    cast = np.ones(3) if grey else np.exp(dice.normal(0, 0.06, 3))
    table = np.clip(levels[:, None] * cast * 255, 0, 255).astype(np.uint8)
    out = cv2.LUT(picture, table[None])
    sided, noisy = dice.random() < 0.25, dice.random() < 0.15
    if not (sided or noisy):
        return np.asarray(out, np.uint8)
    x = out.astype(np.float32)
    if sided:
        angle, strength = dice.uniform(0, 2 * np.pi), dice.uniform(0.2, 0.7)
        across = np.linspace(-1, 1, SIZE, dtype=np.float32)
        slope = across[None] * np.cos(angle) + across[:, None] * np.sin(angle)
        x = x * (1 + np.float32(strength) * slope.astype(np.float32))[..., None]
    if noisy:
        x = x + dice.standard_normal(x.shape, np.float32) * np.float32(dice.uniform(2.5, 15))
    return np.asarray(np.clip(x, 0, 255), np.uint8)


def covered(picture: Pixels, dice: np.random.Generator) -> Pixels:
    """A patch of one colour, or of another part of the picture, over up to half of a side."""
    width, height = (int(v) for v in dice.integers(16, SIZE // 2, 2))
    x, y = int(dice.integers(0, SIZE - width)), int(dice.integers(0, SIZE - height))
    out = picture.copy()
    if dice.random() < 0.5:
        out[y : y + height, x : x + width] = dice.integers(0, 256, 3)
    else:
        u, v = int(dice.integers(0, SIZE - width)), int(dice.integers(0, SIZE - height))
        out[y : y + height, x : x + width] = picture[v : v + height, u : u + width]
    return out

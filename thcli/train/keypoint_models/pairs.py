"""Frames of one clip that belong together: what the reenactment models learn from. Item and frames follow from (seed, step) alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from thcli.core.events import Listener, Warned, silent
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.options import TrainOptions
from thcli.core.types import Array, Array32
from thcli.motion.file import MotionFile
from thcli.train.data.dataset import Piece, fingerprint, pieces
from thcli.train.data.frames import Shelf, squared

Batch = Mapping[str, Tensor]
DEGREES = 180 / 3.14  # face vid2vid's own constant, see engines.facevid2vid.pose
FIXED = 2**31 - 1  # stands for the step of the items that sample pictures show


class Pairs:
    """Batches of `views` source frames and one driving frame of a clip.

    A batch holds sources (B, views, 3, H, W) and driving (B, 3, H, W) in 0..1, angles (B, 3) of the driving head (yaw, pitch, roll in
    degrees), known (B,) 1 where they are known, person (B,) a number for each origin.
    Source of the scheme and of the augmentations: first-order-model frames_dataset.py, augmentation.py at c027484.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        batch: int,
        *,
        views: int = 1,
        on: Listener = silent,
    ) -> None:
        self.pieces = pieces(folder, on)
        self._options, self._batch, self._views = options, batch, views
        self._own = threading.local()
        self._shelves: list[Shelf] = []
        self._readers = ThreadPoolExecutor(
            options.threads or os.cpu_count() or 1, thread_name_prefix="read-clips"
        )
        self._poses: dict[Path, Array32 | None] = {}
        self._order: tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = (
            -1,
            np.zeros(0, np.int64),
        )
        if not any(piece.motion for piece in self.pieces):
            on(
                Warned(
                    f"{folder} has no motion files beside its clips: no head pose is known. `thcli prepare` writes them."
                )
            )

    def __len__(self) -> int:
        """Clips in the set."""
        return len(self.pieces)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.pieces)

    def close(self) -> None:
        """Ends the reading threads and closes the clips."""
        self._readers.shutdown(wait=True, cancel_futures=True)
        for shelf in self._shelves:
            shelf.close()

    def batch(self, step: int) -> Batch:
        """The batch of an update, counted from 0. Raises MediaError for a clip that cannot be read."""
        numbers = [self._clip_of(step * self._batch + i) for i in range(self._batch)]
        return self._items(numbers, step, augment=True)

    def fixed(self, most: int = 6) -> Batch:
        """The same few items every time, as they are, for sample pictures."""
        count = max(1, min(most, len(self.pieces) * 3))
        return self._items([i % len(self.pieces) for i in range(count)], FIXED, augment=False)

    def _items(self, numbers: list[int], step: int, *, augment: bool) -> Batch:
        """The items of these clips, read by several threads; each depends on its own place alone."""

        def one(place: int) -> dict[str, Tensor]:
            return self._item(numbers[place], (step, place), augment=augment)

        items = list(self._readers.map(one, range(len(numbers))))
        return {name: torch.stack([item[name] for item in items]) for name in items[0]}

    def _shelf(self) -> Shelf:
        """This thread's open clips."""
        if not hasattr(self._own, "shelf"):
            self._own.shelf = Shelf()
            self._shelves.append(self._own.shelf)
        shelf: Shelf = self._own.shelf
        return shelf

    def _clip_of(self, position: int) -> int:
        """Every clip once an epoch, in an order of its own."""
        epoch, place = divmod(position, len(self.pieces))
        if self._order[0] != epoch:
            self._order = (
                epoch,
                np.random.default_rng([self._options.seed, epoch]).permutation(len(self.pieces)),
            )
        return int(self._order[1][place])

    def _item(self, number: int, at: tuple[int, int], *, augment: bool) -> dict[str, Tensor]:
        draw = np.random.default_rng([self._options.seed, *at, 1])
        piece = self.pieces[number]
        clip = self._shelf().clip(piece.path)
        wanted = self._views + 1
        chosen = draw.choice(len(clip), wanted, replace=len(clip) < wanted)
        frames = [squared(clip.frame(int(i)), self._options.size) for i in chosen]
        angles = self._angles(piece, int(chosen[-1]), len(clip))
        if augment:
            frames = _tinted(frames, draw, self._options.jitter)
            if self._options.flip and draw.random() < 0.5:
                frames = [frame[:, ::-1] for frame in frames]
                angles = None if angles is None else angles * np.array([-1, 1, -1], np.float32)
        stack = torch.from_numpy(np.ascontiguousarray(np.stack(frames).transpose(0, 3, 1, 2)))
        pose = np.zeros(3, np.float32) if angles is None else angles
        return {
            "sources": stack[:-1],
            "driving": stack[-1],
            "angles": torch.from_numpy(pose),
            "known": torch.tensor(float(angles is not None)),
            "person": torch.tensor(piece.person),
        }

    def _angles(self, piece: Piece, frame: int, count: int) -> Array32 | None:
        """Yaw, pitch, roll of one frame's head, None when unknown."""
        if piece.path not in self._poses:
            self._poses[piece.path] = (
                None if piece.motion is None else angles_of(MotionFile(piece.motion), count)
            )
        rows = self._poses[piece.path]
        return None if rows is None or np.isnan(rows[frame, 0]) else rows[frame]


def angles_of(motion: MotionFile, count: int) -> Array32 | None:
    """(count, 3) yaw, pitch, roll in degrees of a clip's mesh motion, NaN where unseen; None when it is another clip's.

    So that `engines.facevid2vid.pose.rotation` of them is the mesh's own rotation in picture axes (x right, y down).
    """
    if motion.kind != "mesh" or len(motion) != count:
        return None
    rows = motion.window(0, count)
    angles = angles_from_matrix(
        matrix_from_rotvec(np.asarray(rows.arrays["pose"][:, :3], np.float64))
    )
    return np.where(rows.valid[:, None], angles, np.nan).astype(np.float32)


def angles_from_matrix(rotation: Array) -> Array:
    """(..., 3, 3) = Rx(pitch) Ry(yaw) Rz(roll) -> (..., 3) yaw, pitch, roll in face vid2vid's degrees."""
    yaw = np.arcsin(np.clip(rotation[..., 0, 2], -1, 1))
    pitch = np.arctan2(-rotation[..., 1, 2], rotation[..., 2, 2])
    roll = np.arctan2(-rotation[..., 0, 1], rotation[..., 0, 0])
    return np.stack([yaw, pitch, roll], -1) * DEGREES


def _tinted(frames: list[Array32], draw: np.random.Generator, amount: float) -> list[Array32]:
    """All frames with the same random brightness, contrast, saturation and hue, in random order; amount: how far each may go."""
    if not amount:
        return frames
    bright, contrast, saturation = draw.uniform(1 - amount, 1 + amount, 3)
    hue = float(draw.uniform(-amount, amount))
    for step in draw.permutation(4):
        if step == 0:
            frames = [frame * np.float32(bright) for frame in frames]
        elif step == 1:
            means = [float(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).mean()) for frame in frames]
            frames = [
                m + (frame - m) * np.float32(contrast)
                for frame, m in zip(frames, means, strict=True)
            ]
        elif step == 2:
            greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None] for frame in frames]
            frames = [
                g + (frame - g) * np.float32(saturation)
                for frame, g in zip(frames, greys, strict=True)
            ]
        else:
            frames = [_turned(frame, hue) for frame in frames]
        frames = [np.clip(frame, 0, 1).astype(np.float32) for frame in frames]
    return frames


def _turned(frame: Array32, hue: float) -> Array32:
    """The frame's hues moved by a part of the full circle."""
    cone = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
    cone[..., 0] = (cone[..., 0] + 360 * hue) % 360
    return np.asarray(cv2.cvtColor(cone, cv2.COLOR_HSV2RGB), np.float32)

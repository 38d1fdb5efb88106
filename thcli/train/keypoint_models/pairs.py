"""Source and driving frames of the same clip, for the reenactment models.

Items follow from (seed, step) alone.
"""

from __future__ import annotations

import os
import threading
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
from thcli.motion.file.reader import MotionFile
from thcli.train.core.epoch_order import EpochOrder
from thcli.train.data.batches import Batch
from thcli.train.data.dataset import ClipEntry, compute_fingerprint, list_clips
from thcli.train.data.frames import ClipCache, crop_square

DEGREES = 180 / 3.14  # face vid2vid's constant, see engines.facevid2vid.pose
SAMPLE_STEP = 2**31 - 1  # step number of the sample batch


class FramePairs:
    """Batches of `views` source frames and one driving frame of a clip.

    sources: (B, views, 3, H, W) in [0, 1]. driving: (B, 3, H, W) in [0, 1]. angles: (B, 3) yaw,
    pitch, roll of the driving head in degrees. known: (B,) 1 where the angles are known. person:
    (B,) number of the origin video.
    Source of the scheme and of the augmentations: first-order-model frames_dataset.py,
    augmentation.py at c027484.
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
        self.clips = list_clips(folder, on)
        self._options, self._batch, self._views = options, batch, views
        self._thread = threading.local()
        self._caches: list[ClipCache] = []
        self._readers = ThreadPoolExecutor(
            options.threads or os.cpu_count() or 1, thread_name_prefix="read-clips"
        )
        self._poses: dict[Path, Array32 | None] = {}
        self._order = EpochOrder(options.seed, len(self.clips))
        if not any(clip.motion for clip in self.clips):
            on(
                Warned(
                    f"{folder} has no motion files beside its clips, so the head pose is unknown. "
                    "`thcli prepare` writes them."
                )
            )

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    @property
    def fingerprint(self) -> str:
        return compute_fingerprint(self.clips)

    def close(self) -> None:
        """Stop the reading threads and close the clips."""
        self._readers.shutdown(wait=True, cancel_futures=True)
        for cache in self._caches:
            cache.close()

    def batch(self, step: int) -> Batch:
        """Return the batch of an update, counted from 0.

        Raises:
            MediaError: A clip cannot be read.
        """
        numbers = [self._order(step * self._batch + i) for i in range(self._batch)]
        return self._items(numbers, step, augment=True)

    def sample_batch(self, most: int = 6) -> Batch:
        """Return the fixed items of the sample sheets, without augmentation."""
        count = max(1, min(most, len(self.clips) * 3))
        return self._items([i % len(self.clips) for i in range(count)], SAMPLE_STEP, augment=False)

    def _items(self, numbers: list[int], step: int, *, augment: bool) -> Batch:
        """Read the items of these clips in several threads."""

        def read(index: int) -> dict[str, Tensor]:
            return self._item(numbers[index], (step, index), augment=augment)

        items = list(self._readers.map(read, range(len(numbers))))
        return {name: torch.stack([item[name] for item in items]) for name in items[0]}

    def _thread_cache(self) -> ClipCache:
        """Return this thread's open clips."""
        if not hasattr(self._thread, "cache"):
            self._thread.cache = ClipCache()
            self._caches.append(self._thread.cache)
        cache: ClipCache = self._thread.cache
        return cache

    def _item(self, number: int, key: tuple[int, int], *, augment: bool) -> dict[str, Tensor]:
        rng = np.random.default_rng([self._options.seed, *key, 1])
        clip = self.clips[number]
        reader = self._thread_cache().clip(clip.path)
        count = self._views + 1
        chosen = rng.choice(len(reader), count, replace=len(reader) < count)
        frames = [crop_square(reader.frame(int(i)), self._options.size) for i in chosen]
        angles = self._angles(clip, int(chosen[-1]), len(reader))
        if augment:
            frames = _jitter_colours(frames, rng, self._options.jitter)
            if self._options.flip and rng.random() < 0.5:
                frames = [frame[:, ::-1] for frame in frames]
                angles = None if angles is None else angles * np.array([-1, 1, -1], np.float32)
        stack = torch.from_numpy(np.ascontiguousarray(np.stack(frames).transpose(0, 3, 1, 2)))
        pose = np.zeros(3, np.float32) if angles is None else angles
        return {
            "sources": stack[:-1],
            "driving": stack[-1],
            "angles": torch.from_numpy(pose),
            "known": torch.tensor(float(angles is not None)),
            "person": torch.tensor(clip.person),
        }

    def _angles(self, clip: ClipEntry, frame: int, count: int) -> Array32 | None:
        """Return yaw, pitch, roll of one frame's head in degrees, None when unknown."""
        if clip.path not in self._poses:
            self._poses[clip.path] = (
                None if clip.motion is None else head_angles(MotionFile(clip.motion), count)
            )
        rows = self._poses[clip.path]
        return None if rows is None or np.isnan(rows[frame, 0]) else rows[frame]


def head_angles(motion: MotionFile, count: int) -> Array32 | None:
    """Return the head's (N, 3) yaw, pitch, roll in degrees from a clip's mesh motion.

    NaN where no face is tracked; None when the motion has another length or kind.
    `engines.facevid2vid.pose.rotation` of the angles is the mesh's rotation in image axes (x right,
    y down).
    """
    if motion.kind != "mesh" or len(motion) != count:
        return None
    rows = motion.window(0, count)
    angles = yaw_pitch_roll(matrix_from_rotvec(np.asarray(rows.arrays["pose"][:, :3], np.float64)))
    return np.where(rows.valid[:, None], angles, np.nan).astype(np.float32)


def yaw_pitch_roll(rotation: Array) -> Array:
    """Decompose (..., 3, 3) = Rx(pitch) Ry(yaw) Rz(roll) into (..., 3) yaw, pitch, roll.

    In face vid2vid's degrees.
    """
    yaw = np.arcsin(np.clip(rotation[..., 0, 2], -1, 1))
    pitch = np.arctan2(-rotation[..., 1, 2], rotation[..., 2, 2])
    roll = np.arctan2(-rotation[..., 0, 1], rotation[..., 0, 0])
    return np.stack([yaw, pitch, roll], -1) * DEGREES


def _jitter_colours(
    frames: list[Array32], rng: np.random.Generator, amount: float
) -> list[Array32]:
    """Change brightness, contrast, saturation and hue of all frames alike, in random order.

    amount: largest change of each.
    """
    if not amount:
        return frames
    bright, contrast, saturation = rng.uniform(1 - amount, 1 + amount, 3)
    hue = float(rng.uniform(-amount, amount))
    for step in rng.permutation(4):
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
            frames = [_shift_hue(frame, hue) for frame in frames]
        frames = [np.clip(frame, 0, 1).astype(np.float32) for frame in frames]
    return frames


def _shift_hue(frame: Array32, hue: float) -> Array32:
    """Shift the frame's hues by a fraction of the full circle."""
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + 360 * hue) % 360
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32)

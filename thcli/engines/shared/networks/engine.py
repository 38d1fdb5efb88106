"""Base class of engines that render a square crop with torch networks.

It handles images, batches, precision and motion arrays. A subclass defines four steps: from an
image to motion rows (`extract_motion`), from a source to its features (`encode`), from the driver's
rows to the source's (`make_transfer`), and from rows to images (`synthesize`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from thcli.core.batches import require_finite
from thcli.core.errors import NotFiniteError
from thcli.core.options import MotionOptions, RunOptions, Template
from thcli.core.protocols import MotionStore
from thcli.core.types import Array32, Face, Frame, Image, Motion
from thcli.engines.shared.motion_rows import LANDMARKS, RetargetedMotion, Rows, SmoothedMotion
from thcli.engines.shared.networks.compute import TorchBackend
from thcli.faces.landmarks.landmarks68 import landmarks68

CROP = 256


@dataclass(frozen=True)
class CropSource:
    """An encoded source.

    encoded: output of the engine's `encode`.  rows: the source's own motion, (1, ...) each.
    landmarks: (68, 2) pixels of the crop, or None.  size: (width, height) in pixels.
    """

    encoded: Any
    rows: Rows
    landmarks: Array32 | None
    size: tuple[int, int] = (CROP, CROP)


class TorchCropEngine(TorchBackend, ABC):
    """Engine protocol over torch networks. Stateless between calls."""

    motion_kind: str
    crop_size = CROP
    template: Template = "square"
    parallel = False  # torch has threads of its own

    @property
    def mask(self) -> Image | None:
        """Blend mask of a rendered crop; None: all of it but a soft rim."""
        return None

    def __init__(self, run: RunOptions, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Select the device. shapes: shape of one frame's entry in each motion array."""
        super().__init__(run)
        self.shapes = shapes

    @abstractmethod
    def extract_motion(self, images: Tensor) -> dict[str, Tensor]:
        """Extract the motion rows that the motion file keeps from images (B, 3, 256, 256)."""

    @abstractmethod
    def encode(self, image: Tensor, rows: dict[str, Tensor]) -> Any:
        """Encode a source (1, 3, 256, 256) with its motion rows, once."""

    @abstractmethod
    def make_transfer(
        self, source: CropSource, driving: SmoothedMotion, options: MotionOptions
    ) -> Callable[[Rows], Rows]:
        """Return the function from the driver's rows to the rows that `synthesize` takes."""

    @abstractmethod
    def synthesize(self, encoded: Any, rows: dict[str, Tensor]) -> Tensor:
        """Render rows of an encoded source to images (B, 3, 256, 256) in [0, 1]."""

    def encode_source(self, image: Image, face: Face) -> CropSource:
        """Encode a source crop.

        Args:
            image: (256, 256, 3) crop.
            face: in the crop's pixels; its landmarks help to find the best reference frame.

        Raises:
            NotFiniteError: its motion is NaN or infinite.
        """
        with self.inference():
            pixels = self.tensor([image])
            rows = self.extract_motion(pixels)
            encoded = self.encode(pixels, rows)
        own = rows_to_host(rows)
        return CropSource(encoded, own, landmarks_of(face))

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        """Extract the motion of driving frames.

        Args:
            frames: 256 x 256 crops.
            faces: the face in each crop, or None.

        Returns:
            Motion whose rows are zero and not valid for frames without a face.
        """
        valid = np.array([face is not None for face in faces], bool)
        arrays: dict[str, Array32] = {
            n: np.zeros((len(frames), *s), np.float32) for n, s in self.shapes.items()
        }
        seen = np.flatnonzero(valid)
        for start in range(0, len(seen), self.batch):
            chosen = seen[start : start + self.batch]
            with self.inference():
                pixels = self.tensor([frames[i].pixels for i in chosen])
                for name, rows in self.extract_motion(pixels).items():
                    arrays[name][chosen] = rows.float().cpu().numpy()
        points = [None if face is None else landmarks_of(face) for face in faces]
        # always there: the windows of a clip have the same arrays
        arrays[LANDMARKS] = np.stack(
            [np.zeros((68, 2), np.float32) if p is None else p for p in points]
        )
        pts = np.array([frame.pts for frame in frames], np.int64)
        return Motion(self.motion_kind, pts, frames[0].time_base, valid, arrays)

    def retarget(
        self, source: CropSource, motion: MotionStore, options: MotionOptions
    ) -> MotionStore:
        """Transfer a driving motion to a source.

        Raises:
            MediaError: the motion is another engine's.
            NoFaceError: the motion shows no face.
            UsageError: the engine cannot follow the options.
        """
        driving = SmoothedMotion(motion, self.motion_kind, options.smooth, causal=options.causal)
        transfer = self.make_transfer(source, driving, options)
        return RetargetedMotion(f"{self.motion_kind}-target", driving, transfer)

    def reads_driver(self, source: CropSource, motion: MotionStore) -> bool:
        """See `Engine`: motion is all of the driver."""
        return False

    def render(
        self, source: CropSource, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]:
        """Render a window of the motion that `retarget` gave.

        Returns:
            Images (256, 256, 3) uint8, rounded to nearest.
        """
        out: list[Image] = []
        for start in range(0, len(motion), self.batch):
            rows = {
                name: np.asarray(a[start : start + self.batch], np.float32)
                for name, a in motion.arrays.items()
            }
            with self.inference():
                images = self.synthesize(
                    source.encoded,
                    {n: torch.from_numpy(a).to(self.device) for n, a in rows.items()},
                )
                out += images_from_tensor(images)
        return out

    def tensor(self, images: Sequence[Any]) -> Tensor:
        """Convert (H, W, 3) uint8 or uint16 images to (B, 3, 256, 256) float32 in [0, 1] on the
        device.
        """
        scaled = [to_unit_image(image) for image in images]
        return torch.from_numpy(np.stack(scaled)).to(self.device).permute(0, 3, 1, 2).contiguous()


def to_unit_image(image: Any, side: int = CROP) -> Array32:
    """Resize an integer image of any size to (side, side, 3) float32 in [0, 1]."""
    unit = np.float32(1 / np.iinfo(image.dtype).max)
    pixels = image.astype(np.float32) * unit
    if pixels.shape[:2] != (side, side):
        shrinks = max(pixels.shape[:2]) > side
        pixels = cv2.resize(
            pixels, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
    return np.asarray(pixels, np.float32)


def rows_to_host(rows: Mapping[str, Tensor]) -> Rows:
    """Convert motion rows to float32 in numpy. Raises NotFiniteError for NaN or infinity."""
    found = {name: row.float().cpu().numpy() for name, row in rows.items()}
    require_finite(*found.values())
    return found


def images_from_tensor(images: Tensor) -> list[Image]:
    """Convert images (B, 3, H, W) in [0, 1] to (H, W, 3) uint8, rounded to nearest.

    Raises NotFiniteError for an image with NaN or infinity, which would become any colour.
    """
    if not bool(images.isfinite().all()):
        raise NotFiniteError
    eight = (images.float().clamp(0, 1) * 255).round_().to(torch.uint8)
    return list(eight.permute(0, 2, 3, 1).contiguous().cpu().numpy())


def landmarks_of(face: Face) -> Array32 | None:
    """Return a face's 68 landmarks (68, 2), from its mesh or its points; None without either."""
    if face.mesh is not None:
        return np.ascontiguousarray(landmarks68(face.mesh)[:, :2])
    if face.points is not None and len(face.points) == 68:
        return np.asarray(face.points[:, :2], np.float32)
    return None

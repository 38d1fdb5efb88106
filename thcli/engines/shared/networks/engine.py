"""What all engines that render a square crop with torch networks do alike: pictures in and out, batches, precision, motion arrays.

An engine of this family says how a picture becomes rows of numbers (`look`), what a source gives once (`encode`), how the
driver's rows become the source's (`carrier`), and how rows become pictures (`paint`).
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

from thcli.core.options import MotionOptions, RunOptions, Template
from thcli.core.protocols import MotionStore
from thcli.core.types import Array32, Face, Frame, Image, Motion
from thcli.engines.shared.motion_rows import LANDMARKS, Carried, Clip, Rows
from thcli.engines.shared.networks.compute import Computing
from thcli.faces.landmarks.landmarks68 import landmarks68

CROP = 256


@dataclass(frozen=True)
class CropSource:
    """An encoded source. encoded: the networks' own.  rows: the source's own motion, (1, ...) each.  landmarks: (68, 2) or None."""

    encoded: Any
    rows: Rows
    landmarks: Array32 | None
    size: tuple[int, int] = (CROP, CROP)


class CropEngine(Computing, ABC):
    """The Engine protocol over torch networks. Stateless between calls."""

    motion_kind: str
    crop_size = CROP
    template: Template = "square"
    uses_driving_frames = False
    parallel = False  # torch has threads of its own

    @property
    def mask(self) -> Image | None:
        """How much of a rendered crop shows where it is put back; None: all but a soft rim."""
        return None

    def __init__(self, run: RunOptions, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """shapes: of one frame's rows."""
        super().__init__(run)
        self.shapes = shapes

    @abstractmethod
    def look(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (B, 3, 256, 256) -> the rows that the motion file keeps."""

    @abstractmethod
    def encode(self, picture: Tensor, rows: dict[str, Tensor]) -> Any:
        """What a source (1, 3, 256, 256) with those rows gives once."""

    @abstractmethod
    def carrier(
        self, source: CropSource, clip: Clip, options: MotionOptions
    ) -> Callable[[Rows], Rows]:
        """The driver's rows -> what `paint` takes, for this source."""

    @abstractmethod
    def paint(self, encoded: Any, rows: dict[str, Tensor]) -> Tensor:
        """Pictures (B, 3, 256, 256) in [0, 1]."""

    def encode_source(self, picture: Image, face: Face) -> CropSource:
        """picture: the (256, 256, 3) crop.  face: in the crop's pixels; its landmarks help to find the best reference frame."""
        with self.computing():
            pixels = self.tensor([picture])
            rows = self.look(pixels)
            encoded = self.encode(pixels, rows)
        return CropSource(
            encoded, {name: row.cpu().numpy() for name, row in rows.items()}, points_of(face)
        )

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        """frames: 256 x 256 crops. Rows of frames without a face are zero and not valid."""
        valid = np.array([face is not None for face in faces], bool)
        arrays: dict[str, Array32] = {
            n: np.zeros((len(frames), *s), np.float32) for n, s in self.shapes.items()
        }
        seen = np.flatnonzero(valid)
        for start in range(0, len(seen), self.batch):
            chosen = seen[start : start + self.batch]
            with self.computing():
                for name, rows in self.look(
                    self.tensor([frames[i].pixels for i in chosen])
                ).items():
                    arrays[name][chosen] = rows.float().cpu().numpy()
        points = [None if face is None else points_of(face) for face in faces]
        known = np.array([p is not None for p in points])
        if valid.any() and known[valid].all():
            arrays[LANDMARKS] = np.stack(
                [np.zeros((68, 2), np.float32) if p is None else p for p in points]
            )
        pts = np.array([frame.pts for frame in frames], np.int64)
        return Motion(self.motion_kind, pts, frames[0].time_base, valid, arrays)

    def retarget(
        self, source: CropSource, motion: MotionStore, options: MotionOptions
    ) -> MotionStore:
        """Raises MediaError for another engine's motion, NoFaceError when it shows no face, UsageError for options it cannot follow."""
        clip = Clip(motion, self.motion_kind, options.smooth, causal=options.causal)
        return Carried(f"{self.motion_kind}-target", clip, self.carrier(source, clip, options))

    def render(
        self, source: CropSource, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]:
        """motion: a window of what `retarget` gave. (256, 256, 3) uint8 pictures, rounded to nearest."""
        out: list[Image] = []
        for start in range(0, len(motion), self.batch):
            rows = {
                name: np.asarray(a[start : start + self.batch], np.float32)
                for name, a in motion.arrays.items()
            }
            with self.computing():
                pictures = self.paint(
                    source.encoded,
                    {n: torch.from_numpy(a).to(self.device) for n, a in rows.items()},
                )
                out += images_from_tensor(pictures)
        return out

    def tensor(self, pictures: Sequence[Any]) -> Tensor:
        """(H, W, 3) uint8 or uint16 pictures -> (B, 3, 256, 256) float32 in [0, 1] on the device."""
        scaled = [as_unit(picture) for picture in pictures]
        return torch.from_numpy(np.stack(scaled)).to(self.device).permute(0, 3, 1, 2).contiguous()


def as_unit(picture: Any, side: int = CROP) -> Array32:
    """A picture of any size as (side, side, 3) float32 in [0, 1]."""
    unit = np.float32(1 / np.iinfo(picture.dtype).max)
    pixels = picture.astype(np.float32) * unit
    if pixels.shape[:2] != (side, side):
        shrinks = max(pixels.shape[:2]) > side
        pixels = cv2.resize(
            pixels, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
    return np.asarray(pixels, np.float32)


def images_from_tensor(pictures: Tensor) -> list[Image]:
    """Pictures (B, 3, H, W) in [0, 1] as (H, W, 3) uint8, rounded to nearest."""
    eight = (pictures.float().clamp(0, 1) * 255).round_().to(torch.uint8)
    return list(eight.permute(0, 2, 3, 1).contiguous().cpu().numpy())


def points_of(face: Face) -> Array32 | None:
    """The face's 68 landmarks (68, 2), from its mesh or its own; None when it has neither."""
    if face.mesh is not None:
        return np.ascontiguousarray(landmarks68(face.mesh)[:, :2])
    if face.points is not None and len(face.points) == 68:
        return np.asarray(face.points[:, :2], np.float32)
    return None

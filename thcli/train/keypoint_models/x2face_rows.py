"""Driving codes of X2Face for all frames of a dataset, with head poses or audio embeddings."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thcli.audio.read import start_time
from thcli.audio.speech import Recording
from thcli.core.device import resolve_device
from thcli.core.errors import MediaError
from thcli.core.events import Finished, Listener, Started, Step
from thcli.core.geometry import angles_from_matrix, matrix_from_rotvec
from thcli.core.options import TrainOptions
from thcli.core.types import Array32
from thcli.engines.x2face.engine import pose_radians
from thcli.engines.x2face.networks import SIZE, X2Face
from thcli.motion.file.reader import MotionFile
from thcli.train.core.epoch_order import EpochOrder
from thcli.train.data.dataset import HINT, ClipEntry, compute_fingerprint, list_clips
from thcli.train.data.frames import ClipReader, crop_square
from thcli.voices.x2face.embedding import embed_speech

FRAMES = 16  # encoded at once
SAMPLES = 6


@dataclass(frozen=True, slots=True)
class ClipRows:
    """Frames of a clip that can be used.

    codes: (T, C), not rectified.  inputs: (T, D), poses or embeddings.  image: (3, H, W), the first
    frame.
    """

    codes: Array32
    inputs: Array32
    image: Array32


class CodeRows(ABC):
    """Batches of frames: code (B, C) and input (B, D); samples also have an image (B, 3, H, W).

    Items follow from (seed, step) alone.
    """

    def __init__(
        self, folder: Path, options: TrainOptions, batch: int, model: X2Face, on: Listener
    ) -> None:
        """Encode every frame of a dataset once.

        Raises:
            MediaError: no clip has what `inputs_of` needs.
        """
        self.clips = list_clips(folder, on)
        self._offline = options.offline
        self._batch, self._device = batch, resolve_device(options.device)
        self._model = model.to(self._device).eval()
        began = time.perf_counter()
        on(Started("encode", len(self.clips), "clips"))
        rows = []
        for number, clip in enumerate(self.clips, 1):
            found = self._encode(clip)
            rows += [] if found is None else [found]
            on(Step("encode", number))
        on(Finished("encode", len(self.clips), time.perf_counter() - began))
        if not rows:
            raise MediaError(f"No clip of {folder} has {self.needs}.", HINT)
        self.codes = np.concatenate([row.codes for row in rows])
        self.inputs = np.concatenate([row.inputs for row in rows])
        self._samples = rows[:SAMPLES]
        self._order = EpochOrder(options.seed, len(self.codes))

    needs: ClassVar[str]  # of a clip, for messages

    @abstractmethod
    def inputs_of(self, clip: ClipEntry, reader: ClipReader) -> Array32 | None:
        """Return the inputs (T, D) of a clip's frames, NaN where unknown; None without any."""

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.codes)

    @property
    def fingerprint(self) -> str:
        return compute_fingerprint(self.clips)

    def close(self) -> None:
        """Drop the frames' codes; no file is open."""
        self.codes, self.inputs = self.codes[:0], self.inputs[:0]

    def batch(self, step: int) -> Mapping[str, Tensor]:
        """Return the batch of an update, counted from 0."""
        chosen = [self._order(step * self._batch + i) for i in range(self._batch)]
        return {
            "code": torch.from_numpy(self.codes[chosen]),
            "input": torch.from_numpy(self.inputs[chosen]),
        }

    def sample_batch(self) -> Mapping[str, Tensor]:
        """Return a frame of each of the first clips, half a second after the pictured one."""
        later = [min(12, len(row.codes) - 1) for row in self._samples]
        picked = list(zip(self._samples, later, strict=True))
        return {
            "code": torch.from_numpy(np.stack([row.codes[0] for row in self._samples])),
            "later": torch.from_numpy(np.stack([row.codes[i] for row, i in picked])),
            "input": torch.from_numpy(np.stack([row.inputs[i] for row, i in picked])),
            "image": torch.from_numpy(np.stack([row.image for row in self._samples])),
        }

    def _encode(self, clip: ClipEntry) -> ClipRows | None:
        reader = ClipReader(clip.path)
        try:
            inputs = self.inputs_of(clip, reader)
            if inputs is None:
                return None
            used = np.flatnonzero(np.isfinite(inputs).all(1))
            if not len(used):
                return None
            codes = np.concatenate(list(self._codes(reader, used)))
            image = np.ascontiguousarray(_square(reader, int(used[0])).transpose(2, 0, 1))
        finally:
            reader.close()
        return ClipRows(codes, inputs[used], image)

    def _codes(self, reader: ClipReader, frames: npt.NDArray[np.intp]) -> Iterator[Array32]:
        """Yield the codes of frames, in order."""
        for start in range(0, len(frames), FRAMES):
            images = [_square(reader, int(i)) for i in frames[start : start + FRAMES]]
            stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
            with torch.inference_mode():
                codes: Array32 = self._model.code(stack.to(self._device)).cpu().numpy()
            yield codes


def _square(reader: ClipReader, frame: int) -> Array32:
    return crop_square(reader.frame(frame), SIZE)


class PoseRows(CodeRows):
    """Codes with roll, pitch and yaw in radians."""

    needs = "a motion file beside it"

    def inputs_of(self, clip: ClipEntry, reader: ClipReader) -> Array32 | None:
        if clip.motion is None:
            return None
        motion = MotionFile(clip.motion)
        if motion.kind != "mesh" or len(motion) != len(reader):
            return None
        rows = motion.window(0, len(motion))
        pose = np.asarray(rows.arrays["pose"][:, :3], np.float64)
        degrees = angles_from_matrix(matrix_from_rotvec(pose)).astype(np.float32)
        return np.where(rows.valid[:, None], pose_radians(degrees), np.nan).astype(np.float32)


class SoundRows(CodeRows):
    """Codes with audio embeddings of the clip's sound, or of a WAV file beside it."""

    needs = "sound"

    def inputs_of(self, clip: ClipEntry, reader: ClipReader) -> Array32 | None:
        beside = clip.path.with_suffix(".wav")
        sound = beside if beside.is_file() else clip.path
        if sound == clip.path and not reader.info.audio:
            return None
        base = reader.info.time_base
        pts = reader.pts - round(start_time(sound) / base)
        rows = embed_speech(Recording(sound), pts, base, offline=self._offline)
        return np.concatenate([part for _, part in rows])

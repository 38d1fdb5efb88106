"""Recombination of faces: identity, motion and background of different files (Kim et al. 2023)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from thcli.core.protocols import Editor
from thcli.core.types import Array, Array32, Image
from thcli.pipeline.job.temp_storage import TemporaryFiles

_SAME_TIME = 1e-4  # seconds by which time stamps of equal frames may differ


class OtherFace(TemporaryFiles):
    """The face of another file as an editor encodes it. A context manager.

    Only frames that show the face are added, one at least.
    """

    def __init__(self, crop_size: int, *, keeps_crops: bool) -> None:
        """Start without frames.

        Args:
            crop_size: side of the crops.
            keeps_crops: write them to disk, for `crops`.
        """
        super().__init__("crops")
        self._keeps_crops = keeps_crops
        self._shape = crop_size, crop_size, 3
        self._seconds = array("d")
        self._landmarks: list[Array32] = []
        self._identity: Array | None = None

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._seconds)

    def add(self, seconds: float, crop: Image, identity: Array32, landmarks: Array32) -> None:
        """Add the next frame.

        Args:
            seconds: since the first frame of the file.
            crop: (crop_size, crop_size, 3).
            identity: (I,).
            landmarks: (L,).
        """
        self._seconds.append(seconds)
        self._landmarks.append(landmarks)
        row = identity.astype(np.float64)
        self._identity = row if self._identity is None else self._identity + row
        if self._keeps_crops:
            self._file.write(np.ascontiguousarray(crop, np.uint8).tobytes())

    @property
    def identity(self) -> Array32:
        """Mean identity of the frames, (I,)."""
        assert self._identity is not None  # there is a frame
        return np.asarray(self._identity / len(self), np.float32)

    def landmarks(self, seconds: Sequence[float]) -> Array32:
        """Return the landmarks (N, L) at N times since the first frame.

        They are those of the frame that is shown then; the first and the last one are held.
        """
        return np.stack([self._landmarks[row] for row in self._rows(seconds)])

    def crops(self, seconds: Sequence[float]) -> list[Image]:
        """Return the crops at N times since the first frame, chosen as for `landmarks`."""
        out, size = list[Image](), prod(self._shape)
        for row in self._rows(seconds):
            self._file.seek(int(row) * size)
            out.append(np.frombuffer(self._file.read(size), np.uint8).reshape(self._shape))
        return out

    def _rows(self, seconds: Sequence[float]) -> npt.NDArray[np.intp]:
        times = np.asarray(seconds, np.float64) + _SAME_TIME
        return np.maximum(np.searchsorted(np.asarray(self._seconds), times, "right") - 1, 0)


@dataclass(frozen=True, slots=True)
class Recombination:
    """Parts of a decoded face that are another file's; None for the clip's own."""

    identity: OtherFace | None = None
    motion: OtherFace | None = None
    background: OtherFace | None = None

    @property
    def whole_crop(self) -> bool:
        """The decoded crop replaces the clip's, because the outline of the face changes."""
        return self.motion is not None or self.background is not None

    def mean_identity(self, own: Array32) -> Array32:
        """Return the identity (I,) that is edited. own: of the clip."""
        return own if self.identity is None else self.identity.identity

    def decode(
        self,
        editor: Editor,
        crops: Sequence[Image],
        seconds: Sequence[float],
        encoded: tuple[Array32, Array32],
        identity: Array32,
        shift: Array32 | None = None,
    ) -> list[Image]:
        """Decode N crops with the parts of other files.

        Args:
            editor: the autoencoder.
            crops: of the clip.
            seconds: since the first frame of the clip.
            encoded: mean identity (I,) of the clip and landmarks (N, L) of the crops.
            identity: (I,), edited.
            shift: (L,) that an edit adds to the landmarks, None for none.
        """
        who, own = encoded
        landmarks = own if self.motion is None else self.motion.landmarks(seconds)
        if shift is not None:
            landmarks = landmarks + shift
        if self.background is not None:
            crops, who = self.background.crops(seconds), self.background.identity
            own = self.background.landmarks(seconds)
        moved, inverted_with = editor.move(crops, own, landmarks)
        return editor.decode(editor.invert(moved, who, inverted_with), identity, landmarks)


NOTHING_ELSE = Recombination()

"""On-disk logs of an edit's pass 1: smoothed regions (about 5 kB a frame) and features."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator

import numpy as np

from thcli.core.errors import NotFiniteError
from thcli.core.types import Array32
from thcli.faces.parsing.crops import Regions
from thcli.pipeline.editing.steps import FaceFeatures, RunningMean
from thcli.pipeline.job.temp_storage import TemporaryFiles

_LEVELS = 15  # probabilities are stored in 4 bits, two per byte
_FASTEST = 1  # zlib level


class RegionLog(TemporaryFiles):
    """Region probabilities of every frame, added and read in order. A context manager."""

    def __init__(self) -> None:
        super().__init__("regions")
        self._sizes = array("I")
        self._shape: tuple[int, ...] = ()

    def add(self, regions: Regions | None) -> None:
        """Add the regions of the next frame, None where the face was not detected."""
        if regions is None:
            self._sizes.append(0)
            return
        self._shape = regions.probabilities.shape
        levels = np.asarray(np.rint(regions.probabilities * _LEVELS), np.uint8).reshape(-1, 2)
        data = zlib.compress((levels[:, 0] << 4 | levels[:, 1]).tobytes(), _FASTEST)
        self._file.write(data)
        self._sizes.append(len(data))

    def read(self) -> Iterator[Array32 | None]:
        """Yield the probabilities of every frame, (19, h, w) float32 that sum to 1, or None."""
        position = 0
        for size in self._sizes:
            if not size:
                yield None
                continue
            self._file.seek(position)
            position += size
            packed = np.frombuffer(zlib.decompress(self._file.read(size)), np.uint8)
            levels = np.empty((len(packed), 2), np.uint8)
            np.right_shift(packed, 4, out=levels[:, 0])
            np.bitwise_and(packed, 15, out=levels[:, 1])
            own = levels.reshape(self._shape)
            yield own * (1 / np.maximum(own.sum(0, dtype=np.uint16), 1).astype(np.float32))


class FeatureLog(TemporaryFiles):
    """Features of the frames that show the face, and the mean of the shared ones.

    A context manager.
    """

    def __init__(self) -> None:
        super().__init__("numbers")
        self._mean = RunningMean()
        self._widths = (0, 0)
        self._places = array("q")  # row of each frame in the file, -1 where the step failed
        self._written = 0

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._places)

    def add(self, features: FaceFeatures | None) -> None:
        """Add the features of the next frame, None where the step failed."""
        self._places.append(-1 if features is None else self._written)
        if features is None:
            return
        self._widths = features.shared.shape[1], features.per_frame.shape[1]
        self._mean.add(np.concatenate([features.shared, features.averaged], 1))
        rows = np.concatenate([features.shared, features.per_frame], 1)
        self._file.write(rows.astype("<f4").tobytes())
        self._written += 1

    def repeat(self) -> None:
        """Add a frame that was not measured: it shares the last row, and the mean stays."""
        self._places.append(self._written - 1)

    @property
    def mean(self) -> Array32:
        """Mean of the shared and averaged features, (M + P,).

        Raises NotFiniteError when every frame failed.
        """
        mean = self._mean.value()
        if mean is None:
            raise NotFiniteError
        return mean

    def rows(self, first: int, count: int) -> FaceFeatures:
        """Read the kept features of `count` frames with the face, from number `first` on.

        Rows of frames where the step failed are NaN.
        """
        width = sum(self._widths)
        rows = np.full((count, width), np.nan, np.float32)
        for row, place in zip(rows, self._places[first : first + count], strict=True):
            if place >= 0:
                self._file.seek(place * width * 4)
                row[:] = np.frombuffer(self._file.read(width * 4), "<f4")
        shared, per_frame = rows[:, : self._widths[0]], rows[:, self._widths[0] :]
        return FaceFeatures(shared, per_frame, np.zeros((count, 0), np.float32))

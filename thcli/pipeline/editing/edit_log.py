"""On-disk logs of an edit's pass 1: smoothed regions (about 20 kB a frame) and features."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator

import numpy as np

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
            levels = np.stack([packed >> 4, packed & 15], -1).reshape(self._shape)
            planes = levels.astype(np.float32)
            yield planes / np.maximum(planes.sum(0), 1)


class FeatureLog(TemporaryFiles):
    """Features of the frames that show the face, and the mean of the shared ones.

    A context manager.
    """

    def __init__(self) -> None:
        super().__init__("numbers")
        self._mean = RunningMean()
        self._widths = (0, 0)

    def add(self, features: FaceFeatures) -> None:
        """Add the features of the next frames."""
        self._widths = features.shared.shape[1], features.per_frame.shape[1]
        self._mean.add(features.shared)
        rows = np.concatenate([features.shared, features.per_frame], 1)
        self._file.write(rows.astype("<f4").tobytes())

    @property
    def mean(self) -> Array32:
        """Mean of the shared features, (M,). Raises ValueError when the log is empty."""
        mean = self._mean.value()
        if mean is None:
            raise ValueError("an empty log has no mean")
        return mean

    def rows(self, first: int, count: int) -> FaceFeatures:
        """Read the features of `count` frames with the face, from number `first` on."""
        width = sum(self._widths)
        self._file.seek(first * width * 4)
        data = np.frombuffer(self._file.read(count * width * 4), "<f4")
        rows = data.reshape(-1, width).astype(np.float32)
        return FaceFeatures(rows[:, : self._widths[0]], rows[:, self._widths[0] :])

"""What pass 1 of an edit keeps of a face, on disk: its calmed regions (about 20 kB a frame) and its small numbers."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator

import numpy as np

from thcli.core.types import Array32
from thcli.faces.parsing.crops import Regions
from thcli.pipeline.editing.steps import LearnedFeatures, Mean
from thcli.pipeline.job.temp_storage import Spool

_LEVELS = 15  # in which probabilities are kept: two of them fill a byte
_FAST = 1


class RegionLog(Spool):
    """The regions of every frame, added in order and read in order. A context manager."""

    def __init__(self) -> None:
        super().__init__("regions")
        self._sizes = array("I")
        self._shape: tuple[int, ...] = ()

    def add(self, found: Regions | None) -> None:
        """The next frame's; None where the face was not seen."""
        if found is None:
            self._sizes.append(0)
            return
        self._shape = found.probabilities.shape
        levels = np.asarray(np.rint(found.probabilities * _LEVELS), np.uint8).reshape(-1, 2)
        data = zlib.compress((levels[:, 0] << 4 | levels[:, 1]).tobytes(), _FAST)
        self._file.write(data)
        self._sizes.append(len(data))

    def read(self) -> Iterator[Array32 | None]:
        """(19, h, w) float32 of every frame, which sum to 1."""
        at = 0
        for size in self._sizes:
            if not size:
                yield None
                continue
            self._file.seek(at)
            at += size
            packed = np.frombuffer(zlib.decompress(self._file.read(size)), np.uint8)
            levels = (
                np.stack([packed >> 4, packed & 15], -1).reshape(self._shape).astype(np.float32)
            )
            yield levels / np.maximum(levels.sum(0), 1)


class NumberLog(Spool):
    """Rows of numbers of the frames that show the face, and the mean of those that are shared. A context manager."""

    def __init__(self) -> None:
        super().__init__("numbers")
        self._mean = Mean()
        self._widths = (0, 0)

    def add(self, learnt: LearnedFeatures) -> None:
        """The next frames'."""
        self._widths = learnt.shared.shape[1], learnt.own.shape[1]
        self._mean.add(learnt.shared)
        self._file.write(np.concatenate([learnt.shared, learnt.own], 1).astype("<f4").tobytes())

    @property
    def mean(self) -> Array32:
        """(M,) of the shared ones. Raises ValueError when no frame was added."""
        found = self._mean.value()
        if found is None:
            raise ValueError("a face that is in no frame has no mean")
        return found

    def rows(self, first: int, count: int) -> LearnedFeatures:
        """Of the frames with the face, from number `first` on."""
        width = sum(self._widths)
        self._file.seek(first * width * 4)
        data = (
            np.frombuffer(self._file.read(count * width * 4), "<f4")
            .reshape(-1, width)
            .astype(np.float32)
        )
        return LearnedFeatures(data[:, : self._widths[0]], data[:, self._widths[0] :])

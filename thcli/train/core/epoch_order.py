"""The order in which a run visits the items of a dataset."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class EpochOrder:
    """Shuffled epochs over `count` items, reproducible from the seed."""

    def __init__(self, seed: int, count: int) -> None:
        self._seed, self._count = seed, count
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    def __call__(self, position: int) -> int:
        """Return the item at a position, counted over all epochs."""
        epoch, index = divmod(position, self._count)
        if self._epoch != epoch:
            self._epoch, self._order = epoch, self._shuffle(epoch)
        return int(self._order[index])

    def _shuffle(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng([self._seed, epoch]).permutation(self._count)

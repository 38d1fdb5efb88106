"""Batches of training items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Batch = Mapping[str, Tensor]
Item = Mapping[str, npt.NDArray[Any]]


def stack_batch(items: Sequence[Item]) -> Batch:
    """Stack items to a batch."""
    return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}


def join_batch(items: Sequence[Item]) -> Batch:
    """Concatenate items of several frames each to a batch, float32."""
    return {
        name: torch.from_numpy(np.concatenate([item[name] for item in items]).astype(np.float32))
        for name in items[0]
    }

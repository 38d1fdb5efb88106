"""What a text edit asks of an editor: a frame on its way out of noise, and one step from each picture of it with another identity."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from thcli.core.types import Face, Image

Mask = npt.NDArray[np.uint8]  # (S, S), 255 on the face


@dataclass(frozen=True, slots=True)
class Trail:
    """before: (S, 3, H, W) about in -1..1, what each step makes of the frame with its own identity.  start: (1, I) that identity.

    mask: (1, 1, H, W) in 0..1, the face.  after(identity): the same steps taken with another identity (1, I), each from where the frame's
    own trail was before it, nothing chained; differentiable in the identity.
    """

    start: Tensor
    before: Tensor
    mask: Tensor
    after: Walk


class Walk(Protocol):
    """identity (1, I) -> (S, 3, H, W)."""

    def __call__(self, identity: Tensor) -> Tensor: ...


@runtime_checkable
class Steerable(Protocol):
    """An editor whose identities words can move.

    crop_size: pixels.  fingerprint: of what turns identities into faces; a step that was learnt fits no other.  unit: the lengths of the
    parts of an identity that are each of unit length.  trail: of one crop (crop_size, crop_size, 3) with its face, in S steps; mask: the
    face's region, None for what the editor itself takes for it.
    """

    @property
    def crop_size(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def units(self) -> Sequence[int]: ...
    def trail(self, crop: Image, face: Face, mask: Mask | None, steps: int) -> Trail: ...


def fingerprint(layer: nn.Linear) -> str:
    """16 hex digits of a layer's weights, the same in float32 and float16."""
    digest = hashlib.sha256()
    for values in (layer.weight, layer.bias):
        digest.update(values.detach().cpu().half().numpy().tobytes())
    return digest.hexdigest()[:16]

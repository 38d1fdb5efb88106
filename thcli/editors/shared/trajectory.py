"""Interface between a text edit and an editor: the diffusion trajectory of one frame."""

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
class Trajectory:
    """Images along the denoising of one frame, and their re-rendering with another identity.

    identity: (1, I) of the frame.
    images: (S, 3, H, W) about in -1..1, the result of each denoising step with that identity.
    mask: (1, 1, H, W) in 0..1 of the face.
    render: takes the same steps with another identity (1, I), each from the frame's own latent
    before it; steps are not chained. Differentiable in the identity.
    """

    identity: Tensor
    images: Tensor
    mask: Tensor
    render: TrajectoryRenderer


class TrajectoryRenderer(Protocol):
    """Function of an identity (1, I) that returns images (S, 3, H, W)."""

    def __call__(self, identity: Tensor) -> Tensor: ...


@runtime_checkable
class SteerableEditor(Protocol):
    """Editor whose identities can be optimised towards a text.

    crop_size: pixels.
    fingerprint: of the layer that maps identities to faces; a step learnt with another is invalid.
    part_lengths: lengths of the parts of an identity, each of which has unit norm.
    trajectory: of one crop (crop_size, crop_size, 3) with its face, in S steps; mask: the face's
    region, None for the editor's own.
    """

    @property
    def crop_size(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def part_lengths(self) -> Sequence[int]: ...
    def trajectory(self, crop: Image, face: Face, mask: Mask | None, steps: int) -> Trajectory: ...


def hash_weights(layer: nn.Linear) -> str:
    """Return 16 hex digits of a layer's weights, the same in float32 and float16."""
    digest = hashlib.sha256()
    for values in (layer.weight, layer.bias):
        digest.update(values.detach().cpu().half().numpy().tobytes())
    return digest.hexdigest()[:16]

"""Batches of views of known heads: a source, a target from another camera, and their PNCCs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thcli.core.types import Array32
from thcli.faces.model3d.bfm.camera import cameras_from_pose
from thcli.train.core.epoch_order import EpochOrder
from thcli.train.data.batches import Batch
from thcli.train.real3d.heads import (
    KnownHead,
    draw_pncc,
    draw_view,
    expression_basis,
    random_expression,
)

SAMPLE_STEP = 2**31 - 1  # step number of the held-out views
SAMPLES = 4
YAW, PITCH, ROLL = np.radians([32.0, 20.0, 8.0])  # largest angles of a target's camera
SHIFT = (0.1, 0.1, 0.3)  # largest movement of a head, decimetres
FRONTAL = 0.25  # share of those angles that a source has at most
PERTURBATION = 0.01  # deviation of the noise on expressions


class HeadViews:
    """Batches of views; every item follows from (seed, step, index) alone.

    source, target: (B, 3, S, S) in [-1, 1].  camera: (B, 25) of the target.  mask, lips: (B, 1, S,
    S) of the target.  pncc: (B, 6, 3, S, S): neutral, source, target, target with noise, and two
    expressions around the target, whose mean it is.  step: (1,) the update.

    heads: the known heads.  batch: items of a batch.  size: side of the images.
    moving: whether source and target have different expressions.
    """

    def __init__(
        self, heads: Sequence[KnownHead], batch: int, size: int, seed: int, *, moving: bool
    ) -> None:
        self.heads, self._batch, self._size, self._seed = heads, batch, size, seed
        self._moving = moving
        self._order = EpochOrder(seed, len(heads))

    def __len__(self) -> int:
        return len(self.heads)

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for head in self.heads:
            digest.update(head.texture.tobytes() + head.shape.tobytes())
        return digest.hexdigest()[:16]

    def batch(self, step: int) -> Batch:
        """Return the batch of an update."""
        first = step * self._batch
        return self._items([self._order(first + i) for i in range(self._batch)], step)

    def sample_batch(self) -> Batch:
        """Return views that no update sees."""
        return self._items([i % len(self) for i in range(SAMPLES)], SAMPLE_STEP)

    def close(self) -> None:
        """Do nothing: all heads are in memory."""

    def _items(self, rows: list[int], step: int) -> Batch:
        items = [self._item(row, step, index) for index, row in enumerate(rows)]
        out = {name: torch.stack([item[name] for item in items]) for name in items[0]}
        return {**out, "step": torch.tensor([step])}

    def _item(self, row: int, step: int, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self._seed, step, index])
        head, size = self.heads[row], self._size
        own = random_expression(rng)
        target, change = (random_expression(rng) if self._moving else own), random_expression(rng)
        view = draw_view(head, own, *random_pose(rng, FRONTAL), size)
        euler, trans = random_pose(rng, 1.0)
        seen = draw_view(head, target, euler, trans, size)
        arrays = {
            "source": view.image,
            "target": seen.image,
            "mask": seen.mask,
            "lips": seen.lips,
            "camera": cameras_from_pose(euler[None], trans[None])[0],
        }
        if self._moving:
            noise = rng.normal(0, PERTURBATION, len(target))
            aside = 0.5 * (change - target)
            expressions = np.stack(
                [
                    np.zeros(len(expression_basis())),
                    own,
                    target,
                    target + noise,
                    target - aside,
                    target + aside,
                ]
            ).astype(np.float32)
            arrays["pncc"] = draw_pncc([head] * len(expressions), expressions, size)
        return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}


def random_pose(rng: np.random.Generator, share: float) -> tuple[Array32, Array32]:
    """Draw angles (3,) pitch, yaw, roll in radians, and a translation (3,) in decimetres."""
    euler = rng.uniform(-1, 1, 3) * np.array([PITCH, YAW, ROLL]) * share
    trans = rng.uniform(-1, 1, 3) * np.array(SHIFT) * share
    return euler.astype(np.float32), trans.astype(np.float32)

"""Batches of known portraits: a source as the engine prepares it, and a target."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from thcli.core.types import Array32, Image
from thcli.engines.real3d.pictures.segments import one_hot
from thcli.engines.real3d.pictures.source import SIDE, separate
from thcli.faces.model3d.bfm.camera import cameras_from_pose
from thcli.train.real3d.batches import FRONTAL, HeadViews, random_pose
from thcli.train.real3d.heads import KnownHead, draw_pncc, expression_basis, random_expression
from thcli.train.real3d.portraits import Portrait, draw_portrait, make_body


class PortraitViews(HeadViews):
    """Batches of portraits; every item follows from (seed, step, index) alone.

    source, head, torso, background: (B, 3, S, S) of the source in [-1, 1]; head, torso and
    background are separated as the engine does it.  segmap: (B, 6, S, S).  keypoints: (B, 68, 3)
    of the source.  target, target_head: (B, 3, S, S); target_keypoints: (B, 68, 3); camera: (B,
    25); lips: (B, 1, S, S).  pncc: (B, 3, 3, S, S): neutral, source, target.  step: (1,).

    heads, batch, size, seed: as of `HeadViews`.
    """

    def __init__(self, heads: Sequence[KnownHead], batch: int, size: int, seed: int) -> None:
        super().__init__(heads, batch, size, seed, moving=True)
        self._bodies = [make_body(head) for head in heads]

    def _item(self, row: int, step: int, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self._seed, step, index])
        head, body, size = self.heads[row], self._bodies[row], self._size
        own, other = random_expression(rng), random_expression(rng)
        source = draw_portrait(head, body, own, random_pose(rng, FRONTAL), SIDE)
        pose = random_pose(rng, 1.0)
        target = draw_portrait(head, body, other, pose, size)
        neutral = np.zeros(len(expression_basis()), np.float32)
        arrays = {
            **_source_arrays(source, size),
            "target": _scaled(target.image, size),
            "target_head": target.head.image,
            "target_keypoints": target.keypoints,
            "camera": cameras_from_pose(pose[0][None], pose[1][None])[0],
            "lips": target.head.lips,
            "pncc": draw_pncc([head] * 3, np.stack([neutral, own, other]), size),
        }
        return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}


def _source_arrays(source: Portrait, size: int) -> dict[str, Array32]:
    """Prepare a source as the engine does, in full size and then reduced."""
    pictures = separate(source.image, source.segments)
    segments = cv2.resize(pictures.segments, (size, size), interpolation=cv2.INTER_NEAREST)
    return {
        "source": _scaled(source.image, size),
        "head": _scaled(pictures.head, size),
        "torso": _scaled(pictures.torso, size),
        "background": _scaled(pictures.background, size),
        "segmap": one_hot(np.asarray(segments, np.uint8)),
        "keypoints": source.keypoints,
    }


def _scaled(image: Image, size: int) -> Array32:
    """Reduce (H, W, 3) uint8 to (3, size, size) in [-1, 1]."""
    reduced = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced.transpose(2, 0, 1) / np.float32(127.5) - 1, np.float32)

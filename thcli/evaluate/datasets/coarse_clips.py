"""Coarse videos of a true clip that no engine renders here, and choice of the clip's frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thcli import media
from thcli.core.geometry import rotvec_from_matrix
from thcli.core.imaging import to_uint8
from thcli.core.options import MotionOptions, ReadOptions
from thcli.core.types import Array, Face, Image
from thcli.evaluate.datasets.degraded_clips import LATE, degrade_clip
from thcli.motion.canonical import decompose

DEGRADED, WEAK = "degraded", "weak"
WEAK_MOTION = MotionOptions(expression=0.6, pose=0.9)
"""Motion of the mesh engine's frames that `weak_renderer` degrades."""
THIRDS = ("near", "middle", "far")
_SHAPE_WEIGHT = 10.0  # of a root mean square difference of shape, canonical units, beside radians


@dataclass(frozen=True, slots=True)
class ChosenFrames:
    """Frames of a clip by the distance of their face from the source's.

    counted, skipped: indices.
    """

    counted: frozenset[int]
    skipped: frozenset[int]


def degraded_renderer(image: Path, clip: Path, read: ReadOptions) -> Path:
    """Write the clip with the typical errors of a GAN beside the source image."""
    return degrade_clip(clip, image.with_name("coarse.mkv"), read=read)


def weak_renderer(
    render: Callable[[Path, Path, ReadOptions], Path],
) -> Callable[[Path, Path, ReadOptions], Path]:
    """Return a renderer whose frames are degraded as a GAN's, and one frame late.

    render: writes the frames, with WEAK_MOTION.
    """

    def degraded(image: Path, clip: Path, read: ReadOptions) -> Path:
        return degrade_clip(render(image, clip, read), image.with_name("coarse.mkv"), LATE)

    return degraded


def file_renderer(coarse: Path) -> Callable[[Path, Path, ReadOptions], Path]:
    """Return a renderer that gives a finished coarse video."""
    return lambda image, clip, read: coarse


def frames_at_distance(
    clip: Path,
    read: ReadOptions,
    tracker: Callable[[Image], Face | None],
    source_frame: int,
    third: str,
) -> ChosenFrames:
    """Choose a third of a clip's frames by head angle and shape relative to the source frame.

    Args:
        clip: video.
        read: part of it.
        tracker: of the face.
        source_frame: index of the source.
        third: one of THIRDS.
    """
    faces: list[tuple[int, Array]] = []
    with media.read(clip, read) as frames:
        for frame in frames:
            face = tracker(to_uint8(frame.pixels))
            if face is not None and face.mesh is not None:
                faces.append((frame.index, np.asarray(face.mesh, np.float64)))
    indices = np.array([index for index, _ in faces])
    posed = decompose(np.stack([mesh for _, mesh in faces]))
    at = int(np.argmin(np.abs(indices - source_frame)))
    turns = np.swapaxes(posed.rotation[at : at + 1], -1, -2) @ posed.rotation
    angles = np.array([np.linalg.norm(rotvec_from_matrix(turn)) for turn in turns])
    shape = np.sqrt(((posed.shape - posed.shape[at]) ** 2).sum(-1).mean(-1))
    order = indices[np.argsort(angles + _SHAPE_WEIGHT * shape, kind="stable")]
    parts = np.array_split(order, len(THIRDS))
    counted = frozenset(int(i) for i in parts[THIRDS.index(third)])
    return ChosenFrames(counted, frozenset(int(i) for i in indices) - counted)

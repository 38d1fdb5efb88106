"""Synthetic clips with known head motion.

An image is moved by similarities, or its head is turned by the mesh engine; noise is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from thcli.core.geometry import bounding_box, matrix_from_rotvec, transform_points
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Crop, Face, Image
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, transform_face
from thcli.motion.canonical import RIGID, decompose
from thcli.motion.render_target import RenderTarget
from thcli.motion.sliders import load_slider_shapes

AROUND = 3.2  # side of the visible part, relative to the face's
RATE = 25  # frames/s
NECK = 0.5  # distance of the axis of rotation behind the face, in face heights
_LEVEL = 255.0

Curve = Callable[[Array], Array]
"""Seconds (T,) -> values (T,)."""
SimilarityPath = Callable[[Array], Array]
"""Seconds (T,) -> similarities (T, 4): shift right and down in faces, logarithm of the zoom, turn
in radians (x towards y)."""


@dataclass(frozen=True, slots=True)
class MotionScene:
    """One kind of motion.

    about: short description.
    still: True when nothing moves.
    similar: path of the similarity.
    yaw: seconds -> turn of the head, degrees.
    jaw: seconds -> opening of the mouth, 0..1.
    """

    name: str
    about: str
    still: bool = False
    similarity: SimilarityPath | None = None
    yaw: Curve | None = None
    jaw: Curve | None = None

    @property
    def rests(self) -> bool:
        """Return True when the head does not move, whatever the mouth does."""
        return self.still or (self.similarity is None and self.yaw is None)


def _path(x: Array, y: Array, zoom: Array, turn: Array) -> Array:
    return np.stack([x, y, zoom, turn], -1)


def _rest(t: Array) -> Array:
    return np.zeros((len(t), 4))


def _drift(t: Array) -> Array:
    """Return the path of a person who shifts weight: 10 pixels of a 512-pixel crop to and fro."""
    return _path(
        0.04 * np.sin(2 * np.pi * 0.25 * t), 0.02 * np.cos(2 * np.pi * 0.2 * t), 0 * t, 0 * t
    )


def _sway(t: Array) -> Array:
    return _path(
        0.25 * np.sin(2 * np.pi * 0.5 * t),
        0.08 * np.sin(2 * np.pi * 0.7 * t),
        0.06 * np.sin(2 * np.pi * 0.3 * t),
        0.12 * np.sin(2 * np.pi * 0.4 * t),
    )


def _dash(t: Array) -> Array:
    """Return a path on which the head moves by half its size within 0.25 s, at 2 s."""
    go = smoothstep(2.0, 2.25, t)
    return _path(0.5 * go, -0.1 * go, 0.05 * go, 0.1 * go)


SCENES = (
    MotionScene("still", "a head at rest", True, similarity=_rest),
    MotionScene(
        "talk",
        "a head at rest that talks, 3 Hz",
        jaw=lambda t: 0.25 - 0.25 * np.cos(2 * np.pi * 3 * t),
    ),
    MotionScene("drift", "a tenth of a face to and fro, 0.25 Hz", similarity=_drift),
    MotionScene("sway", "half a face to and fro, 0.5 Hz", similarity=_sway),
    MotionScene("dash", "half a face within 0.25 s", similarity=_dash),
    MotionScene(
        "turn", "20 degrees to both sides, 0.5 Hz", yaw=lambda t: 20 * np.sin(2 * np.pi * 0.5 * t)
    ),
    MotionScene(
        "jerk", "25 degrees within 0.25 s", yaw=lambda t: 25 * smoothstep(2.0, 2.25, t) - 12.5
    ),
)


@dataclass(frozen=True, slots=True)
class AnimatedHead:
    """A head to animate.

    image: (H, W, 3) uint8.
    face: in the image.
    where: square around it that a clip shows.
    source: prepared source of the mesh engine.
    """

    image: Image
    face: Face
    where: Crop
    source: MeshSource

    @classmethod
    def of(cls, image: Image, face: Face, size: int) -> AnimatedHead:
        """Prepare a head; size: side of the clip, pixels."""
        where = align.square(face.box, size, AROUND)
        shown = np.asarray(crop(image, where, border="reflect"), np.uint8)
        source = prepare(shown, transform_face(face, where.crop_from_frame), None)
        return cls(image, face, where, source)


def render_clip(
    head: AnimatedHead, scene: MotionScene, frames: int, noise: float, seed: int
) -> Iterator[tuple[Image, Face]]:
    """Generate the images (size, size, 3) uint8 of a scene, each with its true face.

    Args:
        head: head to animate.
        scene: motion.
        frames: number of frames.
        noise: standard deviation of the sensor noise, levels of 255.
        seed: of the noise.
    """
    seconds = np.arange(frames) / RATE
    rng = np.random.default_rng([seed, len(scene.name)])
    for pixels, face in (
        _frames_by_similarity(head, scene.similarity(seconds))
        if scene.similarity
        else _frames_by_mesh(head, scene, seconds)
    ):
        grain = rng.normal(0, noise, pixels.shape).astype(np.float32)
        yield np.asarray(np.rint(np.clip(pixels + grain, 0, _LEVEL)), np.uint8), face


def _frames_by_similarity(head: AnimatedHead, path: Array) -> Iterator[tuple[Image, Face]]:
    """Generate frames by sampling the image at each similarity of the path."""
    size = head.where.size[0]
    middle = np.full(2, (size - 1) / 2)
    for x, y, zoom, turn in path:
        c, s = np.exp(zoom) * np.cos(turn), np.exp(zoom) * np.sin(turn)
        new_from_old = np.eye(3)
        new_from_old[:2, :2] = [[c, -s], [s, c]]
        shift = np.array([x, y]) * size / AROUND
        new_from_old[:2, 2] = middle + shift - new_from_old[:2, :2] @ middle
        where = Crop(new_from_old @ head.where.crop_from_frame, head.where.size)
        yield (
            np.asarray(crop(head.image, where, border="reflect"), np.uint8),
            transform_face(head.face, where.crop_from_frame),
        )


def _frames_by_mesh(
    head: AnimatedHead, scene: MotionScene, seconds: Array
) -> Iterator[tuple[Image, Face]]:
    """Generate frames by the mesh engine: the head turns about the neck at constant distance."""
    mesh = np.asarray(head.source.mesh, np.float64)
    face, posed = transform_face(head.face, head.where.crop_from_frame), decompose(mesh)
    pivot = mesh[RIGID].mean(0)
    pivot[2] += NECK * np.ptp(mesh[:, 1])
    opening = np.exp(posed.log_scale) * load_slider_shapes().jaw @ posed.rotation.T
    zeros = np.zeros(len(seconds))
    yaw = np.radians(scene.yaw(seconds)) if scene.yaw else zeros
    jaw = scene.jaw(seconds) if scene.jaw else zeros
    rotations = matrix_from_rotvec(np.stack([zeros, yaw, zeros], -1))
    for rotation, wide in zip(rotations, jaw, strict=True):
        points = (mesh + wide * opening - pivot) @ rotation.T + pivot
        image = render_frame(head.source, RenderTarget(points, np.zeros((2, 2)), np.ones(2)), None)
        yield image, replace(face, mesh=points.astype(np.float32), box=bounding_box(points))


def displacement(crop_from_frame: Array, truth: Crop) -> Array:
    """Return the error of a crop, (5, 2) pixels, at the true crop's corners and middle.

    Args:
        crop_from_frame: (3, 3) of the measured crop.
        truth: true crop.
    """
    width, height = truth.size
    right, bottom = width - 1, height - 1
    corners = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
    at = np.array([*corners, [right / 2, bottom / 2]])
    frame = transform_points(np.asarray(np.linalg.inv(truth.crop_from_frame)), at)
    return np.asarray(transform_points(crop_from_frame, frame) - at)

"""Clips whose heads move as it is known: a picture carried by similarities, or its head turned by the mesh engine, with noise on top."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from thcli.core.geometry import box_of, matrix_from_rotvec, transform
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Crop, Face, Image
from thcli.engines.mesh.engine import draw
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, moved
from thcli.motion.canonical import RIGID, decompose
from thcli.motion.render_target import Target
from thcli.motion.sliders import shapes

AROUND = 3.2  # side of what is shown, over the face's
RATE = 25
NECK = 0.5  # how far behind the face the axis lies about which heads turn, over the face's height
_LEVEL = 255.0

Curve = Callable[[Array], Array]
Path4 = Callable[[Array], Array]
"""Seconds (T,) -> (T, 4): shift right and down in faces, zoom as a logarithm, turn in radians (x towards y)."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One way to move. about: in a few words.  still: whether nothing moves.  similar: how the picture is carried.  yaw: seconds ->
    degrees that the head turns.  jaw: seconds -> how far the mouth opens, 0..1."""

    name: str
    about: str
    still: bool = False
    similar: Path4 | None = None
    yaw: Curve | None = None
    jaw: Curve | None = None

    @property
    def rests(self) -> bool:
        """Whether the head stays where it is, whatever the mouth does."""
        return self.still or (self.similar is None and self.yaw is None)


def _carried(x: Array, y: Array, zoom: Array, turn: Array) -> Array:
    return np.stack([x, y, zoom, turn], -1)


def _rest(t: Array) -> Array:
    return np.zeros((len(t), 4))


def _drift(t: Array) -> Array:
    """Somebody who shifts from foot to foot: ten pixels of a 512 crop to and fro."""
    return _carried(
        0.04 * np.sin(2 * np.pi * 0.25 * t), 0.02 * np.cos(2 * np.pi * 0.2 * t), 0 * t, 0 * t
    )


def _sway(t: Array) -> Array:
    return _carried(
        0.25 * np.sin(2 * np.pi * 0.5 * t),
        0.08 * np.sin(2 * np.pi * 0.7 * t),
        0.06 * np.sin(2 * np.pi * 0.3 * t),
        0.12 * np.sin(2 * np.pi * 0.4 * t),
    )


def _dash(t: Array) -> Array:
    """At two seconds the head moves by half its size within a quarter of a second."""
    go = smoothstep(2.0, 2.25, t)
    return _carried(0.5 * go, -0.1 * go, 0.05 * go, 0.1 * go)


SCENES = (
    Scene("still", "a head at rest", True, similar=_rest),
    Scene(
        "talk",
        "a head at rest that talks, 3 Hz",
        jaw=lambda t: 0.25 - 0.25 * np.cos(2 * np.pi * 3 * t),
    ),
    Scene("drift", "a tenth of a face to and fro, 0.25 Hz", similar=_drift),
    Scene("sway", "half a face to and fro, 0.5 Hz", similar=_sway),
    Scene("dash", "half a face within 0.25 s", similar=_dash),
    Scene(
        "turn", "20 degrees to both sides, 0.5 Hz", yaw=lambda t: 20 * np.sin(2 * np.pi * 0.5 * t)
    ),
    Scene("jerk", "25 degrees within 0.25 s", yaw=lambda t: 25 * smoothstep(2.0, 2.25, t) - 12.5),
)


@dataclass(frozen=True, slots=True)
class Head:
    """A head to move. picture: (H, W, 3) uint8.  face: in it.  where: the square around it that a clip shows.  source: the mesh engine's."""

    picture: Image
    face: Face
    where: Crop
    source: MeshSource

    @classmethod
    def of(cls, picture: Image, face: Face, size: int) -> Head:
        """size: pixels across the clip."""
        where = align.square(face.box, size, AROUND)
        shown, own = crop(picture, where, border="reflect"), moved(face, where.crop_from_frame)
        return cls(picture, face, where, prepare(np.asarray(shown, np.uint8), own, None))


def clip(
    head: Head, scene: Scene, frames: int, noise: float, seed: int
) -> Iterator[tuple[Image, Face]]:
    """The scene's pictures, (size, size, 3) uint8, each with its true face.

    noise: standard deviation of the sensor's, in levels of 255.
    """
    seconds = np.arange(frames) / RATE
    rng = np.random.default_rng([seed, len(scene.name)])
    for pixels, face in (
        _carry(head, scene.similar(seconds)) if scene.similar else _turned(head, scene, seconds)
    ):
        grain = rng.normal(0, noise, pixels.shape).astype(np.float32)
        yield np.asarray(np.rint(np.clip(pixels + grain, 0, _LEVEL)), np.uint8), face


def _carry(head: Head, path: Array) -> Iterator[tuple[Image, Face]]:
    """The picture itself, each frame sampled once from it."""
    size = head.where.size[0]
    middle = np.full(2, (size - 1) / 2)
    for x, y, zoom, turn in path:
        c, s = np.exp(zoom) * np.cos(turn), np.exp(zoom) * np.sin(turn)
        new_from_old = np.eye(3)
        new_from_old[:2, :2] = [[c, -s], [s, c]]
        new_from_old[:2, 2] = (
            middle + np.array([x, y]) * size / AROUND - new_from_old[:2, :2] @ middle
        )
        where = Crop(new_from_old @ head.where.crop_from_frame, head.where.size)
        yield (
            np.asarray(crop(head.picture, where, border="reflect"), np.uint8),
            moved(head.face, where.crop_from_frame),
        )


def _turned(head: Head, scene: Scene, seconds: Array) -> Iterator[tuple[Image, Face]]:
    """The mesh engine's pictures: the head turns about the neck, as far away as it was."""
    mesh = np.asarray(head.source.mesh, np.float64)
    here, posed = moved(head.face, head.where.crop_from_frame), decompose(mesh)
    pivot = mesh[RIGID].mean(0)
    pivot[2] += NECK * np.ptp(mesh[:, 1])
    opening = np.exp(posed.log_scale) * shapes().jaw @ posed.rotation.T
    nought = np.zeros(len(seconds))
    yaw = np.radians(scene.yaw(seconds)) if scene.yaw else nought
    jaw = scene.jaw(seconds) if scene.jaw else nought
    for turn, wide in zip(
        matrix_from_rotvec(np.stack([nought, yaw, nought], -1)), jaw, strict=True
    ):
        points = (mesh + wide * opening - pivot) @ turn.T + pivot
        picture = draw(head.source, Target(points, np.zeros((2, 2)), np.ones(2)), None)
        yield picture, replace(here, mesh=points.astype(np.float32), box=box_of(points))


def displacement(crop_from_frame: Array, truth: Crop) -> Array:
    """How far a crop is off: (5, 2) ways in its pixels of the true crop's corners and middle."""
    width, height = truth.size
    at = np.array(
        [
            [0, 0],
            [width - 1, 0],
            [width - 1, height - 1],
            [0, height - 1],
            [(width - 1) / 2, (height - 1) / 2],
        ]
    )
    frame = transform(np.asarray(np.linalg.inv(truth.crop_from_frame)), at)
    return np.asarray(transform(crop_from_frame, frame) - at)

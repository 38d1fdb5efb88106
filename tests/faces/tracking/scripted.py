"""Clips whose images encode their frame number, for fake networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.geometry import bounding_box
from thcli.core.types import Array32, Face
from thcli.faces.identity.encoder import AlignedCropEncoder
from thcli.faces.tracking.track import Tracker, TrackerOptions
from thcli.motion.canonical import neutral

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ScriptedFace:
    """One face in one scripted frame. person: also decides the face's shape and colour."""

    person: int
    x: float
    y: float = 150.0
    size: float = 60.0
    logit: float = 25.0

    def mesh(self) -> Array32:
        """Return a mesh; persons from 4 on have long heads, the others share one shape."""
        shape = neutral() * (1, 1.2 if self.person >= 4 else 1, 1)
        return np.asarray(self.size * shape + (self.x, self.y, 0), np.float32)

    def face(self) -> Face:
        mesh = self.mesh()
        return Face(
            bounding_box(mesh), 0.9, None, mesh, np.zeros((2, 5, 2), np.float32), self.logit
        )


class ByColour(AlignedCropEncoder):
    """Identity encoder by the colour of faces. encoded: number of crops so far."""

    name, same_person = "fake", 0.5

    def __init__(self) -> None:
        self.encoded = 0

    def encode_crops(self, crops: Sequence[Pixels]) -> Array32:
        self.encoded += len(crops)
        out = np.zeros((len(crops), 512), np.float32)
        out[
            np.arange(len(crops)), [round(float(crop[40:72, 40:72].mean()) / 25) for crop in crops]
        ] = 1
        return out


@dataclass
class ScriptedClip:
    """Fake detector and landmarker that find the faces of a script."""

    frames: Sequence[Sequence[ScriptedFace]]
    backdrops: Sequence[int] = ()
    painted: bool = False  # draw faces in a colour, for ByColour
    detected: int = 0
    refitted: list[Face] = field(default_factory=list)  # faces from which others were fitted
    now: list[ScriptedFace] = field(default_factory=list)

    def image(self, frame: int) -> Pixels:
        self.now = list(self.frames[frame])
        seed = self.backdrops[frame] if self.backdrops else 0
        rng = np.random.default_rng(seed)
        small = rng.uniform(0, 255, (6, 8, 3)).astype(np.float32)
        small *= rng.uniform(0.4, 1, 3).astype(np.float32)
        large = cv2.resize(small, (800, 300), interpolation=cv2.INTER_CUBIC)
        out = np.clip(large, 0, 255).astype(np.uint8)
        for face in self.now if self.painted else ():
            cv2.circle(
                out,
                (round(face.x), round(face.y)),
                round(0.5 * face.size),
                (25 * face.person,) * 3,
                -1,
            )
        return out

    def detect(self, image: Pixels) -> list[Face]:
        if image.shape[1] < 800:  # a crop around a doubtful box
            return []
        self.detected += 1
        return [Face(scripted.face().box, 0.9) for scripted in self.now]

    def fit(self, image: Pixels, face: Face) -> Face | None:
        middle = (face.box[:2] + face.box[2:]) / 2
        reach = float(max(face.box[2:] - face.box[:2]))
        for scripted in self.now:
            found = scripted.face()
            if np.abs((found.box[:2] + found.box[2:]) / 2 - middle).max() < 0.5 * reach:
                return replace(found, track=face.track)
        return None

    def refit(self, image: Pixels, face: Face) -> Face | None:
        self.refitted.append(face)
        return self.fit(image, face)

    def play(
        self, *, identity: ByColour | None = None, options: TrackerOptions | None = None
    ) -> list[list[int]]:
        """Track the clip; returns the track numbers in each frame, left to right."""
        tracker = Tracker(self, self, identity=identity, options=options)
        out = []
        for i in range(len(self.frames)):
            faces = tracker.update(self.image(i))
            assert all(f.mesh is not None for f in faces)
            out.append([f.track for f in sorted(faces, key=lambda f: f.box[0])])
        return out

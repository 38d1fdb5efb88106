"""A clip that the mesh engine takes as a source video, and parsers of its frames."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from tests.engines.mesh import synthetic_faces as faces
from tests.motion import synthetic_motion
from thcli.core.options import MotionOptions, ReenactOptions, RunOptions
from thcli.core.types import Crop, Face, Frame, Image, Motion
from thcli.engines.mesh import video
from thcli.engines.mesh.engine import MeshEngine, load
from thcli.faces.landmarks.topology import BROWS
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.observe import observe

COUNT = 10
LIPS_ONLY = MotionOptions(region="lips", smooth=0)


def mesh_engine() -> MeshEngine:
    return load(RunOptions(device="cpu"), ReenactOptions())


@cache
def own_clip() -> tuple[tuple[Frame, ...], MotionBuffer]:
    """Return frames of the astronaut, each shifted by a pixel, and their motion."""
    source = faces.astronaut(False)
    frames, found = [], []
    for i in range(COUNT):
        image = np.roll(source.image, i, 1)
        frames.append(Frame(image, i, synthetic_motion.TIME_BASE, i, 1))
        shifted = source.mesh.astype(np.float32) + np.array([i, 0, 0], np.float32)
        found.append(replace(source.face, mesh=shifted))
    return tuple(frames), MotionBuffer(observe(frames, found))


def images() -> list[Image]:
    return [np.asarray(frame.pixels, np.uint8) for frame in own_clip()[0]]


def transferred(engine: MeshEngine, options: MotionOptions = LIPS_ONLY) -> Motion:
    driving = MotionBuffer(synthetic_motion.driver(COUNT))
    return engine.transfer_motion(own_clip()[1], driving, options).window(0, COUNT)


def no_regions(image: Image, face: Face) -> Regions | None:
    return None


def regions_of(image: Image, name: str, rows: slice, probability: float) -> Regions:
    """Return regions that see one class in some rows of an image, and nothing else."""
    planes = np.zeros((len(CLASSES), *image.shape[:2]), np.float32)
    planes[class_number(name), rows] = probability
    return Regions(Crop(np.eye(3), image.shape[1::-1]), planes)


def all_hair(image: Image, face: Face) -> Regions | None:
    return regions_of(image, "hair", slice(None), 1.0)


def worn_in(count: int) -> video.ParseFace:
    """Return a parser that sees glasses from the brows to the nose in so many frames."""
    seen = []

    def parse(image: Image, face: Face) -> Regions | None:
        assert face.mesh is not None
        top, low = face.mesh[np.concatenate(BROWS), 1].min(), face.mesh[4, 1]
        seen.append(face)
        return regions_of(image, "eye_g", slice(int(top), int(low)), float(len(seen) <= count))

    return parse

"""Pairs that a refiner learns from: a clip's frame as the mesh engine draws it from another frame of the clip, and the frame itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import MediaError, NoFaceError
from thcli.core.imaging import to_uint8
from thcli.core.options import FaceOptions, MotionOptions, RunOptions
from thcli.core.types import Array, Face, Image
from thcli.engines.mesh.engine import MeshEngine
from thcli.evaluate.datasets import talking_clips
from thcli.motion.retarget import Retargeted, driver_meshes
from thcli.pipeline.sources.source_image import FaceFinder

Indices = npt.NDArray[np.int64]
LEAST = 12  # frames of a usable clip
LONGEST = 400  # frames that are looked at


@dataclass(frozen=True, slots=True)
class Pair:
    """source, coarse, truth: (H, W, 3) uint8.  source_mesh, mesh: (468, 3) of the source's face and of the true frame's, pixels.

    source_frame, frame: their numbers.  drivers_mouth: whether the driver's mouth is shown, or a made one."""

    source: Image
    source_frame: int
    source_mesh: Array
    coarse: Image
    truth: Image
    mesh: Array
    frame: int
    drivers_mouth: bool


class Maker:
    """The engine and what finds faces, loaded once."""

    def __init__(self, run: RunOptions) -> None:
        """Raises WeightsError when the engine's networks are not here."""
        self._face_finder = FaceFinder.load(FaceOptions(), run)
        self._engines = {own: MeshEngine(run, "auto", own) for own in (True, False)}

    def pairs(
        self,
        clip: Path,
        motions: Path | None,
        sources: int,
        drivers: int,
        draw: np.random.Generator,
    ) -> list[Pair]:
        """Pairs of a clip, those of one source after the other.

        motions: the folder of motion files (None: beside the clip), made where they are missing.  sources: how many frames stand as the
        source, the first seen one among them.  drivers: frames drawn from each, spread over the clip.  Raises MediaError for a clip that
        is short, NoFaceError when a source's face is not found, and what reading it raises.
        """
        store = talking_clips.motion_of(clip, motions)
        with media.read(clip) as reader:
            frames = list(islice(reader, min(len(store), LONGEST)))
        pictures = [to_uint8(frame.pixels) for frame in frames]
        motion = store.window(0, len(frames))
        seen = np.flatnonzero(motion.valid)
        if store.kind != "mesh" or len(seen) < LEAST:
            raise MediaError(f"{clip.name} is too short, or its face is hardly seen.")
        meshes, out = driver_meshes(motion), list[Pair]()
        for index in (
            int(seen[0]),
            *(int(i) for i in draw.choice(seen[1:], sources - 1, replace=False)),
        ):
            picture = pictures[index]
            face = self._face(picture, clip)
            encoded = self._engines[True].encode_source(picture, face)
            # the source's own frame is the reference: the one that is found may be another, and all of the clip is then off by their distance
            moved = Retargeted(face, store, MotionOptions(), reference=index)
            for at in (int(i) for i in spread(seen[seen != index], drivers, draw)):
                own = bool(draw.random() < 0.5)
                coarse = self._engines[own].render(
                    encoded, moved.window(at, at + 1), [frames[at]] if own else None
                )[0]
                out.append(
                    Pair(picture, index, mesh_of(face), coarse, pictures[at], meshes[at], at, own)
                )
        return out

    def _face(self, picture: Image, clip: Path) -> Face:
        found = self._face_finder.find(picture)
        if not found:
            raise NoFaceError(
                f"A source frame of {clip.name} shows no face.", "Leave the clip out."
            )
        return self._face_finder.refined(picture, max(found, key=lambda face: face.area))


def mesh_of(face: Face) -> Array:
    """The points of a face that is known to have some."""
    return np.asarray(face.mesh, np.float64)


def spread(seen: Indices, count: int, draw: np.random.Generator) -> Indices:
    """At most `count` of the frames seen, one of each equal part of the clip."""
    part = len(seen) / count
    return seen[np.unique(((np.arange(count) + draw.random(count)) * part).astype(np.int64))]

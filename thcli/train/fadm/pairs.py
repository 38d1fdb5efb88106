"""Training pairs of the refiner: a true frame, and the mesh engine's rendering of it.

The rendering starts from another frame of the same clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thcli.core.errors import ThcliError
from thcli.core.events import Listener, Step, Warned
from thcli.core.options import MotionOptions, RunOptions
from thcli.core.options.train_models import PairTrainOptions
from thcli.core.types import Array, Face, Image
from thcli.engines.mesh.engine import MeshEngine
from thcli.motion.observe import rebuild_driver_meshes
from thcli.motion.retarget import RetargetedMotion
from thcli.train.data.talking_pairs import Clips, SourceTracker, read_clip

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CoarsePair:
    """A rendered pair.

    source, coarse, truth: (H, W, 3) uint8. source_frame, frame: frame numbers of source and truth.
    source_mesh, mesh: (468, 3) of source and true face, pixels. drivers_mouth: the mouth is the
    driver's, not a synthesised one.
    """

    source: Image
    source_frame: int
    source_mesh: Array
    coarse: Image
    truth: Image
    mesh: Array
    frame: int
    drivers_mouth: bool


class PairRenderer:
    """The mesh engine and the tracker, loaded once."""

    def __init__(self, run: RunOptions) -> None:
        """Load the engine and the tracker.

        Raises:
            WeightsError: Weights are missing.
        """
        self._tracker = SourceTracker(run)
        self._engines = {
            drivers_mouth: MeshEngine(run, "auto", mouth="driver" if drivers_mouth else "synthetic")
            for drivers_mouth in (True, False)
        }

    def render_clips(
        self, clips: Clips, options: PairTrainOptions, seed: int, on: Listener
    ) -> Iterator[tuple[int, list[CoarsePair], np.random.Generator]]:
        """Render the pairs of clips; a clip that cannot be used is left out with a warning.

        Args:
            clips: The videos.
            options: Folder of the motion files, sources and drivers.
            seed: Of the random numbers.
            on: Receives the steps of "draw".

        Yields:
            The number of a clip, its pairs, and the source of its further random numbers.
        """
        motions = Path(options.motions) if options.motions else None
        for number, (path, _) in enumerate(clips):
            rng = np.random.default_rng([seed, number])
            try:
                pairs = self.render_pairs(path, motions, options.sources, options.drivers, rng)
            except ThcliError as exc:
                on(Warned(f"{path.name} is left out. {exc.message}"))
                continue
            yield number, pairs, rng
            on(Step("draw", number + 1))

    def render_pairs(
        self,
        clip: Path,
        motions: Path | None,
        sources: int,
        drivers: int,
        rng: np.random.Generator,
    ) -> list[CoarsePair]:
        """Render the pairs of a clip, grouped by source.

        Args:
            clip: The video.
            motions: Folder of motion files, created where they are missing; None: beside the clip.
            sources: Number of source frames; the first tracked frame is one of them.
            drivers: Driving frames per source, spread over the clip.
            rng: Source of the random numbers.

        Raises:
            MediaError: The clip is too short or cannot be read.
            NoFaceError: A source frame shows no face.
        """
        read = read_clip(clip, motions)
        images, tracked = read.images, read.tracked
        meshes, out = rebuild_driver_meshes(read.motion), list[CoarsePair]()
        others = rng.choice(tracked[1:], sources - 1, replace=False)
        for index in (int(tracked[0]), *(int(i) for i in others)):
            image = images[index]
            face = self._tracker.find_face(image, clip.name)
            encoded = self._engines[True].encode_source(image, face)
            # The source's frame is the reference. A reference found by similarity may be another
            # frame, and all frames of the clip would be shifted by their distance.
            retargeted = RetargetedMotion(face, read.store, MotionOptions(), reference=index)
            for at in (int(i) for i in spread_frames(tracked[tracked != index], drivers, rng)):
                drivers_mouth = bool(rng.random() < 0.5)
                coarse = self._engines[drivers_mouth].render(
                    encoded,
                    retargeted.window(at, at + 1),
                    [read.frames[at]] if drivers_mouth else None,
                )[0]
                out.append(
                    CoarsePair(
                        source=image,
                        source_frame=index,
                        source_mesh=face_mesh(face),
                        coarse=coarse,
                        truth=images[at],
                        mesh=meshes[at],
                        frame=at,
                        drivers_mouth=drivers_mouth,
                    )
                )
        return out


def face_mesh(face: Face) -> Array:
    """Return the mesh of a tracked face, (468, 3) float64."""
    return np.asarray(face.mesh, np.float64)


def spread_frames(seen: Indices, count: int, rng: np.random.Generator) -> Indices:
    """Return at most `count` of the tracked frames, one of each equal part of the clip."""
    part = len(seen) / count
    return seen[np.unique(((np.arange(count) + rng.random(count)) * part).astype(np.int64))]

"""Training pairs of patches-s: patches of warped frames, of true ones and of sources.

A clip gives pairs of consecutive driving frames, each warped from another frame of the clip. A
photograph gives a pair by itself: its lids are closed or opened by the mesh engine first, and that
picture is the source of the photograph. No pixel of a driving frame is ever an input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.options import MotionOptions, RunOptions
from thcli.core.types import Array, Image
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.patches.frames import eye_frame, sample_patch
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.motion import brows, canonical, closure
from thcli.motion.render_target import RenderTarget, iterate_render_targets
from thcli.motion.retarget import RetargetedMotion
from thcli.train.data.talking_pairs import SourceTracker, read_clip

Indices = npt.NDArray[np.int64]
PICKED_SHARE = 0.75  # of the driving frames that are picked for blinks and raised brows
OPEN_EYES = 0.5  # of a clip's frames, among which that with the lowest brows is a source
LID_RANGE = (0.55, 1.35)  # change of a photograph's lid gaps
STILL_MOTION = np.zeros((2, 2))


@dataclass(frozen=True, slots=True)
class PatchPair:
    """Patches of a source and of two consecutive target frames.

    coarse_eyes, true_eyes: (2 frames, 2 eyes, h, w, 3) uint8.  source_eyes: (2, h, w, 3).
    points: (2, 468, 3) targets in pixels of the source.  gaze: (2, 2, 2) shifts of the irises.
    mesh: (468, 3) of the source.  iris: (2, 5, 2) of the source, NaN when unknown.  tone: (3,) skin
    colour of the source.
    """

    coarse_eyes: Image
    true_eyes: Image
    source_eyes: Image
    points: Array
    gaze: Array
    mesh: Array
    iris: Array
    tone: Array


class PatchPairRenderer:
    """The mesh engine's renderer and the tracker, loaded once."""

    def __init__(self, run: RunOptions) -> None:
        """Load the tracker.

        Raises:
            WeightsError: Weights are missing.
        """
        self._tracker = SourceTracker(run)

    def render_clip(
        self,
        clip: Path,
        motions: Path | None,
        sources: int,
        drivers: int,
        rng: np.random.Generator,
    ) -> Iterator[PatchPair]:
        """Render the pairs of a clip.

        Args:
            clip: The video.
            motions: Folder of motion files, created where they are missing; None: beside the clip.
            sources: Number of source frames; the first has open eyes below low brows.
            drivers: Driving frames per source.
            rng: Source of the random numbers.

        Raises:
            MediaError: The clip is too short or cannot be read.
            NoFaceError: A source frame shows no face.
        """
        read = read_clip(clip, motions)
        images, tracked = read.images, read.tracked
        shape = canonical.neutral() + np.asarray(read.motion.arrays["expression"], np.float64)
        eyes, high = canonical.eye_openings(shape).mean(-1), brows.eye_distances(shape).mean(-1)
        wide = tracked[eyes[tracked] >= np.quantile(eyes[tracked], OPEN_EYES)]
        low = int(wide[np.argmin(high[wide])])
        others = rng.choice(tracked, sources - 1, replace=False)
        for index in (low, *(int(i) for i in others)):
            face = self._tracker.find_face(images[index], clip.name)
            source = prepare(images[index], face, None)
            still = replace(MotionOptions(), smooth=0.0)
            retargeted = RetargetedMotion(face, read.store, still, reference=index)
            free = tracked[(tracked != index) & (tracked + 1 < len(images))]
            for at in pick_frames(free, eyes, high, drivers, rng):
                window = retargeted.window(at, at + 2)
                if len(window) < 2 or not window.valid.all():
                    continue
                targets = list(iterate_render_targets(window))
                truths = [
                    (images[at + k], np.asarray(window.arrays["driver"][k], np.float64))
                    for k in range(2)
                ]
                yield _cut_pair(source, targets, truths)

    def render_photograph(self, path: Path, rng: np.random.Generator) -> PatchPair:
        """Render the pair of a photograph whose source is the photograph with other lids.

        Args:
            path: The image.
            rng: Source of the random numbers.

        Raises:
            MediaError: The file cannot be read.
            NoFaceError: It shows no face.
        """
        image = media.read_image(path)
        face = self._tracker.find_face(image, path.name)
        if face.mesh is None:
            raise NoFaceError(f"{path.name} shows no face.", "Remove the image.")
        mesh = np.asarray(face.mesh, np.float64)
        changed = change_opening(mesh, rng)
        fake = render_frame(
            prepare(image, face, None), RenderTarget(changed, STILL_MOTION, np.ones(2)), None
        )
        source = prepare(fake, replace(face, mesh=changed.astype(np.float32)), None)
        target = RenderTarget(mesh, STILL_MOTION, np.ones(2))
        return _cut_pair(source, [target, target], [(image, mesh), (image, mesh)])


def pick_frames(
    free: Indices, eyes: Array, high: Array, count: int, rng: np.random.Generator
) -> list[int]:
    """Return at most `count` of the frames: blinks, raised brows and random ones.

    Args:
        free: frames to choose from.
        eyes, high: (T,) openings of the eyes, and distances of the brows above them, of all frames.
        count: how many.
        rng: source of the random numbers.
    """
    share = max(1, round(PICKED_SHARE * count / 2))
    ranked = np.argsort(eyes[free]), np.argsort(-high[free])
    picked = [int(i) for order in ranked for i in free[order[: 2 * share : 2]]]
    rest = rng.permutation(free)
    return list(dict.fromkeys([*picked, *(int(i) for i in rest)]))[:count]


def change_opening(mesh: Array, rng: np.random.Generator) -> Array:
    """Return a mesh (468, 3) in pixels whose lids are opened or closed at random."""
    posed = canonical.decompose(mesh)
    shape = posed.shape[None].copy()
    opening = np.full((1, 2), rng.uniform(*LID_RANGE))
    closure.set_lids(shape, posed.shape, opening)
    return np.asarray(replace(posed, shape=shape[0]).mesh())


def _cut_pair(
    source: MeshSource, targets: list[RenderTarget], truths: list[tuple[Image, Array]]
) -> PatchPair:
    """Render the targets and cut all patches; truths: image and (468, 3) mesh of each frame."""
    coarse = [render_frame(source, replace(target, body=None), None) for target in targets]
    points = np.stack([target.points for target in targets])
    placed = list(zip(coarse, points, strict=True))
    iris = source.face.iris
    return PatchPair(
        coarse_eyes=np.stack([_cut_eyes(*item) for item in placed]),
        true_eyes=np.stack([_cut_eyes(*item) for item in truths]),
        source_eyes=_cut_eyes(source.image, source.mesh),
        points=points,
        gaze=np.stack([target.gaze for target in targets]),
        mesh=source.mesh,
        iris=np.full((2, 5, 2), np.nan) if iris is None else np.asarray(iris, np.float64),
        tone=source.tone,
    )


def _cut_eyes(image: Image, mesh: Array) -> Image:
    return np.stack([sample_patch(image, eye_frame(mesh, side)) for side in range(2)])

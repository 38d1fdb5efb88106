"""Correction of coarse frames towards the motion of their driver, before refinement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar

from thcli.core.errors import UsageError
from thcli.core.imaging import to_uint8
from thcli.core.options import MeshOptions, MotionOptions, ReenactOptions, RunOptions
from thcli.core.protocols import MotionStore, VideoSourceEngine
from thcli.core.stream import ordered_map, prefetch
from thcli.core.types import Face, Frame, Motion
from thcli.engines.backends import ENGINES, MESH_ENGINE
from thcli.faces.compositing.paste import add_change
from thcli.faces.tracking.select import TrackStatistics
from thcli.motion.correction import CorrectedMotion
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.windows import windows
from thcli.motion.file.writer import MotionWriter
from thcli.motion.timeline import read_timeline
from thcli.pipeline.job.job import Job
from thcli.pipeline.job.replayable_frames import ReplayableFrames
from thcli.pipeline.observe.driver import observe_driver, observe_mesh
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, record_faces, track_frames
from thcli.pipeline.refining.subjects import ReferenceImage, TrackSelector, match_identity

T = TypeVar("T")
MAX_LENGTH_DIFFERENCE = 0.1  # seconds between the lengths of coarse video and driver
# The engine's networks prepare an image; a frame of a video is warped without them
WITHOUT_NETWORKS = ReenactOptions(mesh=MeshOptions(matte="off", patches="off"))


@dataclass(frozen=True, slots=True)
class DriverCorrection:
    """Correction by the mesh engine's warp.

    name: of the driver, for messages.
    motion: of the driver, kind "mesh".
    options: of the transfer to the source.
    engine: the mesh engine.
    run: threads.
    """

    name: str
    motion: MotionStore
    options: MotionOptions
    engine: VideoSourceEngine
    run: RunOptions

    @classmethod
    def load(
        cls,
        driver: VideoSelection,
        options: MotionOptions,
        run: RunOptions,
        face_finder: FaceFinder,
        job: Job,
    ) -> DriverCorrection:
        """Observe a driver, a video or a motion file of the mesh engine, and load the engine.

        Raises as `observe_driver`.
        """
        engine = ENGINES.backend(MESH_ENGINE).load(run, WITHOUT_NETWORKS)
        path = job.temp_dir() / "correction.motion.safetensors"
        observed = observe_driver(driver, path, engine, face_finder, job)
        return cls(str(driver.info.path), observed.motion, options, engine, run)

    def correct(
        self,
        footage: ReplayableFrames[T],
        select: TrackSelector,
        reference: ReferenceImage | None,
        face_finder: FaceFinder,
        job: Job,
    ) -> ReplayableFrames[T]:
        """Return the footage with the chosen face corrected.

        Args:
            footage: coarse frames; they are read twice here, and once at each later reading.
            select: chooses the face.
            reference: source image; None: the face of the footage at rest.
            face_finder: detector, landmarker and identity encoder.
            job: temporary files and warnings.

        Raises:
            UsageError: footage and driver differ in length, or several faces are chosen.
            NoFaceError: no frame shows the face.
        """
        path = job.temp_dir() / "coarse.motion.safetensors"
        with TrackLog() as log:
            statistics = TrackStatistics(face_finder.identity)
            frames = track_frames(footage.frames(), footage.total, footage.name, face_finder, job)
            record_faces(frames, log, statistics, FrameMeasurer(on_skin=True))
            tracks = select(statistics, log)
            source = self._choose(statistics, tracks, reference, footage.name, face_finder, job)
            with MotionWriter(path, {"source": footage.name}) as writer:
                observe_mesh(log, source[0], writer, job, skin=True)
        own = MotionFile(path)
        self._check_length(own, footage.name)
        motion = CorrectedMotion(own, self.motion, source[1], self.options)
        encoded = self.engine.encode_video(own, footage.frames())
        workers = self.run.workers

        def correct(moved: tuple[Motion, tuple[Frame, T]]) -> tuple[Frame, T]:
            row, (frame, item) = moved
            if not row.valid[0] or not row.arrays["weight"][0]:
                return frame, item
            with job.clock("correct", frames=1):
                before = to_uint8(frame.pixels)
                (after,) = self.engine.render_frames(encoded, [before], row)
                return replace(frame, pixels=add_change(frame.pixels, before, after)), item

        def frames_from(start: int) -> Iterator[tuple[Frame, T]]:
            with closing(prefetch(footage.frames_from(start), 2)) as ahead:
                moved = zip(_rows(motion, start), ahead, strict=True)
                yield from ordered_map(correct, moved, workers, workers + 1)

        return ReplayableFrames(footage.name, footage.total, frames_from, footage.unrendered)

    def _choose(
        self,
        statistics: TrackStatistics,
        tracks: Sequence[int],
        reference: ReferenceImage | None,
        name: str,
        face_finder: FaceFinder,
        job: Job,
    ) -> tuple[int, Face | None]:
        """Return the number of the chosen track, and the face of the source."""
        if len(tracks) > 1:
            raise UsageError(
                f"--driving corrects one face, but {len(tracks)} of {name} are chosen.",
                "Choose it with --face N.",
            )
        if reference is None:
            return tracks[0], None
        summary = statistics.summaries[tracks[0]]
        return tracks[0], match_identity(reference, summary, name, face_finder, job)

    def _check_length(self, own: MotionStore, name: str) -> None:
        """Refuse a driver of another length; a single image may drive a whole video."""
        seconds = [read_timeline(motion).seconds for motion in (own, self.motion)]
        if len(seconds[1]) == 1:
            return
        coarse, driver = (float(times[-1] - times[0]) for times in seconds)
        if abs(coarse - driver) > MAX_LENGTH_DIFFERENCE:
            raise UsageError(
                f"{name} lasts {coarse:.2f} s and its driver {self.name} {driver:.2f} s.",
                "Give the driver of this very video; --start and --end cut both alike.",
            )


def _rows(motion: MotionStore, start: int) -> Iterator[Motion]:
    """Yield the frames of a motion from number `start` on one by one; they are read in windows.

    A causal filter advances from row to row, so threads must not read by themselves.
    """
    for window in windows(motion, start):
        yield from (window[row : row + 1] for row in range(len(window)))

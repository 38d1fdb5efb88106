"""End of pass 2: refinement, background and output of rendered frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.options import (
    CompositingOptions,
    RefineOptions,
    RenderOptions,
    StabilizationOptions,
)
from thcli.engines.backends import MESH_ENGINE
from thcli.faces.compositing import person_matte
from thcli.faces.compositing.person_matte import PersonMatte
from thcli.faces.tracking.select import TrackStatistics
from thcli.pipeline.job.job import FrameCounter, Job
from thcli.pipeline.job.replayable_frames import (
    FramesFrom,
    RenderedFrame,
    ReplayableFrames,
    replayable_render,
)
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.refining.correction import DriverCorrection
from thcli.pipeline.refining.placed_face import PlacedFace
from thcli.pipeline.refining.refine_pass import RefinePass
from thcli.pipeline.refining.subjects import (
    ReferenceImage,
    Subject,
    TrackSelector,
    observe_subjects,
    select_nearest,
)
from thcli.pipeline.render.background import KEEP, Background
from thcli.pipeline.sources.source_image import SourceImage
from thcli.refiners.backends import choose_refiner


@dataclass(frozen=True, slots=True)
class PostProcessor:
    """Refinement (--refine) and background (--background) of rendered frames.

    options: refine, background, source_face, run.
    face_finder: locates the faces to refine.
    refine_pass: None without --refine.
    matte: segments the person; None without --background.
    """

    options: RenderOptions
    face_finder: FaceFinder
    refine_pass: RefinePass | None
    matte: PersonMatte | None = None

    @classmethod
    def load(
        cls, options: RenderOptions, face_finder: FaceFinder, voice: str | None = None
    ) -> PostProcessor:
        """Load the refiner and the matting network.

        voice: name of the voice that renders in place of the engine.

        Raises UsageError, WeightsError or DeviceError for one that cannot be used.
        """
        refine_pass = None
        if options.refine is not None:
            mesh_frames = voice is None and options.engine == MESH_ENGINE
            name = choose_refiner(options.refine, options.run, mesh_frames=mesh_frames)
            refine_pass = RefinePass.load(name, RefineOptions(), CompositingOptions(), options.run)
        matte = None if options.background == KEEP else person_matte.load(options.run)
        return cls(options, face_finder, refine_pass, matte)

    def provenance(self, job: Job, engine: str) -> media.Provenance:
        """Return the origin of the job's output, which names engine and refiner."""
        if self.refine_pass is not None:
            engine = f"{engine}, refined by {self.refine_pass.name}"
        return job.provenance(engine)

    @property
    def details(self) -> Mapping[str, Any]:
        """Fields of the report."""
        return {} if self.refine_pass is None else {"refiner": self.refine_pass.name}

    def refine(
        self,
        frames_from: FramesFrom,
        total: int,
        source: SourceImage | None,
        job: Job,
        correction: DriverCorrection | None = None,
        placed: PlacedFace | None = None,
    ) -> FramesFrom:
        """Refine rendered frames; without --refine return them unchanged.

        Where the engine does not place the face, they are rendered once more to locate the faces:
        no file is written in between.

        Args:
            frames_from: the rendered frames.
            total: their number.
            source: the animated image, None when the source is a video.
            job: receives warnings and progress.
            correction: of the frames towards their driver, before they are refined.
            placed: the only face, where the engine places it in the frames.

        Raises:
            ThcliError: whatever rendering and refining raise.
        """
        if self.refine_pass is None:
            return frames_from
        if placed is not None and correction is None:
            return self._refine_placed(self.refine_pass, frames_from, total, placed, job)
        refine_pass = self.refine_pass
        replayable = replayable_render("the rendered video", total, frames_from)
        reference, select = None, self._select_source_face(replayable.name, job)
        if source is not None:
            refine_landmarks = self.face_finder.refine_landmarks
            faces = tuple(refine_landmarks(source.image, face) for face in source.faces)
            reference = ReferenceImage(str(source.info.path), source.image, faces, same_view=True)
            select = select_nearest(source.faces)
        try:
            if correction is not None:
                replayable = correction.correct(
                    replayable, select, reference, self.face_finder, job
                )
            observed_faces = observe_subjects(
                replayable,
                refine_pass.refiner,
                select,
                reference,
                StabilizationOptions(),
                self.face_finder,
                job,
            )
        except NoFaceError as error:
            job.warn(f"Nothing is refined: {error.message}")
            return frames_from

        return _refined_from(refine_pass, replayable, observed_faces.subjects, job)

    def _refine_placed(
        self,
        refine_pass: RefinePass,
        frames_from: FramesFrom,
        total: int,
        placed: PlacedFace,
        job: Job,
    ) -> FramesFrom:
        """Refine the face that an engine places, frame by frame as they are rendered."""
        observed = placed.observe(refine_pass.refiner, StabilizationOptions(), job)
        replayable = replayable_render("the rendered video", total, frames_from, keep=False)
        return _refined_from(refine_pass, replayable, observed.subjects, job)

    def write(
        self,
        frames_from: FramesFrom,
        total: int,
        out: media.Writer,
        size: tuple[int, int],
        job: Job,
        *,
        of_video: bool = False,
    ) -> FrameCounter:
        """Replace the background and write every frame that an earlier run has not written.

        Args:
            frames_from: rendered or refined frames.
            total: their number.
            out: the open output.
            size: (width, height) of the frames in pixels.
            job: reports progress.
            of_video: the frames are those of a source video, whose signal they are written in.

        Raises:
            OutputError: the output cannot be written.
        """
        counter = FrameCounter(out.done)
        options = self.options
        background = job.enter(Background(options.background, size, self.matte, options.read))
        with job.stage("render", total, out.done) as step:
            for frame in frames_from(out.done):
                counter.add(frame.pts, frame.duration, frame.time_base, succeeded=frame.succeeded)
                image = background.replace(frame.image, counter.length, frame.alpha)
                if of_video and frame.driving is not None:
                    image = frame.driving.to_signal(image)
                out.write(image, frame.pts, frame.duration)
                step()
        return counter

    def _select_source_face(self, name: str, job: Job) -> TrackSelector:
        """Select --source-face: the frames of a source video keep its faces in their places."""

        def select(statistics: TrackStatistics, _log: TrackLog) -> list[int]:
            return self.face_finder.choose(statistics, self.options.source_face, name, job)

        return select


def _refined_from(
    refine_pass: RefinePass,
    replayable: ReplayableFrames[RenderedFrame],
    subjects: Sequence[Subject],
    job: Job,
) -> FramesFrom:
    def refined_from(start: int) -> Iterator[RenderedFrame]:
        refined = refine_pass.frames(replayable, subjects, start, job)
        for number, (frame, pixels) in enumerate(refined, start):
            succeeded = frame.succeeded and number not in job.failed_frames
            yield replace(frame, image=pixels, succeeded=succeeded)

    return refined_from

"""The end of every pass 2, whatever drives: the shots, refined where that is asked for, before their backdrop, into the output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.options import ChangeOptions, RefineOptions, RenderOptions, SteadyOptions
from thcli.media.writing.provenance import Provenance
from thcli.pipeline.job.job import FrameCounter, Job
from thcli.pipeline.job.replayable_frames import FramesFrom, replayable_render
from thcli.pipeline.refining.refine_pass import RefinePass
from thcli.pipeline.refining.subjects import Choice, ReferenceImage, nearest, observe
from thcli.pipeline.render.background import Backdrop
from thcli.pipeline.render.frames import RenderedFrame
from thcli.pipeline.sources.source_image import FaceFinder, SourceImage


@dataclass(frozen=True, slots=True)
class PostProcessor:
    """What happens to shots before they are written: --refine and --background."""

    options: RenderOptions
    face_finder: FaceFinder
    refine_pass: RefinePass | None

    @classmethod
    def load(cls, options: RenderOptions, face_finder: FaceFinder) -> PostProcessor:
        """Raises UsageError, WeightsError, DeviceError for a refiner that cannot be used."""
        name = options.refine
        refine_pass = (
            None
            if name is None
            else RefinePass.load(name, RefineOptions(), ChangeOptions(), options.run)
        )
        return cls(options, face_finder, refine_pass)

    def provenance(self, command: str, engine: str) -> Provenance:
        """Names the refiner too."""
        return Provenance(
            command,
            engine if self.refine_pass is None else f"{engine}, refined by {self.refine_pass.name}",
        )

    @property
    def details(self) -> Mapping[str, Any]:
        """For the report."""
        return {} if self.refine_pass is None else {"refiner": self.refine_pass.name}

    def render(
        self,
        frames_from: FramesFrom,
        total: int,
        out: media.Writer,
        source_image: SourceImage | None,
        size: tuple[int, int],
        job: Job,
    ) -> FrameCounter:
        """Writes every shot that an earlier run has not written.

        total: how many there are.  who: the picture that is animated and its faces, None for a clip.  size: (width, height).
        Raises what rendering and refining raise, and OutputError.
        """
        if self.refine_pass is not None:
            frames_from = self._refined(self.refine_pass, frames_from, total, source_image, job)
        counter, behind = (
            FrameCounter(out.done),
            job.enter(Backdrop(self.options.background, size, self.options.run)),
        )
        with job.stage("render", total, out.done) as step:
            for rendered in frames_from(out.done):
                counter.add(rendered.pts, rendered.duration, rendered.time_base, made=rendered.made)
                out.write(
                    behind.apply(rendered.picture, counter.length), rendered.pts, rendered.duration
                )
                step()
        return counter

    def _refined(
        self,
        refine_pass: RefinePass,
        frames_from: FramesFrom,
        total: int,
        source_image: SourceImage | None,
        job: Job,
    ) -> FramesFrom:
        """The shots, refined. They are rendered once more for it, to see where faces come to lie: no file lies between."""
        replayable = replayable_render("what was rendered", total, frames_from)
        own, choose = None, self._dubbed(replayable.name, job)
        if source_image is not None:
            own, choose = (
                ReferenceImage(
                    str(source_image.info.path),
                    source_image.picture,
                    source_image.faces,
                    framed=True,
                ),
                nearest(source_image.faces),
            )
        try:
            cast = observe(
                replayable, refine_pass.refiner, choose, own, SteadyOptions(), self.face_finder, job
            )
        except NoFaceError as error:
            job.warn(f"Nothing is refined: {error.message}")
            return frames_from

        def refined(start: int) -> Iterator[RenderedFrame]:
            for rendered, picture in refine_pass.frames(replayable, cast.subjects, start, job):
                yield replace(rendered, picture=picture)

        return refined

    def _dubbed(self, name: str, job: Job) -> Choice:
        """Of a clip whose frames keep their places it is the face that was moved."""
        return lambda statistics: self.face_finder.choose(
            statistics, self.options.source_face, name, job
        )

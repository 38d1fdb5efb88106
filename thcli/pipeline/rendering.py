"""The end of every pass 2, whatever drives: the shots, refined where that is asked for, before their backdrop, into the output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.options import ChangeOptions, RefineOptions, RenderOptions, SteadyOptions
from thcli.media.provenance import Provenance
from thcli.pipeline.backdrop import Backdrop
from thcli.pipeline.draw import Shot
from thcli.pipeline.footage import Play, of_shots
from thcli.pipeline.portrait import Finders, Portrait
from thcli.pipeline.refinery import Refinery
from thcli.pipeline.report import Job, Tally
from thcli.pipeline.subjects import Choice, Sitter, nearest, observe


@dataclass(frozen=True, slots=True)
class Finish:
    """What happens to shots before they are written: --refine and --background."""

    options: RenderOptions
    finders: Finders
    refinery: Refinery | None

    @classmethod
    def load(cls, options: RenderOptions, finders: Finders) -> Finish:
        """Raises UsageError, WeightsError, DeviceError for a refiner that cannot be used."""
        name = options.refine
        refinery = None if name is None else Refinery.load(name, RefineOptions(), ChangeOptions(), options.run)
        return cls(options, finders, refinery)

    def provenance(self, command: str, engine: str) -> Provenance:
        """Names the refiner too."""
        return Provenance(command, engine if self.refinery is None else f"{engine}, refined by {self.refinery.name}")

    @property
    def details(self) -> Mapping[str, Any]:
        """For the report."""
        return {} if self.refinery is None else {"refiner": self.refinery.name}

    def render(self, play: Play, total: int, out: media.Writer, who: Portrait | None, size: tuple[int, int], job: Job) -> Tally:  # fmt: skip
        """Writes every shot that an earlier run has not written.

        total: how many there are.  who: the picture that is animated and its faces, None for a clip.  size: (width, height).
        Raises what rendering and refining raise, and OutputError.
        """
        if self.refinery is not None:
            play = self._refined(self.refinery, play, total, who, job)
        tally, behind = Tally(out.done), job.enter(Backdrop(self.options.background, size, self.options.run))
        with job.stage("render", total, out.done) as step:
            for shot in play(out.done):
                tally.add(shot.pts, shot.duration, shot.time_base, made=shot.made)
                out.write(behind.apply(shot.picture, tally.length), shot.pts, shot.duration)
                step()
        return tally

    def _refined(self, refinery: Refinery, play: Play, total: int, who: Portrait | None, job: Job) -> Play:
        """The shots, refined. They are rendered once more for it, to see where faces come to lie: no file lies between."""
        footage = of_shots("what was rendered", total, play)
        own, choose = None, self._dubbed(footage.name, job)
        if who is not None:
            own, choose = Sitter(str(who.info.path), who.picture, who.faces, framed=True), nearest(who.faces)
        try:
            cast = observe(footage, refinery.refiner, choose, own, SteadyOptions(), self.finders, job)
        except NoFaceError as error:
            job.warn(f"Nothing is refined: {error.message}")
            return play

        def refined(start: int) -> Iterator[Shot]:
            for shot, picture in refinery.frames(footage, cast.subjects, start, job):
                yield replace(shot, picture=picture)

        return refined

    def _dubbed(self, name: str, job: Job) -> Choice:
        """Of a clip whose frames keep their places it is the face that was moved."""
        return lambda census: self.finders.choose(census, self.options.source_face, name, job)

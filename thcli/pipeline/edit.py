"""`thcli edit`: a clip's faces changed by attributes or words, the same change in every frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from thcli import media
from thcli.core.backends import backend, chosen
from thcli.core.events import Listener, silent
from thcli.core.options import EditOptions
from thcli.core.protocols import Parser
from thcli.core.stream import prefetch
from thcli.core.types import Frame
from thcli.editors.editfile import save
from thcli.faces.crop import Pixels
from thcli.media.info import MediaInfo
from thcli.media.provenance import Provenance
from thcli.media.target import Target
from thcli.pipeline.editface import Part, Person, paired
from thcli.pipeline.editways import Way
from thcli.pipeline.editwish import file_of, ways_of, wish_of
from thcli.pipeline.naming import fingerprint, output_path
from thcli.pipeline.observe import look
from thcli.pipeline.portrait import Finders
from thcli.pipeline.regionstream import Seen, divided
from thcli.pipeline.report import Job, Report, Tally
from thcli.pipeline.sidebyside import compare
from thcli.pipeline.sidefile import SideFile
from thcli.pipeline.tracklog import TrackLog

DEFAULTS = EditOptions()


def edit(
    video: str | Path,
    output: str | Path | None = None,
    options: EditOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Changes the chosen faces of a video (or a picture): what they are like is edited once for the clip, so it is steady in time.

    Frames keep their size, depth and time stamps, and all that lies outside of the changed regions is the input's, bit for bit. output:
    a file, folder or '-' (see `media.write`); None: NAME_edit beside the video.  Report.passed_through: frames without the faces.
    Raises MediaError, NoFaceError, WeightsError, OutputError, UsageError.
    """
    with Job("edit", on) as job:
        wish = wish_of(options)
        info = media.probe(job.enter(media.local(video)))
        target = output_path(output, f"{Path(video).stem}_edit", video, info, "edit")
        Target(target, options.output.overwrite).check(0)
        if options.save_edit is not None:
            SideFile(options.save_edit, options.output.overwrite)  # looks whether it can be written
        ways = ways_of(wish, options, on)
        cast = observe(info, ways, options, job)
        if options.save_edit is not None:
            save(options.save_edit, file_of(wish, ways, options), overwrite=options.output.overwrite)
        names = "+".join(wish.engines)
        writer = media.write(
            target, info.size, info, options.output, drive=info, span=options.read, frames=info.frames,
            provenance=Provenance("edit", names), fingerprint=fingerprint((info.path, options.edit or info.path), options), on=on,
        )  # fmt: skip
        with writer as out, job.stage("edit", info.frames, out.done) as step:
            tally = Tally(out.done)
            for frame, pixels in changed(cast, info, out.done, options, job):
                out.write(pixels, frame.pts, frame.duration)
                tally.add(frame.pts, frame.duration, frame.time_base)
                step()
        if options.compare is not None:
            compare(
                [info.path, target], options.compare, output=options.output, read=options.read, on=on, whole=[target]
            )
        details = {"attributes": dict(wish.attributes), "text": options.text or wish.text, "engines": {name: dict(part) for name, part in wish.engines.items()}}  # fmt: skip
        return job.report(target, tally, faces=cast.faces, passed_through=cast.unseen, engine=names, details=details)


@dataclass(frozen=True, slots=True)
class Cast:
    """The faces that are changed. faces: different ones seen.  unseen: frames that show none of the chosen."""

    people: tuple[Person, ...]
    faces: int
    unseen: int


def observe(info: MediaInfo, ways: Sequence[Way], options: EditOptions, job: Job) -> Cast:
    """Pass 1: follows and chooses the faces, looks at every frame, and settles what is done. Raises NoFaceError, MediaError."""
    finders = Finders.load(options.faces, options.run)
    parser: Parser = backend("parser", chosen("parser", options.parser, options.run)).load(options.run)
    log = job.enter(TrackLog())
    census = look(info, log, options.read, finders, job, options.faces.select, pixels=options.steady.pixels)
    tracks = finders.choose(census, options.faces.select, str(info.path), job)
    people = tuple(Person(track, ways, log, parser, options, info.path.name, job) for track in tracks)
    return Cast(people, census.tracks, _learn(people, info, parser, options, job))


def _learn(people: Sequence[Person], info: MediaInfo, parser: Parser, options: EditOptions, job: Job) -> int:
    """Every frame is parsed and looked at, and what is done is settled. Gives how many frames show none of the faces."""

    def frames() -> Iterator[Seen]:
        faces = zip(*(person.faces() for person in people), strict=True)
        places = zip(*(person.places() for person in people), strict=True)
        reader = job.enter(media.read(info.path, options.read, on=job.on))
        for frame, shown, found in zip(job.clock.over("decode", reader), faces, places, strict=True):
            yield Seen(frame, "", shown, tuple(place[0].where for place in found), found[0][0].shot)

    batch, unseen = options.run.batch_size, 0
    with closing(prefetch(divided(frames(), parser, batch, 0, job), batch)) as stream, job.stage("learn", info.frames) as step:  # fmt: skip
        places = [person.places() for person in people]
        while window := list(islice(stream, batch)):
            for i, person in enumerate(people):
                person.learn(window, i, list(islice(places[i], len(window))))
            for divided_frame in window:
                unseen += not any(face is not None for face in divided_frame.seen.faces)
                step()
    with job.clock("settle"):
        for person in people:
            person.settle()
    return unseen


def changed(cast: Cast, info: MediaInfo, done: int, options: EditOptions, job: Job) -> Iterator[tuple[Frame, Pixels]]:
    """Pass 2: every frame from number `done` on, and its pixels changed."""
    for frames, parts in shown(cast, info, done, options, job):
        pixels: list[Pixels] = [frame.pixels for frame in frames]
        for person, own in zip(cast.people, parts, strict=True):
            pixels = person.edited(pixels, own, person.fronts(pixels, own))
        yield from zip(frames, pixels, strict=True)


def shown(
    cast: Cast, info: MediaInfo, done: int, options: EditOptions, job: Job
) -> Iterator[tuple[list[Frame], list[list[Part | None]]]]:
    """The clip's frames from number `done` on, a batch at a time, and where each of the people is in them."""
    reader = job.clock.over("decode again", job.enter(media.read(info.path, options.read, on=job.on)))
    batch = options.run.batch_size
    with closing(prefetch(islice(reader, done, None), batch)) as frames:
        stream = zip(frames, paired(cast.people, done), strict=True)
        while window := list(islice(stream, batch)):
            yield (
                [frame for frame, _ in window],
                [list(own) for own in zip(*(parts for _, parts in window), strict=True)],
            )

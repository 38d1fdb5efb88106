"""`thcli edit`: a clip's faces changed by attributes or words, the same change in every frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.options import EditOptions
from thcli.core.protocols import Parser
from thcli.core.stream import prefetch
from thcli.core.types import Frame
from thcli.editors.edit_file import save
from thcli.faces.backends import PARSERS
from thcli.faces.crops.crop import Pixels
from thcli.media.atomic_file import SideFile
from thcli.media.info import MediaInfo
from thcli.media.writing.provenance import Provenance
from thcli.media.writing.target import Target
from thcli.pipeline.compare import compare
from thcli.pipeline.editing.edited_face import EditedFace, Part, paired
from thcli.pipeline.editing.factory import file_of, plan_steps
from thcli.pipeline.editing.request import parse_request
from thcli.pipeline.editing.steps import EditStep
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import fingerprint, output_path
from thcli.pipeline.observe.driver import look
from thcli.pipeline.observe.region_stream import Seen, divided
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.sources.source_image import FaceFinder

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
        request = parse_request(options)
        info = media.probe(job.enter(media.local(video)))
        target = output_path(output, f"{Path(video).stem}_edit", video, info, "edit")
        Target(target, options.output.overwrite).check(0)
        if options.save_edit is not None:
            SideFile(options.save_edit, options.output.overwrite)  # looks whether it can be written
        steps = plan_steps(request, options, on)
        cast = observe(info, steps, options, job)
        if options.save_edit is not None:
            save(
                options.save_edit,
                file_of(request, steps, options),
                overwrite=options.output.overwrite,
            )
        names = "+".join(request.engines)
        writer = media.write(
            target,
            info.size,
            info,
            options.output,
            drive=info,
            span=options.read,
            frames=info.frames,
            provenance=Provenance("edit", names),
            fingerprint=fingerprint((info.path, options.edit or info.path), options),
            on=on,
        )
        with writer as out, job.stage("edit", info.frames, out.done) as step:
            counter = FrameCounter(out.done)
            for frame, pixels in changed(cast, info, out.done, options, job):
                out.write(pixels, frame.pts, frame.duration)
                counter.add(frame.pts, frame.duration, frame.time_base)
                step()
        if options.compare is not None:
            compare(
                [info.path, target],
                options.compare,
                output=options.output,
                read=options.read,
                on=on,
                whole=[target],
            )
        details = {
            "attributes": dict(request.attributes),
            "text": options.text or request.text,
            "engines": {name: dict(part) for name, part in request.engines.items()},
        }
        return job.report(
            target,
            counter,
            faces=cast.faces,
            passed_through=cast.unseen,
            engine=names,
            details=details,
        )


@dataclass(frozen=True, slots=True)
class EditedFaces:
    """The faces that are changed. faces: different ones seen.  unseen: frames that show none of the chosen."""

    people: tuple[EditedFace, ...]
    faces: int
    unseen: int


def observe(
    info: MediaInfo, steps: Sequence[EditStep], options: EditOptions, job: Job
) -> EditedFaces:
    """Pass 1: follows and chooses the faces, looks at every frame, and settles what is done. Raises NoFaceError, MediaError."""
    face_finder = FaceFinder.load(options.faces, options.run)
    parser: Parser = PARSERS.backend(PARSERS.resolve(options.parser, options.run)).load(options.run)
    log = job.enter(TrackLog())
    statistics = look(
        info,
        log,
        options.read,
        face_finder,
        job,
        options.faces.select,
        pixels=options.steady.pixels,
    )
    tracks = face_finder.choose(statistics, options.faces.select, str(info.path), job)
    people = tuple(
        EditedFace(track, steps, log, parser, options, info.path.name, job) for track in tracks
    )
    return EditedFaces(people, statistics.tracks, _learn(people, info, parser, options, job))


def _learn(
    people: Sequence[EditedFace], info: MediaInfo, parser: Parser, options: EditOptions, job: Job
) -> int:
    """Every frame is parsed and looked at, and what is done is settled. Gives how many frames show none of the faces."""

    def frames() -> Iterator[Seen]:
        faces = zip(*(person.faces() for person in people), strict=True)
        places = zip(*(person.places() for person in people), strict=True)
        reader = job.enter(media.read(info.path, options.read, on=job.on))
        for frame, shown, found in zip(
            job.clock.over("decode", reader), faces, places, strict=True
        ):
            yield Seen(
                frame, "", shown, tuple(place[0].where for place in found), found[0][0].scene
            )

    batch, unseen = options.run.batch_size, 0
    with (
        closing(prefetch(divided(frames(), parser, batch, 0, job), batch)) as stream,
        job.stage("learn", info.frames) as step,
    ):
        places = [person.places() for person in people]
        while window := list(islice(stream, batch)):
            for i, person in enumerate(people):
                person.learn(window, i, list(islice(places[i], len(window))))
            for divided_frame in window:
                unseen += not any(face is not None for face in divided_frame.seen.faces)
                step()
    with job.clock("settle"):
        for person in people:
            person.finalize()
    return unseen


def changed(
    cast: EditedFaces, info: MediaInfo, done: int, options: EditOptions, job: Job
) -> Iterator[tuple[Frame, Pixels]]:
    """Pass 2: every frame from number `done` on, and its pixels changed."""
    for frames, parts in shown(cast, info, done, options, job):
        pixels: list[Pixels] = [frame.pixels for frame in frames]
        for person, own in zip(cast.people, parts, strict=True):
            pixels = person.edited(pixels, own, person.fronts(pixels, own))
        yield from zip(frames, pixels, strict=True)


def shown(
    cast: EditedFaces, info: MediaInfo, done: int, options: EditOptions, job: Job
) -> Iterator[tuple[list[Frame], list[list[Part | None]]]]:
    """The clip's frames from number `done` on, a batch at a time, and where each of the people is in them."""
    reader = job.clock.over(
        "decode again", job.enter(media.read(info.path, options.read, on=job.on))
    )
    batch = options.run.batch_size
    with closing(prefetch(islice(reader, done, None), batch)) as frames:
        stream = zip(frames, paired(cast.people, done), strict=True)
        while window := list(islice(stream, batch)):
            yield (
                [frame for frame, _ in window],
                [list(own) for own in zip(*(parts for _, parts in window), strict=True)],
            )

"""`thcli parse`: the regions of faces as label pictures, soft masks or an overlay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from thcli import media
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.events import Listener, Warned, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import ParseOptions, TemplateOptions
from thcli.core.protocols import Parser
from thcli.core.types import Face, Frame
from thcli.faces.backends import PARSERS
from thcli.faces.parsing.crops import numbers
from thcli.faces.parsing.temporal_smoothing import REACH
from thcli.faces.tracking.select import TrackStatistics
from thcli.media.info import MediaInfo
from thcli.media.writing.provenance import Provenance
from thcli.media.writing.target import Target
from thcli.pipeline.dry_run import planned
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import fingerprint, output_path, still_like
from thcli.pipeline.observe.crop_track import CropTrack, write_places
from thcli.pipeline.observe.driver import look
from thcli.pipeline.observe.region_overlay import ALL, Artist, Kind, Pictures, Shares, is_pictures
from thcli.pipeline.observe.region_stream import Seen, divided, painted
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.sources.source_image import FaceFinder
from thcli.pipeline.stages.crop_align import pictures

DEFAULTS = ParseOptions()
WINDOW = 256  # frames of a track at a time


def parse(
    source: str | Path,
    output: str | Path | None = None,
    options: ParseOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Divides the chosen faces of a picture, a video or a folder of pictures into the regions of `faces.parsing.CLASSES`.

    output: a folder or PNG for labels, also a video for a mask or an overlay; None: NAME_parse beside the input (.png for a picture, a
    video for a video, a folder for a folder and for labels of a video). Frames keep their size and time stamps.  A clip is followed
    and calmed in time; the pictures of a folder are looked at each by itself, and their labels keep their names and sizes.
    Report.passed_through: frames without a face; details["regions"]: each region's share of the faces.
    Raises MediaError, NoFaceError, WeightsError, OutputError, UsageError.
    """
    with Job("parse", on) as job:
        info = media.probe(job.enter(media.local(source)))
        name = PARSERS.resolve(options.parser, options.run)
        kind = _kind(options, output, info)
        artist = Artist(kind, _groups(options, kind), options.opacity)
        target = _place(output, source, info, kind)
        Target(target, options.output.overwrite).check(0)
        _refuse(kind, target, options, on)
        face_finder = FaceFinder.load(options.faces, options.run)
        parser: Parser = PARSERS.backend(name).load(options.run)
        if options.dry_run:
            return planned(job, target, info, options.read)
        statistics = TrackStatistics()
        clip = info.kind == "video"
        log = job.enter(TrackLog())
        tracks: list[int] = []
        if clip:
            statistics = look(
                info, log, options.read, face_finder, job, pixels=options.steady.pixels
            )
            tracks = face_finder.choose(statistics, options.faces.select, str(source), job)
        frames = (
            _clip(info, log, tracks, parser, options, job)
            if clip
            else _stills(info, not is_pictures(target), options, face_finder, statistics, job)
        )
        reach = REACH if options.smooth and clip else 0
        shares, empty, most = Shares(), 0, 0
        made = Provenance(
            "parse", name, synthetic="AI-generated (synthetic)" in info.metadata.get("comment", "")
        )
        if is_pictures(target):
            sink: Pictures | media.Writer = Pictures(
                target, kind, options.output.overwrite, str(made)
            )
        else:
            like = still_like(info) if kind == "mask" else replace(info, bit_depth=8)
            sink = media.write(
                target,
                info.size,
                like,
                options.output,
                drive=info,
                span=options.read,
                frames=info.frames,
                provenance=made,
                fingerprint=fingerprint((info.path,), replace(options, parser=name)),
                on=on,
            )
        with sink as out, job.stage("parse", info.frames, out.done) as step:
            counter = FrameCounter(out.done)
            batch = max(options.run.batch_size // max(len(tracks), 1), 1)
            stream = divided(frames, parser, batch, out.done - reach, job)
            for seen, found, drawn in painted(stream, artist, reach, out.done, options.run, job):
                if isinstance(out, Pictures):
                    out.write(drawn, seen.name)
                else:
                    out.write(
                        drawn if drawn.ndim == 3 else cv2.merge([drawn] * 3),
                        seen.frame.pts,
                        seen.frame.duration,
                    )
                counter.add(seen.frame.pts, seen.frame.duration, seen.frame.time_base)
                shares.add(found)
                empty, most = empty + (not found), max(most, len(found))
                step()
            if counter.frames == empty and not out.done:
                raise NoFaceError(
                    f"{source} shows no face that fits.",
                    "Give one that does, or choose another --face.",
                )
        details = {"kind": kind, "parser": name, "smooth": reach > 0, "regions": shares.report()}
        return job.report(
            target,
            counter,
            faces=statistics.tracks if clip else most,
            passed_through=empty,
            engine=name,
            details=details,
        )


def _kind(options: ParseOptions, output: str | Path | None, info: MediaInfo) -> Kind:
    """What is drawn, where the user has not said it."""
    if options.kind != "auto":
        return options.kind
    if options.regions is not None:
        return "mask"
    stills = info.kind in ("image", "directory") if output is None else is_pictures(output)
    return "labels" if stills else "overlay"


def _groups(options: ParseOptions, kind: Kind) -> frozenset[int]:
    if options.regions is None:
        return numbers("face") if kind == "mask" else ALL
    return numbers([word.strip() for word in options.regions.split(",") if word.strip()])


def _place(
    output: str | Path | None, source: str | Path, info: MediaInfo, kind: Kind
) -> str | Path:
    if (
        output is None
        and str(source) != "-"
        and info.kind != "image"
        and (info.kind == "directory" or kind == "labels")
    ):
        return Path(source).with_name(f"{Path(source).stem}_parse")
    path = output_path(output, f"{Path(source).stem}_parse", source, info, "parse")
    return Path(path).with_suffix(".png") if output is None and info.kind == "image" else path


def _refuse(kind: Kind, target: str | Path, options: ParseOptions, on: Listener) -> None:
    """What a kind of output cannot do. Raises UsageError."""
    if not is_pictures(target):
        if kind == "labels":
            raise UsageError(
                "Labels are numbers, which a video would blur.",
                "Give a folder/ or NAME.png, or --kind overlay.",
            )
        return
    if options.output.fps is not None:
        raise UsageError(
            "Pictures of every frame have no rate.", "Give --fps with a video as output."
        )
    if options.output.resume:
        on(Warned(f"--resume does not apply to {target}: it is written in one go."))


def _clip(
    info: MediaInfo,
    log: TrackLog,
    tracks: Sequence[int],
    parser: Parser,
    options: ParseOptions,
    job: Job,
) -> Iterator[Seen]:
    """Every frame of a clip with the chosen tracks' faces, each parser crop on its calmed path."""
    template = TemplateOptions(template=parser.template, size=parser.crop_size)
    paths = [job.temp_dir() / f"{track}.safetensors" for track in tracks]
    with job.clock("calm"):
        for path, track in zip(paths, tracks, strict=True):
            write_places(path, log, track, template, options.steady, info.path.name)
    places = zip(*(CropTrack(path) for path in paths), strict=True)
    faces = zip(*(_faces(log, track) for track in tracks), strict=True)
    reader = job.enter(media.read(info.path, options.read, on=job.on))
    for frame, here, own in zip(job.clock.over("decode again", reader), places, faces, strict=True):
        yield Seen(
            frame, f"{frame.index:06d}", own, tuple(place.where for place in here), here[0].scene
        )


def _faces(log: TrackLog, track: int) -> Iterator[Face | None]:
    for _, faces in log.windows(track, WINDOW):
        yield from faces


def _stills(
    info: MediaInfo,
    one_size: bool,
    options: ParseOptions,
    face_finder: FaceFinder,
    statistics: TrackStatistics,
    job: Job,
) -> Iterator[Seen]:
    """Every picture by itself. one_size: as a video needs them."""
    if one_size:
        reader = job.enter(media.read(info.path, options.read, on=job.on))
        named: Iterable[tuple[int | str, Frame]] = ((frame.index, frame) for frame in reader)
    else:
        named = pictures(info, options.read, job)
    for name, frame in job.clock.over("decode", named):
        picture = to_uint8(frame.pixels)
        with job.clock("find", frames=1):
            faces = face_finder.find(picture)
            here = TrackStatistics()
            here.add(faces)
            try:
                picked = (
                    face_finder.choose(here, options.faces.select, str(info.path), job)
                    if faces
                    else []
                )
            except NoFaceError:  # the next picture may show one that fits
                picked = []
            refined = tuple(face_finder.refined(picture, faces[number]) for number in picked)
        plain = Path(name).stem if isinstance(name, str) else f"{name:06d}"
        yield Seen(frame, plain, refined, (None,) * len(refined))

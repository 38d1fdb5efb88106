"""`thcli crop` and `thcli align`: faces cut out of clips, calmly, and out of pictures, each by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

from thcli import media
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import AlignOptions, CropOptions, OutputOptions, ReadOptions
from thcli.core.stream import ordered_map
from thcli.core.types import Crop, Frame
from thcli.faces.crops.crop import Pixels
from thcli.faces.crops.crop import crop as cut
from thcli.media.atomic_file import SideFile
from thcli.media.info import MediaInfo
from thcli.media.reading.image import folder_images
from thcli.media.writing.provenance import Provenance
from thcli.media.writing.target import Target
from thcli.media.writing.write import Writer
from thcli.pipeline.dry_run import planned
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import fingerprint, output_path
from thcli.pipeline.observe.crop_track import (
    SUFFIX,
    CropPlacement,
    CropTrack,
    place_of,
    write_places,
)
from thcli.pipeline.observe.driver import look
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.sources.source_image import FaceFinder

CROP, ALIGN = CropOptions(), AlignOptions()


def crop(
    source: str | Path,
    output: str | Path | None = None,
    options: CropOptions = CROP,
    on: Listener = silent,
) -> Report:
    """Cuts a steady crop of the chosen face out of a clip: a frame out for each frame in, with its time stamp.

    output: a video, folder or '-'; None: NAME_crop.mp4 beside the clip.  Where the crops lie goes to options.crops, or to
    OUTPUT.crops.safetensors beside the output (see `cropfile`; with '-' it is kept only when options.crops says where). Frames
    without the face (Report.passed_through) show the place between those with it.
    Raises MediaError, NoFaceError, WeightsError, OutputError, UsageError.
    """
    if options.output.fps is not None:
        raise UsageError(
            "crop keeps every frame of its clip and cannot change the rate.", "Give --fps to paste."
        )
    with Job("crop", on) as job:
        info = media.probe(job.enter(media.local(source)))
        target = output_path(output, f"{Path(source).stem}_crop", source, info, "crop")
        beside = _beside(target, options)
        size = (options.template.size, options.template.size)
        face_finder = FaceFinder.load(options.faces, options.run)
        side = nullcontext(None) if beside is None else SideFile(beside, options.output.overwrite)
        Target(target, options.output.overwrite).check(0)
        if options.dry_run:
            return planned(job, target, info, options.read)
        with side as kept, TrackLog() as log:
            statistics = look(
                info,
                log,
                options.read,
                face_finder,
                job,
                options.faces.select,
                pixels=options.steady.pixels,
            )
            chosen = face_finder.choose(statistics, options.faces.select, str(source), job)
            if len(chosen) > 1:
                raise UsageError(
                    f"{source} shows {len(chosen)} faces, and one is cropped at a time.",
                    "Choose it with --face N.",
                )
            path = job.temp_dir() / f"places{SUFFIX}" if kept is None else kept.partial
            with job.clock("calm"):
                unseen = write_places(
                    path, log, chosen[0], options.template, options.steady, Path(source).name
                )
            places, counter = CropTrack(path), FrameCounter()
            writer = _writer(
                target,
                size,
                info,
                options.output,
                options.read,
                "crop",
                fingerprint((info.path,), options),
                on,
            )
            with writer as out, job.stage("crop", len(places), out.done) as step:
                counter.frames = out.done
                reader = job.enter(media.read(info.path, options.read, on=on))
                for frame, pixels in _cut(reader, places, out.done, options, job):
                    out.write(pixels, frame.pts, frame.duration)
                    counter.add(frame.pts, frame.duration, frame.time_base)
                    step()
        details = {"crops": None if beside is None else str(beside), "size": options.template.size}
        return job.report(
            target, counter, faces=statistics.tracks, passed_through=unseen, details=details
        )


def align(
    source: str | Path,
    output: str | Path | None = None,
    options: AlignOptions = ALIGN,
    on: Listener = silent,
) -> Report:
    """Cuts the chosen faces out of a picture, or out of every picture of a folder or video, each by itself.

    output: a picture for one face, a folder or video for more; None: NAME_aligned beside the input (a folder for a folder, and for
    --face all).  Report.frames: faces cut out.  passed_through: pictures without one that fits; details["pictures"]: for each
    face its picture, by its name in a folder, else by its number.
    Raises MediaError, NoFaceError when no picture shows one, WeightsError, OutputError, UsageError.
    """
    with Job("align", on) as job:
        info = media.probe(job.enter(media.local(source)))
        target = _aligned_path(output, source, info, options.faces.select)
        Target(target, options.output.overwrite).check(0)
        face_finder = FaceFinder.load(options.faces, options.run)
        if options.dry_run:
            return planned(job, target, info, options.read)
        size = (options.template.size, options.template.size)
        if options.output.resume:
            raise UsageError("align is done in one go: it has no --resume.")
        names: list[int | str] = []
        counter, most, empty, last = FrameCounter(), 0, 0, -1
        none = NoFaceError(f"{source} shows no face.", "Give a picture that shows one.")
        writer = _writer(target, size, info, options.output, options.read, "align", "", on)
        with writer as out, job.stage("align", info.frames) as step:
            for name, frame in job.clock.over("decode", pictures(info, options.read, job)):
                with job.clock("find", frames=1):
                    try:
                        places = _places(frame, options, face_finder, str(source), job)
                    except NoFaceError as error:  # the next picture may show one that fits
                        places, none = [], error
                for where in places:
                    last = max(
                        last + 1, frame.pts
                    )  # several faces of one picture follow each other
                    out.write(
                        cut(frame.pixels, where, border=options.template.border),
                        last,
                        frame.duration,
                    )
                    counter.add(last, frame.duration, frame.time_base)
                    names.append(name)
                most, empty = max(most, len(places)), empty + (not places)
                step()
            if not names:
                raise none
        details = {"pictures": names, "size": options.template.size}
        return job.report(target, counter, faces=most, passed_through=empty, details=details)


def _cut(
    frames: media.Reader, places: CropTrack, done: int, options: CropOptions, job: Job
) -> Iterator[tuple[Frame, Pixels]]:
    """The crops of all frames from `done` on, in order, cut by several threads."""

    def one(pair: tuple[Frame, CropPlacement]) -> tuple[Frame, Pixels]:
        frame, place = pair
        with job.clock("cut", frames=1):
            return frame, cut(frame.pixels, place.where, border=options.template.border)

    workers = options.run.threads or os.cpu_count() or 1
    pairs = islice(zip(job.clock.over("decode again", frames), places, strict=True), done, None)
    return ordered_map(one, pairs, workers, workers + 1)


def pictures(info: MediaInfo, read: ReadOptions, job: Job) -> Iterator[tuple[int | str, Frame]]:
    """The pictures of an input with their names or numbers; those of a folder each in its own size, which `media.read` does not keep."""
    if info.kind != "directory":
        for frame in job.enter(media.read(info.path, read, on=job.on)):
            yield frame.index, frame
        return
    for index, path in enumerate(folder_images(info.path)):
        moment = index * info.time_base
        if read.start <= moment and (read.end is None or moment < read.end):
            yield path.name, Frame(media.read_image(path), index, info.time_base, index, 1)


def _places(
    frame: Frame, options: AlignOptions, face_finder: FaceFinder, where: str, job: Job
) -> list[Crop]:
    """Where the chosen faces of one picture are cut out; none when there is none that fits."""
    picture = to_uint8(frame.pixels)
    faces = face_finder.find(picture)
    if not faces:
        return []
    statistics = face_finder.statistics(options.faces.select)
    statistics.add(faces, picture)
    chosen = face_finder.choose(statistics, options.faces.select, where, job)
    return [
        place_of(face_finder.refined(picture, faces[number]), options.template) for number in chosen
    ]


def _writer(
    target: str | Path,
    size: tuple[int, int],
    info: MediaInfo,
    output: OutputOptions,
    span: ReadOptions,
    command: str,
    job_is: str,
    on: Listener,
) -> Writer:
    """An output of cut out pictures, made ones only when the clip is."""
    made = Provenance(
        command, synthetic="AI-generated (synthetic)" in info.metadata.get("comment", "")
    )
    return media.write(
        target,
        size,
        info,
        output,
        drive=info,
        span=span,
        frames=info.frames,
        provenance=made,
        fingerprint=job_is,
        on=on,
    )


def _beside(target: str | Path, options: CropOptions) -> Path | None:
    """Where it is noted where the crops lie; None: nowhere."""
    if options.crops is not None or str(target) == "-":
        return options.crops
    return places_of(target)


def places_of(crops: str | Path) -> Path:
    """The file beside a clip (or folder) of crops that says where they lie."""
    path = Path(crops)
    whole = path.is_dir() or str(crops).endswith(("/", os.sep))
    return path.with_name(f"{path.name if whole else path.stem}{SUFFIX}")


def _aligned_path(
    output: str | Path | None, source: str | Path, info: MediaInfo, select: str
) -> str | Path:
    if output is None and str(source) != "-" and (info.kind == "directory" or select == "all"):
        return Path(source).with_name(f"{Path(source).stem}_aligned")
    return output_path(output, f"{Path(source).stem}_aligned", source, info, "align")

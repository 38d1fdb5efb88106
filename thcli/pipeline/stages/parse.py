"""`thcli parse`: face regions as label maps, soft masks or an overlay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from thcli import media
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.events import Listener, Warned, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import ParseOptions, TemplateOptions, comma_words
from thcli.core.protocols import Parser
from thcli.core.types import Face, Frame, Image
from thcli.faces.backends import PARSERS
from thcli.faces.parsing.crops import class_numbers
from thcli.faces.parsing.temporal_smoothing import REACH
from thcli.faces.tracking.select import TrackStatistics
from thcli.media.info import MediaInfo
from thcli.media.writing.provenance import Provenance, is_synthetic
from thcli.media.writing.target import OutputTarget
from thcli.pipeline.check_options import check_run, refuse
from thcli.pipeline.dry_run import plan
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import output_path, srgb_video_info
from thcli.pipeline.observe.crop_track import CropTrack, write_crop_track
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
from thcli.pipeline.observe.inputs import require_sound
from thcli.pipeline.observe.region_overlay import (
    ALL_CLASSES,
    OutputKind,
    RegionImageWriter,
    RegionRenderer,
    RegionShares,
    is_image_output,
)
from thcli.pipeline.observe.region_stream import FrameFaces, parse_frames, render_regions
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, track_faces
from thcli.pipeline.stages.crop_align import read_images

DEFAULTS = ParseOptions()
WINDOW = 256  # frames of a track in memory


def parse(
    source: str | Path,
    output: str | Path | None = None,
    options: ParseOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Segment the chosen faces of an input into the regions of `faces.parsing.CLASSES`.

    Frames keep size and time stamps. The faces of a video are tracked and their regions smoothed
    over time. Images of a folder are parsed one by one; labels keep their names and sizes.
    Report.passed_through counts the frames without a face, and details["regions"] has the share of
    each region in the faces.

    Args:
        source: image, video, folder of images, or '-' for standard input.
        output: folder/ or PNG; for a mask or an overlay also a video. None for NAME_parse beside
            the input: .png for an image, a video for a video, a folder for a folder and for labels
            of a video.
        options: parser, kind, regions, smoothing.
        on: listener for progress and warnings.

    Raises:
        MediaError: the input cannot be read.
        NoFaceError: no frame shows a chosen face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: the kind does not fit the output, or an unknown region.
    """
    check_run(options, output)
    options = replace(options, read=replace(options.read, square_pixels=True))
    with Job("parse", on, options, [source]) as job:
        info = media.probe(job.seekable(source), options.read)
        require_sound(info, options.faces.select)
        name = PARSERS.resolve(options.parser, options.run)
        kind = _kind(options, output, info)
        if kind != "overlay":
            refuse(options, ("opacity",), f"with --kind {kind}", "Add --kind overlay.")
        renderer = RegionRenderer(kind, _classes(options, kind), options.opacity)
        target = _target(output, source, info, kind)
        OutputTarget(target, options.output.overwrite).check(0)
        _check_output(kind, target, options, on)
        face_finder = FaceFinder.load(options.faces, options.run, options.read)
        parser: Parser = PARSERS.backend(name).load(options.run)
        if options.dry_run:
            return plan(job, target, info, options.read)
        statistics, tracks = TrackStatistics(), list[int]()
        is_video = info.kind == "video"
        if is_video:
            log, video = (
                job.enter(TrackLog()),
                VideoSelection(info, options.read, options.faces.select),
            )
            statistics = track_faces(
                video, log, face_finder, job, FrameMeasurer(options.stabilization.pixels)
            )
            tracks = face_finder.choose(statistics, video.select, str(source), job)
            frames = _video_frames(video, log, tracks, parser, options, job)
        else:
            images = _named_images(info, target, options, job)
            frames = _image_frames(images, str(info.path), options, face_finder, job)
        reach = REACH if options.smooth and is_video else 0
        shares, empty, most = RegionShares(), 0, 0
        writer = _open_output(target, kind, info, options, name, job)
        with writer as out, job.stage("parse", info.frames, out.done) as step:
            counter = FrameCounter(out.done)
            batch = max(options.run.batch_size // max(len(tracks), 1), 1)
            parsed = parse_frames(frames, parser, batch, out.done - reach, job)
            for item in render_regions(parsed, renderer, reach, out.done, options.run, job):
                frame = item.frame_faces.frame
                if isinstance(out, RegionImageWriter):
                    out.write(item.image, item.frame_faces.name)
                else:
                    out.write(_three_channels(item.image), frame.pts, frame.duration)
                failed = frame.index in job.failed_frames
                counter.add(frame.pts, frame.duration, frame.time_base, succeeded=not failed)
                shares.add(item.regions)
                empty, most = (
                    empty + (not item.regions and not failed),
                    max(most, len(item.regions)),
                )
                step()
            if counter.frames == empty and not out.done:
                raise NoFaceError(
                    f"{source} shows none of the chosen faces.",
                    "Give one that does, or choose another --face.",
                )
        return job.report(
            target,
            counter,
            faces=statistics.tracks if is_video else most,
            passed_through=empty,
            engine=name,
            details={"kind": kind, "parser": name, "smooth": reach > 0, "regions": shares.report()},
        )


def _kind(options: ParseOptions, output: str | Path | None, info: MediaInfo) -> OutputKind:
    """Return --kind, or the default for the output."""
    if options.kind != "auto":
        return options.kind
    if options.regions is not None:
        return "mask"
    images = info.kind in ("image", "directory") if output is None else is_image_output(output)
    return "labels" if images else "overlay"


def _classes(options: ParseOptions, kind: OutputKind) -> frozenset[int]:
    if options.regions is None:
        return class_numbers("face") if kind == "mask" else ALL_CLASSES
    return class_numbers(comma_words(options.regions))


def _target(
    output: str | Path | None, source: str | Path, info: MediaInfo, kind: OutputKind
) -> str | Path:
    to_folder = info.kind == "directory" or (kind == "labels" and info.kind != "image")
    if output is None and str(source) != "-" and to_folder:
        return Path(source).with_name(f"{Path(source).stem}_parse")
    path = output_path(output, f"{Path(source).stem}_parse", source, info, "parse")
    return Path(path).with_suffix(".png") if output is None and info.kind == "image" else path


def _check_output(
    kind: OutputKind, target: str | Path, options: ParseOptions, on: Listener
) -> None:
    """Raise UsageError for options that the output does not support."""
    if not is_image_output(target):
        if kind == "labels":
            raise UsageError(
                "Label maps cannot be a video: lossy coding would change the labels.",
                "Give a folder/ or NAME.png, or --kind overlay.",
            )
        return
    if options.output.fps is not None:
        raise UsageError("Images have no frame rate.", "Give --fps with a video as output.")
    if options.output.resume:
        on(Warned(f"--resume does not apply to {target}: it is not written in parts."))


def _open_output(
    target: str | Path,
    kind: OutputKind,
    info: MediaInfo,
    options: ParseOptions,
    parser_name: str,
    job: Job,
) -> RegionImageWriter | media.Writer:
    synthetic = is_synthetic(info.metadata.get("comment", ""))
    provenance = Provenance("parse", parser_name, synthetic=synthetic)
    if is_image_output(target):
        return RegionImageWriter(target, kind, options.output.overwrite, str(provenance))
    converted = kind == "mask" or info.colour.is_hdr  # frames of `Job.frames` are tone-mapped
    like = srgb_video_info(info) if converted else replace(info, bit_depth=8)
    write_plan = media.WritePlan(
        frames=info.frames,
        drive=info,
        span=options.read,
        provenance=provenance,
        fingerprint=job.fingerprint(),
    )
    return media.write(target, info.size, like, options.output, write_plan, on=job.on)


def _three_channels(image: Image) -> Image:
    if image.ndim == 3:
        return image
    return cv2.merge([image] * 3)  # type: ignore[return-value]  # its stub has a wider type


def _video_frames(
    video: VideoSelection,
    log: TrackLog,
    tracks: Sequence[int],
    parser: Parser,
    options: ParseOptions,
    job: Job,
) -> Iterator[FrameFaces]:
    """Yield every frame of a video with the chosen faces and smoothed crops for the parser."""
    template = TemplateOptions(template=parser.template, size=parser.crop_size)
    paths = [job.temp_dir() / f"{track}.safetensors" for track in tracks]
    with job.clock("calm"):
        for path, track in zip(paths, tracks, strict=True):
            write_crop_track(
                path, log, track, template, options.stabilization, video.info.path.name
            )
    crops = zip(*(CropTrack(path) for path in paths), strict=True)
    faces = zip(*(log.faces(track, WINDOW) for track in tracks), strict=True)
    reader = job.enter(job.frames(video.info.path, video.read))
    decoded = job.clock.time_each("decode again", reader)
    for frame, frame_crops, frame_faces in zip(decoded, crops, faces, strict=True):
        placements = tuple(tracked.placement for tracked in frame_crops)
        name = f"{frame.index:06d}"
        yield FrameFaces(frame, name, frame_faces, placements, frame_crops[0].scene)


def _named_images(
    info: MediaInfo, target: str | Path, options: ParseOptions, job: Job
) -> Iterable[tuple[int | str, Frame]]:
    """Return the images of an input with their names; a video as output needs one size."""
    if is_image_output(target):
        return read_images(info, options.read, job)
    reader = job.enter(media.read(info.path, options.read, device=job.device, on=job.on))
    return ((frame.index, frame) for frame in reader)


def _image_frames(
    images: Iterable[tuple[int | str, Frame]],
    source: str,
    options: ParseOptions,
    face_finder: FaceFinder,
    job: Job,
) -> Iterator[FrameFaces]:
    """Yield every image with its chosen faces, each image by itself. source: for messages."""
    for name, frame in job.clock.time_each("decode", images):
        image = to_uint8(frame.pixels)
        with job.clock("find", frames=1):
            faces = face_finder.find(image)
            chosen = _choose(faces, source, options, face_finder, job)
            refined = tuple(face_finder.refine_landmarks(image, face) for face in chosen)
        stem = Path(name).stem if isinstance(name, str) else f"{name:06d}"
        yield FrameFaces(frame, stem, refined, (None,) * len(refined))


def _choose(
    faces: list[Face], source: str, options: ParseOptions, face_finder: FaceFinder, job: Job
) -> list[Face]:
    """Return the chosen faces of one image, none when it does not show them."""
    statistics = TrackStatistics()
    statistics.add(faces)
    if not faces:
        return []
    try:
        numbers = face_finder.choose(statistics, options.faces.select, source, job)
    except NoFaceError:  # another image may show a chosen face
        return []
    return [faces[number] for number in numbers]

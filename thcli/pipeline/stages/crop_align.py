"""`thcli crop` and `thcli align`: face crops of clips, stabilised, and of single images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path

from thcli import media
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import AlignOptions, CropOptions, ReadOptions
from thcli.core.stream import ordered_map
from thcli.core.types import Crop, Frame
from thcli.faces.crops.crop import Pixels
from thcli.faces.crops.crop import crop as crop_pixels
from thcli.media.atomic_file import AtomicFile
from thcli.media.info import MediaInfo
from thcli.media.reading.image import list_images
from thcli.media.writing.provenance import Provenance, is_synthetic
from thcli.media.writing.target import OutputTarget
from thcli.pipeline.check_options import check_run
from thcli.pipeline.dry_run import plan
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import output_path
from thcli.pipeline.job.spans import least_frames
from thcli.pipeline.observe.crop_templates import crop_placement
from thcli.pipeline.observe.crop_track import SUFFIX, CropTrack, TrackedCrop, write_crop_track
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
from thcli.pipeline.observe.inputs import require_sound
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, track_faces

CROP, ALIGN = CropOptions(), AlignOptions()


def crop(
    source: str | Path,
    output: str | Path | None = None,
    options: CropOptions = CROP,
    on: Listener = silent,
) -> Report:
    """Crop the chosen face of a clip, stabilised.

    Every frame gives one crop with its time stamp. Frames without the face
    (Report.passed_through) show the interpolated placement.

    Args:
        source: video, image, folder of images, or '-' for standard input.
        output: video, folder/ or '-'; None for NAME_crop beside the clip.
        options: template, smoothing, encoding. The crop track is written to `options.crops`, else
            to OUTPUT.crops.safetensors; with output '-' only to `options.crops`.
        on: listener for progress and warnings.

    Raises:
        MediaError: the clip cannot be read.
        NoFaceError: no frame shows the chosen face.
        WeightsError: weights are not installed.
        OutputError: an output exists or cannot be written.
        UsageError: several faces are chosen, or --fps is given.
    """
    if options.output.fps is not None:
        raise UsageError(
            "crop keeps every frame of its clip and cannot change the rate.", "Give --fps to paste."
        )
    check_run(options, output)
    options = replace(options, read=replace(options.read, square_pixels=True))
    with Job("crop", on, options, [source]) as job:
        info = media.probe(job.seekable(source), options.read)
        require_sound(info, options.faces.select)
        target = output_path(
            output,
            f"{Path(source).stem}_crop",
            source,
            info,
            "crop",
            least_frames(info, options.read),
        )
        kept_path, overwrite = _kept_crop_track(target, options), options.output.overwrite
        size = (options.template.size, options.template.size)
        face_finder = FaceFinder.load(options.faces, options.run, options.read)
        kept_file = nullcontext(None) if kept_path is None else AtomicFile(kept_path, overwrite)
        OutputTarget(target, overwrite).check(0)
        if options.dry_run:
            return plan(job, target, info, options.read)
        with kept_file as kept, TrackLog() as log:
            video = VideoSelection(info, options.read, options.faces.select)
            statistics = track_faces(
                video, log, face_finder, job, FrameMeasurer(options.stabilization.pixels)
            )
            chosen = face_finder.choose(statistics, video.select, str(source), job)
            if len(chosen) > 1:
                raise UsageError(
                    f"{source} shows {len(chosen)} faces, but only one can be cropped at a time.",
                    "Choose it with --face N.",
                )
            path = job.temp_dir() / f"places{SUFFIX}" if kept is None else kept.partial
            with job.clock("calm"):
                unseen = write_crop_track(
                    path, log, chosen[0], options.template, options.stabilization, Path(source).name
                )
            crop_track, counter = CropTrack(path), FrameCounter()
            write_plan = media.WritePlan(
                frames=info.frames,
                drive=info,
                span=options.read,
                provenance=_provenance("crop", info),
                fingerprint=job.fingerprint(),
            )
            writer = media.write(target, size, info, options.output, write_plan, on=on)
            with writer as out, job.stage("crop", len(crop_track), out.done) as step:
                counter.frames = out.done
                reader = job.enter(job.frames(info.path, options.read))
                for frame, pixels in _crop_frames(reader, crop_track, out.done, options, job):
                    out.write(pixels, frame.pts, frame.duration)
                    counter.add(frame.pts, frame.duration, frame.time_base)
                    step()
        kept_name = None if kept_path is None else str(kept_path)
        return job.report(
            target,
            counter,
            faces=statistics.tracks,
            passed_through=unseen,
            details={"crops": kept_name, "size": options.template.size},
        )


def align(
    source: str | Path,
    output: str | Path | None = None,
    options: AlignOptions = ALIGN,
    on: Listener = silent,
) -> Report:
    """Crop the chosen faces of every image of an input, each image by itself.

    Report.frames counts the crops, Report.passed_through the images without a crop, and
    details["pictures"] has for each crop its image: the file name in a folder, else the number.

    Args:
        source: image, folder of images, video, or '-' for standard input.
        output: image for one face, folder/ or video for more; None for NAME_aligned beside the
            input, a folder for a folder and for --face all.
        options: template, encoding.
        on: listener for progress and warnings.

    Raises:
        MediaError: the input cannot be read.
        NoFaceError: no image shows a chosen face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: --resume is given.
    """
    check_run(options, output)
    options = replace(options, read=replace(options.read, square_pixels=True))
    with Job("align", on, options, [source]) as job:
        info = media.probe(job.seekable(source), options.read)
        target = _aligned_path(output, source, info, options.faces.select)
        OutputTarget(target, options.output.overwrite).check(0)
        face_finder = FaceFinder.load(options.faces, options.run, options.read)
        if options.dry_run:
            return plan(job, target, info, options.read)
        size = (options.template.size, options.template.size)
        if options.output.resume:
            raise UsageError("align has no --resume: it is not written in parts.")
        names: list[int | str] = []
        counter, most, empty, last = FrameCounter(), 0, 0, -1
        no_face = NoFaceError(f"{source} shows no face.", "Give an image that shows one.")
        write_plan = media.WritePlan(
            frames=info.frames, drive=info, span=options.read, provenance=_provenance("align", info)
        )
        writer = media.write(target, size, info, options.output, write_plan, on=on)
        with writer as out, job.stage("align", info.frames) as step:
            for name, frame in job.clock.time_each("decode", read_images(info, options.read, job)):
                with job.clock("find", frames=1):
                    try:
                        placements = _placements(frame, options, face_finder, str(source), job)
                    except NoFaceError as error:  # another image may show a chosen face
                        placements, no_face = [], error
                own = frame.to_signal(frame.pixels)
                for placement in placements:
                    last = max(last + 1, frame.pts)  # several faces of one image in succession
                    pixels = crop_pixels(own, placement, border=options.template.border)
                    out.write(pixels, last, frame.duration)
                    counter.add(last, frame.duration, frame.time_base)
                    names.append(name)
                most, empty = max(most, len(placements)), empty + (not placements)
                step()
            if not names:
                raise no_face
        details = {"pictures": names, "size": options.template.size}
        return job.report(target, counter, faces=most, passed_through=empty, details=details)


def _crop_frames(
    frames: Iterable[Frame], crop_track: CropTrack, done: int, options: CropOptions, job: Job
) -> Iterator[tuple[Frame, Pixels]]:
    """Crop all frames from number `done` on, in order, on several threads."""

    def crop_one(pair: tuple[Frame, TrackedCrop]) -> tuple[Frame, Pixels]:
        frame, tracked_crop = pair
        with job.clock("cut", frames=1):
            own = frame.to_signal(frame.pixels)
            pixels = crop_pixels(own, tracked_crop.placement, border=options.template.border)
            return frame, pixels

    workers = options.run.workers
    decoded = job.clock.time_each("decode again", frames)
    pairs = islice(zip(decoded, crop_track, strict=True), done, None)
    return ordered_map(crop_one, pairs, workers, workers + 1)


def read_images(info: MediaInfo, read: ReadOptions, job: Job) -> Iterator[tuple[int | str, Frame]]:
    """Yield the images of an input, each with its file name in a folder or its number.

    Those of a folder keep their sizes, which `media.read` does not. HDR frames are tone-mapped;
    what is written goes through `Frame.to_signal`.
    """
    if info.kind != "directory":
        for frame in job.enter(job.frames(info.path, read)):
            yield frame.index, frame
        return
    for index, path in enumerate(list_images(info.path)):
        seconds = index * info.time_base
        if read.start <= seconds and (read.end is None or seconds < read.end):
            yield (
                path.name,
                Frame(media.read_image(path, options=read), index, info.time_base, index, 1),
            )


def _placements(
    frame: Frame, options: AlignOptions, face_finder: FaceFinder, name: str, job: Job
) -> list[Crop]:
    """Place the crops of the chosen faces of one image; none without a face.

    Raises NoFaceError when there are faces but not the chosen one. name: of the input.
    """
    image = to_uint8(frame.pixels)
    faces = face_finder.find(image, mesh=False)
    if not faces:
        return []
    statistics = face_finder.statistics(options.faces.select)
    statistics.add(faces, image)
    chosen = face_finder.choose(statistics, options.faces.select, name, job)
    refined = (face_finder.refine_landmarks(image, faces[number]) for number in chosen)
    return [crop_placement(face, options.template) for face in refined]


def _provenance(command: str, info: MediaInfo) -> Provenance:
    """Mark crops as synthetic when their clip is."""
    synthetic = is_synthetic(info.metadata.get("comment", ""))
    return Provenance(command, synthetic=synthetic)


def _kept_crop_track(target: str | Path, options: CropOptions) -> Path | None:
    """Return the path of the crop track, None when it is not kept."""
    if options.crops is not None or str(target) == "-":
        return options.crops
    return crop_track_path(target)


def crop_track_path(crops: str | Path) -> Path:
    """Return the path of the crop track beside a clip or folder of crops."""
    path = Path(crops)
    is_folder = path.is_dir() or str(crops).endswith(("/", os.sep))
    return path.with_name(f"{path.name if is_folder else path.stem}{SUFFIX}")


def _aligned_path(
    output: str | Path | None, source: str | Path, info: MediaInfo, select: str
) -> str | Path:
    if output is None and str(source) != "-" and (info.kind == "directory" or select == "all"):
        return Path(source).with_name(f"{Path(source).stem}_aligned")
    return output_path(output, f"{Path(source).stem}_aligned", source, info, "align")

"""`thcli edit`: edit faces of a video by attribute or text, alike in every frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.options import CompareOptions, EditOptions, ReadOptions
from thcli.core.protocols import Parser
from thcli.core.stream import prefetch
from thcli.core.types import Frame
from thcli.editors.edit_file import save
from thcli.faces.backends import PARSERS
from thcli.faces.crops.crop import Pixels
from thcli.media.info import MediaInfo
from thcli.pipeline.check_options import check_run
from thcli.pipeline.compare import write_comparison
from thcli.pipeline.dry_run import rehearse_edit
from thcli.pipeline.editing.edited_face import EditedFace, zip_in_frames
from thcli.pipeline.editing.face_in_frame import FaceInFrame
from thcli.pipeline.editing.factory import build_edit_file, plan_steps
from thcli.pipeline.editing.other_faces import recombine
from thcli.pipeline.editing.request import EditRequest, parse_requests
from thcli.pipeline.editing.steps import EditStep
from thcli.pipeline.editing.variants import variant_targets
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import check_outputs, output_path
from thcli.pipeline.job.preview import limit_preview, preview_stem
from thcli.pipeline.job.spans import least_frames
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
from thcli.pipeline.observe.inputs import require_sound
from thcli.pipeline.observe.region_stream import FrameFaces, parse_frames
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, track_faces
from thcli.pipeline.sources.pixel_shape import as_written

DEFAULTS = EditOptions()


def edit(
    video: str | Path,
    output: str | Path | None = None,
    options: EditOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Edit the chosen faces of a video.

    The identity and appearance of a face are edited once per clip, so the result is steady in time.
    Frames keep size, depth and time stamps. Pixels outside of the edited regions are those of the
    input, bit for bit. Report.passed_through counts the frames without the faces.

    Args:
        video: video, image, folder of images, or '-' for standard input.
        output: file, folder/ or '-'; None for NAME_edit beside the video. With several strengths of
            an attribute there are as many files, NAME_ATTRIBUTE_STRENGTH; the clip is analysed
            once, and report.details["outputs"] names them.
        options: see `EditOptions`.
        on: listener for progress and warnings.

    Raises:
        MediaError: an input cannot be read.
        NoFaceError: no frame shows the chosen face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: options that exclude each other or have no effect, or an unknown attribute.
    """
    options = limit_preview(options)
    check_run(options, output, options.compare)
    if options.dry_run:
        return rehearse_edit(edit, video, output, options, on)
    with Job("edit", on, options, [video]) as job:
        requests = parse_requests(options)
        info = media.probe(job.seekable(video), options.read)
        require_sound(info, options.faces.select)
        stem = preview_stem(f"{Path(video).stem}_edit", options)
        target = output_path(output, stem, video, info, "edit", least_frames(info, options.read))
        targets = variant_targets(target, requests, options)
        for path in targets:
            check_outputs(path, options.output, compare=options.compare, file=options.save_edit)
        for path in options.recombine.files:
            media.probe(path, options.read)  # before anything is loaded
        stored = options.read
        if info.sar != 1:  # faces are found and changed as they are shown
            options = replace(options, read=replace(stored, square_pixels=True))
        planned = [plan_steps(request, options, on) for request in requests]
        variants = recombine(planned, options, job)
        shown = media.probe(info.path, options.read)
        edited_faces = observe_faces(shown, variants[0], options, job)
        counter, engine, engines = FrameCounter(0), "", requests[0].engines
        for steps, path in zip(variants, targets, strict=True):
            for face in edited_faces.faces:
                face.use(steps)
            engines = edited_faces.active_engines(requests[0], steps)
            engine = "+".join(engines)
            counter = _write(path, edited_faces, info, engine, stored, options, job)
        if options.save_edit is not None:
            edit_file = build_edit_file(requests[0], variants[0], options)
            save(options.save_edit, edit_file, overwrite=options.output.overwrite)
        comparison = CompareOptions(read=stored, output=options.output)
        write_comparison(options.compare, [info.path], targets[0], comparison, on)
        details: dict[str, Any] = {
            "attributes": dict(requests[0].attributes),
            "text": options.text or requests[0].text,
            "engines": {name: dict(shares) for name, shares in engines.items()},
        }
        if len(targets) > 1:
            details["outputs"] = {
                str(path): dict(request.attributes)
                for path, request in zip(targets, requests, strict=True)
            }
        return job.report(
            targets[0],
            counter,
            faces=edited_faces.tracks,
            passed_through=edited_faces.unseen,
            engine=engine,
            details=details,
        )


def _write(
    target: str | Path,
    edited_faces: EditedFaces,
    info: MediaInfo,
    engine: str,
    stored: ReadOptions,
    options: EditOptions,
    job: Job,
) -> FrameCounter:
    """Run pass 2 into one output; stored: how the frames are read that are written."""
    plan = media.WritePlan(
        frames=info.frames,
        drive=info,
        span=options.read,
        provenance=job.provenance(engine),
        fingerprint=job.fingerprint(),
    )
    writer = media.write(target, info.size, info, options.output, plan, on=job.on)
    with writer as out, job.stage("edit", info.frames, out.done) as step:
        counter = FrameCounter(out.done)
        edited = edit_frames(edited_faces, info, out.done, options, job)
        for frame, pixels in as_written(edited, info, stored, out.done, job):
            out.write(pixels, frame.pts, frame.duration)
            succeeded = frame.index not in job.failed_frames
            counter.add(frame.pts, frame.duration, frame.time_base, succeeded=succeeded)
            step()
    return counter


@dataclass(frozen=True, slots=True)
class EditedFaces:
    """The edited faces of a clip.

    faces: one per chosen face.
    tracks: number of different faces in the clip.
    unseen: frames that show none of the edited faces.
    """

    faces: tuple[EditedFace, ...]
    tracks: int
    unseen: int

    def active_engines(
        self, request: EditRequest, steps: Sequence[EditStep], first: int = 0
    ) -> dict[str, Mapping[str, float]]:
        """Return the engines that change a face, with their attributes as in the request.

        One without attributes only removes worn glasses.

        Args:
            request: the edit.
            steps: of the request.
            first: number of the first of them among the steps of the faces.
        """
        active = (
            step.name
            for index, step in enumerate(steps, first)
            if any(face.changes(index) for face in self.faces)
        )
        return {name: request.engines.get(name, {}) for name in active}


def observe_faces(
    info: MediaInfo, steps: Sequence[EditStep], options: EditOptions, job: Job
) -> EditedFaces:
    """Run pass 1: track and choose the faces, parse them and decide the edit.

    Args:
        info: the probed clip.
        steps: editors and painters in their order.
        options: of the edit.
        job: clock, progress and temporary files.

    Raises:
        NoFaceError: no frame shows the chosen face.
        MediaError: the clip cannot be read.
    """
    face_finder = FaceFinder.load(options.faces, options.run, options.read)
    parser: Parser = PARSERS.backend(PARSERS.resolve(options.parser, options.run)).load(options.run)
    log, select = job.enter(TrackLog()), options.faces.select
    video = VideoSelection(info, options.read, select)
    measurer = FrameMeasurer(options.stabilization.pixels)
    statistics = track_faces(video, log, face_finder, job, measurer)
    tracks = face_finder.choose(statistics, select, str(info.path), job)
    faces = tuple(
        EditedFace(track, steps, log, parser, options, info.path.name, job) for track in tracks
    )
    return EditedFaces(faces, statistics.tracks, _learn(faces, info, parser, options, job))


def _learn(
    faces: Sequence[EditedFace], info: MediaInfo, parser: Parser, options: EditOptions, job: Job
) -> int:
    """Parse every second frame, extract the features of every face and decide the edit.

    Returns the number of frames that show none of the faces.
    """

    def frames() -> Iterator[FrameFaces]:
        in_frames = zip(*(face.faces() for face in faces), strict=True)
        crops = zip(*(face.crops() for face in faces), strict=True)
        reader = job.enter(job.frames(info.path, options.read))
        decoded = job.clock.time_each("decode", reader)
        for frame, frame_faces, frame_crops in zip(decoded, in_frames, crops, strict=True):
            parser_crops = [crops_of_face[0] for crops_of_face in frame_crops]
            placements = tuple(tracked.placement for tracked in parser_crops)
            yield FrameFaces(frame, "", frame_faces, placements, parser_crops[0].scene)

    batch, unseen = options.run.batch_size, 0
    parsed_frames = parse_frames(frames(), parser, batch, 0, job, alternate=True)
    with (
        closing(prefetch(parsed_frames, batch)) as stream,
        job.stage("learn", info.frames) as step,
    ):
        crops = [face.crops() for face in faces]
        while window := list(islice(stream, batch)):
            for i, face in enumerate(faces):
                face.learn(window, i, list(islice(crops[i], len(window))))
            for parsed in window:
                unseen += not any(face is not None for face in parsed.frame_faces.faces)
                step()
    with job.clock("settle"):
        for face in faces:
            face.finalize()
    return unseen


def edit_frames(
    edited_faces: EditedFaces, info: MediaInfo, done: int, options: EditOptions, job: Job
) -> Iterator[tuple[Frame, Pixels]]:
    """Run pass 2: yield every frame from number `done` on and its edited pixels.

    A frame of job.failed_frames passes through unchanged.
    """
    for frames, in_frames_of_faces in locate_faces(edited_faces, info, done, options, job):
        pixels: list[Pixels] = [frame.pixels for frame in frames]
        for face, in_frames in zip(edited_faces.faces, in_frames_of_faces, strict=True):
            occlusion_masks = face.occlusion_masks(pixels, in_frames)
            pixels = face.apply(pixels, in_frames, occlusion_masks)
        for frame, edited in zip(frames, pixels, strict=True):
            yield frame, frame.pixels if frame.index in job.failed_frames else edited


def locate_faces(
    edited_faces: EditedFaces, info: MediaInfo, done: int, options: EditOptions, job: Job
) -> Iterator[tuple[list[Frame], list[list[FaceInFrame | None]]]]:
    """Yield the frames from number `done` on with the location of the edited faces, in batches.

    Each batch is a list of frames, and per edited face a list with its location in each frame.
    """
    reader = job.enter(job.frames(info.path, options.read))
    decoded = islice(job.clock.time_each("decode again", reader), done, None)
    batch = options.run.batch_size
    with closing(prefetch(decoded, batch)) as frames:
        stream = zip(frames, zip_in_frames(edited_faces.faces, done), strict=True)
        while window := list(islice(stream, batch)):
            by_face = zip(*(in_frames for _, in_frames in window), strict=True)
            yield [frame for frame, _ in window], [list(in_frames) for in_frames in by_face]

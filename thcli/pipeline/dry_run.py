"""Dry runs: inputs, weights and output are checked, the first frames are made and discarded.

A verb passes itself as `run` when its options ask for a dry run, so that a dry run can fail in
every way in which the job's first frames can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.events import Listener, silent
from thcli.core.options import (
    EditOptions,
    FaceOptions,
    FootageOptions,
    OutputOptions,
    ReadOptions,
    ReceiveOptions,
    ReenactOptions,
    RefineJobOptions,
    SpeakOptions,
    TransmitOptions,
)
from thcli.faces.tracking.select import SPEAKING
from thcli.media.info import MediaInfo
from thcli.media.writing.target import OutputTarget
from thcli.motion.codec.format import Tag, pack
from thcli.motion.file.format import SUFFIX
from thcli.pipeline.check_options import is_lip_sync
from thcli.pipeline.conference.incoming import IncomingStream
from thcli.pipeline.conference.sending import create_stream_file
from thcli.pipeline.editing.other_faces import OTHER_FACES, span_of
from thcli.pipeline.editing.request import parse_requests
from thcli.pipeline.editing.variants import variant_targets
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import check_outputs, output_path
from thcli.pipeline.job.preview import preview_stem
from thcli.pipeline.job.spans import (
    frames_in_span,
    frames_of_lip_sync,
    frames_until_the_shorter_end,
    least_frames,
    least_of_lip_sync,
)
from thcli.pipeline.observe.inputs import require_sound
from thcli.pipeline.observe.pose_driver import probe_driver
from thcli.pipeline.refining.refine_pass import STAGES as REFINE_STAGES
from thcli.pipeline.sources.audio_source import DEFAULT_FRAME_RATE, read_speech

TRIAL_FRAMES = 25
FEW_TRIAL_FRAMES = 5  # where a frame takes a large part of a second
# Stages that grow with length.
PER_FRAME = ("track", "send", "render", "parse", "put", "speech", *REFINE_STAGES)
ONCE = ("settle", OTHER_FACES)  # stages of `edit` that do not

Run = Callable[..., Report]
PathLike = str | Path


def rehearse_reenact(
    run: Run,
    inputs: tuple[PathLike, PathLike],
    output: PathLike | None,
    options: ReenactOptions,
    on: Listener,
) -> Report:
    """Try `reenact` on the driver's first frames and estimate the whole.

    Args:
        run: the verb itself.
        inputs: the source and the driver.
    """
    source, driving = inputs
    with Job("reenact", on, options, inputs) as job:
        driver = probe_driver(driving, options, job)
        named = preview_stem(f"{Path(source).stem}_{Path(driving).stem}", options)
        target = output_path(
            output, named, driving, driver, "reenact", least_frames(driver, options.read)
        )
        check_outputs(target, options.output, compare=options.compare, file=options.save_motion)
        require_sound(driver, options.faces.select)
        trial = replace(
            options,
            faces=_without_speaker(options.faces),
            source_face=_trial_face(options.source_face),
            output=_trial_output(options.output),
            save_motion=None,
            compare=None,
            read=_first_frames(driver, options.read, TRIAL_FRAMES),
            dry_run=False,
        )
        made = run(source, driver.path, job.temp_dir() / _trial_name(output), trial, on)
        total = frames_in_span(driver, options.read)
        if made.details.get("source") == "video":
            clip = media.probe(source, options.read)
            total = frames_until_the_shorter_end(clip, driver, options.read)
            target = output_path(output, named, driver.path, clip, "reenact")
        size = media.probe(made.output or "", options.read).size
        return _estimate(job, target, made, total, size, _per_frame(made))


def rehearse_speak(
    run: Run,
    inputs: tuple[PathLike, PathLike],
    output: PathLike | None,
    options: SpeakOptions,
    on: Listener,
) -> Report:
    """Try `speak` on the first second of the sound and estimate the whole.

    Args:
        run: the verb itself.
        inputs: the face and the sound.
    """
    face, audio = inputs
    with Job("speak", on, options, inputs) as job:
        path = job.seekable(audio)
        speech_track = read_speech(path, options, job)
        named = preview_stem(f"{Path(face).stem}_{Path(audio).stem}", options)
        total: int | None = len(speech_track.pts)
        seconds = Fraction(speech_track.recording.length, speech_track.recording.rate)
        least = 0 if str(output).endswith(SUFFIX) else len(speech_track.pts)
        clip = media.probe(face, options.read) if is_lip_sync(face, output, options) else None
        if clip is not None:
            least = least_of_lip_sync(clip, options.read, seconds)
        target = output_path(output, named, audio, speech_track.info, "speak", least)
        OutputTarget(target, options.output.overwrite).check(0)
        first = options.sound.start + TRIAL_FRAMES / DEFAULT_FRAME_RATE
        end = first if options.sound.end is None else min(options.sound.end, first)
        trial = replace(
            options,
            source_face=_trial_face(options.source_face),
            output=replace(_trial_output(options.output), fps=options.output.fps),
            sound=replace(options.sound, end=end),
            footage=FootageOptions(still=options.footage.still),
            dry_run=False,
        )
        name = _trial_name(output)
        made = run(face, path, job.temp_dir() / name, trial, silent)
        moves_only = made.output is None or name.endswith(SUFFIX)
        size = None if moves_only else media.probe(made.output or "", options.read).size
        more = {"voice": made.details["voice"]}
        if clip is not None:
            more["source"] = "video"
            total = frames_of_lip_sync(clip, seconds, options.footage)
        return _estimate(job, target, made, total, size, _per_frame(made), more)


def rehearse_refine(
    run: Run, video: PathLike, output: PathLike | None, options: RefineJobOptions, on: Listener
) -> Report:
    """Try `refine` on the first frames and estimate the whole. run: the verb itself."""
    with Job("refine", on, options, [video]) as job:
        info = media.probe(job.seekable(video), options.read)
        require_sound(info, options.faces.select)
        stem = preview_stem(f"{Path(video).stem}_refined", options)
        target = output_path(output, stem, video, info, "refine", least_frames(info, options.read))
        OutputTarget(target, options.output.overwrite).check(0)
        trial = replace(
            options,
            faces=_without_speaker(options.faces),
            output=_trial_output(options.output),
            read=_first_frames(info, options.read, FEW_TRIAL_FRAMES),
            dry_run=False,
        )
        made = run(info.path, job.temp_dir() / _trial_name(output), trial, on)
        total, more = frames_in_span(info, options.read), {"calls": made.details["calls"]}
        return _estimate(job, target, made, total, info.size, _per_frame(made), more)


def rehearse_edit(
    run: Run, video: PathLike, output: PathLike | None, options: EditOptions, on: Listener
) -> Report:
    """Try `edit` on the first frames and estimate the whole. run: the verb itself."""
    with Job("edit", on, options, [video]) as job:
        info = media.probe(job.seekable(video), options.read)
        require_sound(info, options.faces.select)
        stem = preview_stem(f"{Path(video).stem}_edit", options)
        target = output_path(output, stem, video, info, "edit", least_frames(info, options.read))
        for path in variant_targets(target, parse_requests(options), options):
            check_outputs(path, options.output, compare=options.compare, file=options.save_edit)
        trial = replace(
            options,
            faces=_without_speaker(options.faces),
            output=_trial_output(options.output),
            read=_first_frames(info, options.read, FEW_TRIAL_FRAMES),
            save_edit=None,
            compare=None,
            dry_run=False,
        )
        name = _trial_name(output, ".png" if info.kind == "image" else ".mp4")
        made = run(info.path, job.temp_dir() / name, trial, on)
        others = made.stages.get(OTHER_FACES, 0.0) * _growth_of_other_files(options, trial)
        made = replace(made, seconds=made.seconds + others)
        grows = [seconds for stage, seconds in made.stages.items() if stage not in ONCE]
        per_frame, total = sum(grows) / max(made.frames, 1), frames_in_span(info, options.read)
        return _estimate(job, target, made, total, info.size, per_frame, made.details)


def rehearse_transmit(
    run: Run, clip: PathLike, target: PathLike, options: TransmitOptions, on: Listener
) -> Report:
    """Try `transmit` on the first frames and estimate the whole.

    Args:
        run: the verb itself.
        clip: its source.
        target: its output.
        options: of the verb.
        on: receives events.
    """
    with Job("transmit", on, options, [clip]) as job:
        info = media.probe(job.seekable(clip), options.read)
        create_stream_file(target, overwrite=options.overwrite)
        read = _first_frames(info, options.read, TRIAL_FRAMES)
        trial = replace(options, read=read, overwrite=False, dry_run=False)
        made = run(info.path, job.temp_dir() / "trial.thc", trial, on)
        total = frames_in_span(info, options.read)
        return _estimate(job, target, made, total, info.size, _per_frame(made))


def rehearse_receive(
    run: Run,
    inputs: tuple[PathLike | None, PathLike],
    output: PathLike | None,
    options: ReceiveOptions,
    on: Listener,
) -> Report:
    """Try `receive` on the first frames of a stream, which is read to its end.

    Args:
        run: the verb itself.
        inputs: the picture and the stream.
        output: as given to the verb.
        options: of the verb.
        on: receives events.
    """
    source, stream = inputs
    with Job("receive", on, options, [path for path in inputs if path is not None]) as job:
        incoming = IncomingStream.open(stream, job, with_sound=False)
        if source is None:
            incoming.require_pictures()
        short = job.temp_dir() / f"{Path(stream).stem}.thc"
        total = 0
        with short.open("wb") as file:
            file.write(incoming.header.pack())
            for tag, content in incoming.packets():
                total += tag == Tag.MOTION
                if total <= TRIAL_FRAMES and tag != Tag.END:
                    file.write(pack(tag, content))
            file.write(pack(Tag.END))
        incoming.check_end(total, job)
        like = incoming.video_info(Path(stream))
        target = output_path(output, Path(stream).stem, stream, like, "receive")
        OutputTarget(target, options.output.overwrite).check(0)
        trial = replace(options, output=_trial_output(options.output), dry_run=False)
        try:
            made = run(source, short, job.temp_dir() / _trial_name(output), trial, on)
        except MediaError as exc:
            message = exc.message.replace(str(short), incoming.name)
            raise MediaError(message, exc.hint) from exc
        size = media.probe(made.output or "", options.read).size
        more = {"complete": incoming.complete}
        return _estimate(job, target, made, total, size, _per_frame(made), more)


def plan(job: Job, target: PathLike | None, info: MediaInfo, read: ReadOptions) -> Report:
    """Report a dry run of a stage: nothing is made, the caller has checked inputs and output."""
    details = {"dry_run": True, "would_make": frames_in_span(info, read)}
    return job.report(target, FrameCounter(), details=details)


def _estimate(
    job: Job,
    target: PathLike | None,
    made: Report,
    total: int | None,
    size: tuple[int, int] | None,
    per_frame: float,
    more: Mapping[str, Any] | None = None,
) -> Report:
    """Report the whole job. per_frame: seconds that each further frame takes."""
    frames = max(total or made.frames, made.frames)
    details = {
        **(more or {}),
        "dry_run": True,
        "would_make": frames,
        "size": "{}x{}".format(*size) if size else "",
        "estimate": round(made.seconds + (frames - made.frames) * per_frame, 1),
    }
    return job.report(target, FrameCounter(), faces=made.faces, engine=made.engine, details=details)


def _growth_of_other_files(options: EditOptions, trial: EditOptions) -> float:
    """Return the frames of other files that the trial of an edit leaves out, over those it reads.

    Files of unknown length count as read.
    """
    read, left = 0, 0
    for path in dict.fromkeys(options.recombine.files):
        info = media.probe(path, options.read)
        count = frames_in_span(info, span_of(path, trial)) or 1
        read += count
        left += max((frames_in_span(info, span_of(path, options)) or count) - count, 0)
    return left / max(read, 1)


def _per_frame(made: Report) -> float:
    return sum(made.stages.get(stage, 0.0) for stage in PER_FRAME) / max(made.frames, 1)


def _trial_face(select: str) -> str:
    """Return the face of a trial, whose first frames may be silent: the largest for the speaker."""
    return "largest" if select == SPEAKING else select


def _without_speaker(faces: FaceOptions) -> FaceOptions:
    return replace(faces, select=_trial_face(faces.select))


def _trial_output(output: OutputOptions) -> OutputOptions:
    return replace(output, overwrite=False, resume=False, fps=None)


def _trial_name(output: PathLike | None, suffix: str = ".mp4") -> str:
    return f"trial{suffix}" if output is None or str(output) == "-" else Path(output).name


def _first_frames(info: MediaInfo, read: ReadOptions, count: int) -> ReadOptions:
    end = read.start + float(count / (info.rate or Fraction(25)))
    return replace(read, end=end if read.end is None else min(read.end, end))

"""`thcli speak`: animate a face with a speech recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import (
    MotionOptions,
    OutputOptions,
    ReenactOptions,
    RenderOptions,
    SpeakOptions,
    ViewOptions,
)
from thcli.core.protocols import (
    Engine,
    MeshConvertibleVoice,
    MotionStore,
    RenderingVoice,
    Voice,
    VoiceDrivenEngine,
)
from thcli.engines.backends import ENGINES
from thcli.faces.compositing.paste import paste
from thcli.faces.compositing.pixel_device import pixel_ops
from thcli.media.atomic_file import AtomicFile
from thcli.motion.control.controls import Controls, write_controlled
from thcli.motion.file.format import SUFFIX
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.span import select_span
from thcli.pipeline.check_options import check_speak, is_lip_sync
from thcli.pipeline.dry_run import rehearse_speak
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import SRGB_VIDEO, check_outputs, output_path
from thcli.pipeline.job.preview import limit_preview, preview_stem
from thcli.pipeline.job.replayable_frames import FramesFrom, RenderedFrame
from thcli.pipeline.lipsync import lip_sync
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.reenact import animate
from thcli.pipeline.render.drivers import FaceDrivers, retarget_faces
from thcli.pipeline.render.encoded_faces import encode_faces
from thcli.pipeline.render.frames import DrivingFrames, RenderPlan, render_frames
from thcli.pipeline.render.helpers import share_rendering
from thcli.pipeline.render.postprocess import PostProcessor
from thcli.pipeline.render.render_job import RenderJob
from thcli.pipeline.sources.audio_source import SpeechTrack, read_speech
from thcli.pipeline.sources.framing import apply_framing, crop_source, paste_mask
from thcli.pipeline.sources.open_mouth import warn_of_open_mouths
from thcli.pipeline.sources.source_image import SourceImage, read_source_image
from thcli.pipeline.sources.spoken_motion import SpeakJob, finite, write_motion
from thcli.voices.backends import VOICES

DEFAULTS = SpeakOptions()
MESH = "mesh"  # engine that renders the driving video of engines with another kind of motion


def speak(
    face: str | Path,
    audio: str | Path,
    output: str | Path | None = None,
    options: SpeakOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Animate a face with a speech recording, which becomes the audio of the video.

    Args:
        face: image, or video, of which the lips are spoken anew (see `pipeline.lipsync`), or one
            frame is used (options.footage.still, source_time).
        audio: any file with audio, or '-' for standard input.
        output: file, folder/ or '-'; NAME.motion.safetensors for the motion alone; None for
            FACE_AUDIO.mp4 beside the recording.
        options: see `SpeakOptions`.
        on: listener for progress and warnings.

    Raises:
        MediaError: an input cannot be read, or has no audio.
        NoFaceError: the image does not show the chosen face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: options that exclude each other, or that have no effect.
    """
    options = limit_preview(options)
    check_speak(face, output, options)
    if options.dry_run:
        return rehearse_speak(speak, (face, audio), output, options, on)
    if is_lip_sync(face, output, options):
        return lip_sync(face, audio, output, options, on)
    with Job("speak", on, options, (face, audio)) as job:
        speech = read_speech(job.seekable(audio), options, job)
        name = VOICES.resolve(options.voice, options.run)
        stem = f"{Path(face).stem}_{Path(audio).stem}"
        moves_only = str(output).endswith(SUFFIX)
        least = 0 if moves_only else len(speech.pts)
        named = preview_stem(stem, options)
        target = output_path(output, named, audio, speech.info, "speak", least)
        if not moves_only:
            check_outputs(target, options.output)
        voice: Voice | RenderingVoice = VOICES.backend(name).load(options.run)
        speak_job = SpeakJob(speech, name, options, job)
        if moves_only:
            return _write_motion_only(voice, Path(target), speak_job)
        face_finder = FaceFinder.load(options.find.choosing(), options.run, options.read)
        rendering = name if isinstance(voice, RenderingVoice) else None
        post_processor = PostProcessor.load(options, face_finder, rendering)
        source = read_source_image(face, options, face_finder, job)
        warn_of_open_mouths(str(face), source.faces, job)
        if isinstance(voice, RenderingVoice):
            source, frames_from = render_voice(voice, source, speak_job)
        else:
            engine: Engine = ENGINES.backend(options.engine).load(options.run, options)
            kinds = _motion_kinds(engine)
            if voice.motion_kind not in kinds and isinstance(voice, MeshConvertibleVoice):
                voice = voice.as_mesh(options.run)
            if voice.motion_kind not in kinds:
                return _drive_by_mesh(voice, engine, source, target, post_processor, speak_job)
            engine, source = apply_framing(engine, source, options)
            frames_from = render_motion(voice, engine, source, speak_job)
        plan = replace(
            _write_plan(speech),
            source=source.info,
            provenance=post_processor.provenance(job, name),
            fingerprint=job.fingerprint(),
        )
        like, output_options = _video_format(speech), replace(options.output, fps=None)
        with media.write(target, source.size, like, output_options, plan, on=on) as out:
            total = len(speech.pts)
            frames_from = post_processor.refine(frames_from, total, source, job)
            counter = post_processor.write(frames_from, total, out, source.size, job)
        return job.report(
            target,
            counter,
            faces=len(source.faces),
            engine=name if isinstance(voice, RenderingVoice) else options.engine,
            details={"voice": name, **post_processor.details},
        )


def render_motion(
    voice: Voice, engine: Engine, source: SourceImage, speak_job: SpeakJob
) -> FramesFrom:
    """Generate motion from speech, on disk, and render the source's faces with it."""
    options, job = speak_job.options, speak_job.job
    expected = len(speak_job.speech.pts)
    renderer = share_rendering(engine, job, options.run, expected, source.size)
    encoded = encode_faces(engine, source, [True] * len(source.faces), (), job.warn)
    path = job.temp_dir() / f"speech{SUFFIX}"
    write_motion(voice, path, speak_job)
    motion = _add_controls(MotionFile(path), speak_job)
    faces = retarget_faces(engine, encoded.faces, FaceDrivers(motion), options.motion, job.warn)
    batches = job.batches("render")
    plan = RenderPlan(renderer, faces, source.image, batches, 1, encoded.plate)
    return lambda start: render_frames(plan, DrivingFrames(), start, options.run, job.clock)


def _add_controls(motion: MotionFile, speak_job: SpeakJob) -> MotionStore:
    """Return the motion with the sliders and turns of an engine that reads them."""
    options, job = speak_job.options, speak_job.job
    if not ENGINES.backend(options.engine).reads_option("expression"):
        return motion
    controls = Controls.read(options.view, options.expression)
    if controls.is_empty:
        return motion
    path = job.temp_dir() / f"controlled{SUFFIX}"
    whole = select_span(motion, Fraction(0), None)
    return write_controlled(whole, controls, path, options.motion)


def render_voice(
    voice: RenderingVoice, source: SourceImage, speak_job: SpeakJob
) -> tuple[SourceImage, FramesFrom]:
    """Render frames with a speech-to-video model.

    Its crops of the first face are pasted into the source image. With --framing crop they are the
    output.

    Returns:
        The source image in the framing of the output, and its frames.
    """
    speech, options, job = speak_job.speech, speak_job.options, speak_job.job
    cropped = crop_source(voice, source.image, source.faces[0])
    full_frame, mask = options.framing == "full", paste_mask(voice)
    ops = pixel_ops(options.run.device)

    def frames_from(start: int) -> Iterator[RenderedFrame]:
        rendered = voice.render_frames(
            cropped.image, speech.recording, speech.pts, speech.time_base, options.speech
        )
        images = job.clock.time_each("render", finite(rendered, speak_job.voice_name))
        for pts, image in islice(zip(speech.pts, images, strict=True), start, None):
            if full_frame:
                pasted = paste(source.image, image, cropped.placement, mask, ops=ops)
                image = np.asarray(pasted, np.uint8)
            yield RenderedFrame(image, int(pts), speech.time_base, 1, succeeded=True, driving=None)

    if full_frame:
        return source, frames_from
    return replace(source, image=cropped.image, faces=(cropped.face,), others=()), frames_from


def _motion_kinds(engine: Engine) -> frozenset[str]:
    """Return the kinds of motion that an engine renders."""
    if isinstance(engine, VoiceDrivenEngine):
        return engine.motion_kinds
    return frozenset({engine.motion_kind})


def _write_motion_only(voice: Voice | RenderingVoice, target: Path, speak_job: SpeakJob) -> Report:
    speech, name = speak_job.speech, speak_job.voice_name
    if isinstance(voice, RenderingVoice):
        raise UsageError(
            f"The voice {name} renders video and has no motion to write.",
            "Give the output the name of a video.",
        )
    with AtomicFile(target, speak_job.options.output.overwrite) as file:
        write_motion(voice, file.partial, speak_job)
    counter = FrameCounter()
    for pts in speech.pts:
        counter.add(int(pts), 1, speech.time_base)
    return speak_job.job.report(target, counter, details={"voice": name})


def _drive_by_mesh(
    voice: Voice,
    engine: Engine,
    source: SourceImage,
    target: str | Path,
    post_processor: PostProcessor,
    speak_job: SpeakJob,
) -> Report:
    """Reenact with an engine that does not read the motion of the voice.

    The mesh engine renders a lossless driving video of the same face, which the engine observes.
    """
    speech, options, job = speak_job.speech, speak_job.options, speak_job.job
    plain = replace(options, engine=MESH, background="keep", framing="full", refine=None)
    plain = replace(plain, motion=MotionOptions(), view=ViewOptions())  # the engine applies them
    mesh: Engine = ENGINES.backend(MESH).load(options.run, plain)
    if mesh.motion_kind != voice.motion_kind:
        raise UsageError(
            f"The engine {options.engine} does not read the motion of the voice "
            f"{speak_job.voice_name} (kind {voice.motion_kind}).",
            f"Choose an engine that does, write the motion (-o NAME{SUFFIX}), or use --voice auto.",
        )
    # AVI: its clock is the frame rate itself, while Matroska rounds to milliseconds
    preview_path = job.temp_dir() / "mesh-preview.avi"
    mesh, mesh_source = apply_framing(mesh, source, plain)
    with media.write(
        preview_path,
        mesh_source.size,
        _video_format(speech),
        OutputOptions(codec="ffv1"),
        _write_plan(speech),
    ) as out:
        frames_from = render_motion(voice, mesh, mesh_source, replace(speak_job, options=plain))
        writer = PostProcessor(plain, post_processor.face_finder, None)
        writer.write(frames_from, len(speech.pts), out, mesh_source.size, job)
    shared = {item.name: getattr(options, item.name) for item in fields(RenderOptions)}
    shared["output"] = replace(options.output, fps=None)
    reenact_options = ReenactOptions(**shared, faces=options.find.choosing())
    render_job = RenderJob(
        media.probe(preview_path, options.read), reenact_options, post_processor, job
    )
    report = animate(engine, source, target, render_job)
    details = {"voice": speak_job.voice_name, "by": MESH, **post_processor.details}
    return replace(report, details=details)


def _write_plan(speech: SpeechTrack) -> media.WritePlan:
    return media.WritePlan(
        time_base=speech.time_base,
        rate=speech.rate,
        frames=len(speech.pts),
        drive=speech.info,
        span=speech.span,
    )


def _video_format(speech: SpeechTrack) -> media.MediaInfo:
    return replace(speech.info, colour=SRGB_VIDEO)

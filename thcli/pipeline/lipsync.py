"""Lip-sync: `thcli speak` on a video, of which every frame keeps all but the lower face.

The method: track the face; let the voice speak at the times of the frames; replace the shape of
the lower face by the voice's and warp each frame's own pixels to it; put the sound in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from thcli import media
from thcli.audio import placed
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import OutputOptions, SpeakOptions
from thcli.core.protocols import (
    CropEngine,
    Engine,
    MeshConvertibleVoice,
    MotionStore,
    RenderingVoice,
    VideoSourceEngine,
    Voice,
)
from thcli.core.types import Frame
from thcli.engines.backends import ENGINES
from thcli.faces.tracking.select import SPEAKING
from thcli.motion.file.format import SUFFIX
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.windows import windows
from thcli.pipeline.job.job import Job, Report
from thcli.pipeline.job.output_names import check_outputs, output_path
from thcli.pipeline.job.preview import preview_stem
from thcli.pipeline.job.replayable_frames import FramesFrom, RenderedFrame
from thcli.pipeline.job.spans import frames_of_lip_sync, least_of_lip_sync
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.tracking import VideoSelection
from thcli.pipeline.render.background import KEEP
from thcli.pipeline.render.frames import DrivingFrames, RenderPlan, SourceFace, render_frames
from thcli.pipeline.render.helpers import share_rendering
from thcli.pipeline.render.postprocess import PostProcessor
from thcli.pipeline.render.video_frames import WholeFrameRenderer, kept_where_failed
from thcli.pipeline.sources.audio_source import SpeechTrack, read_speech
from thcli.pipeline.sources.footage import Footage, ShownMotion, plan_footage, shown_frames
from thcli.pipeline.sources.source_video import observe_source_video, swap_audio_roles
from thcli.pipeline.sources.spoken_motion import SpeakJob, write_motion
from thcli.voices.backends import VOICES

DEFAULTS = SpeakOptions()
LEAST_MISSING = 0.1  # seconds of speech without a video that are worth a warning


def lip_sync(
    video: str | Path,
    audio: str | Path,
    output: str | Path | None = None,
    options: SpeakOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Let the person of a video speak a recording, which becomes the audio of the result.

    The result has the frames, time stamps and size of the video and ends with the shorter of the
    two, unless options.footage says otherwise. Frames without the face pass through unchanged.

    Args:
        video: shows the face in some frames.
        audio, output, options, on: see `pipeline.speak.speak`.

    Raises:
        ThcliError: as `pipeline.speak.speak`.
    """
    with Job("speak", on, options, (video, audio)) as job:
        speech = read_speech(job.seekable(audio), options, job)
        name = VOICES.resolve(options.voice, options.run)
        stem = f"{Path(video).stem}_{Path(audio).stem}"
        info = media.probe(video, options.read)
        seconds = Fraction(speech.recording.length, speech.recording.rate)
        least = least_of_lip_sync(info, options.read, seconds)
        target = output_path(
            output, preview_stem(stem, options), audio, speech.info, "speak", least
        )
        check_outputs(target, options.output)
        voice, engine = _load(name, options)
        face_finder = FaceFinder.load(options.find.choosing(), options.run, options.read)
        post_processor = PostProcessor.load(options, face_finder)

        # Pass 1. Motion of the face; which frames are shown, and which of them are spoken.
        expected = frames_of_lip_sync(info, seconds, options.footage)
        shared = share_rendering(engine, job, options.run, expected, info.size)
        span = options.read.whole
        # The longer the sound, the surer is the choice of the face that speaks.
        if not options.footage.keeps_rest and options.source_face != SPEAKING:
            span = replace(span, end=float(seconds))
        selection = VideoSelection(info, span, options.source_face)
        source = observe_source_video(selection, engine, face_finder, job)
        footage = plan_footage(info, span, source.motion, seconds, options.footage)
        _warn_of_length(footage, seconds, options, job)

        # The voice speaks at the times of the frames; its lower face replaces that of the frames.
        track = replace(speech, pts=footage.speech_pts, rate=1 / footage.speech_base)
        spoken_path = job.temp_dir() / f"speech{SUFFIX}"
        write_motion(voice, spoken_path, SpeakJob(track, name, options, job))
        shown = ShownMotion(source.motion, footage, footage.fades())
        motion = engine.transfer_motion(
            shown, MotionFile(spoken_path), replace(options.motion, region="lips")
        )

        # Pass 2. Render the spoken frames, pass the others through, write.
        keep_depth = options.background == KEEP
        renderer = WholeFrameRenderer(shared, source.encoded, source.pixels, keep_depth)
        frames_from = _frames_from(renderer, motion, footage, options, job)
        total = len(footage.order)
        write_plan, output_options = _sound(footage, speech, seconds, options, job)
        write_plan = replace(
            write_plan,
            frames=total,
            provenance=post_processor.provenance(job, name),
            fingerprint=job.fingerprint(),
        )
        with media.write(target, info.size, info, output_options, write_plan, on=on) as out:
            frames_from = post_processor.refine(frames_from, total, None, job)
            counter = post_processor.write(frames_from, total, out, info.size, job, of_video=True)
        return job.report(
            target,
            counter,
            faces=source.tracks,
            passed_through=_count_unseen(shown),
            engine=options.engine,
            details={
                "voice": name,
                "source": "video",
                "ends_with": "video" if footage.ends_with_video else "speech",
                **post_processor.details,
            },
        )


def _load(name: str, options: SpeakOptions) -> tuple[Voice, VideoSourceEngine]:
    """Load voice and engine. Raises UsageError for those that make no lips for a video."""
    voice: Voice | RenderingVoice = VOICES.backend(name).load(options.run)
    hint = "Animate one frame of it with --still."
    if isinstance(voice, RenderingVoice):
        raise UsageError(
            f"The voice {name} renders a picture of its own and cannot change the lips of a video.",
            f"Use --voice a2m, a2m-free or real3d. {hint}",
        )
    engine: Engine = ENGINES.backend(options.engine).load(options.run, options)
    if voice.motion_kind != engine.motion_kind and isinstance(voice, MeshConvertibleVoice):
        voice = voice.as_mesh(options.run)
    if (
        isinstance(engine, VideoSourceEngine)
        and not isinstance(engine, CropEngine)
        and voice.motion_kind == engine.motion_kind
    ):
        return voice, engine
    raise UsageError(
        f"The engine {options.engine} cannot change the lips of a video with the voice {name}.",
        f"Use --engine mesh. {hint}",
    )


def _frames_from(
    renderer: WholeFrameRenderer,
    motion: MotionStore,
    footage: Footage,
    options: SpeakOptions,
    job: Job,
) -> FramesFrom:
    """Return the frames of the result: spoken ones rendered, the others as they are."""
    black = np.zeros((*footage.info.size[::-1], 3), np.uint8)
    plan = RenderPlan(renderer, [SourceFace(None, motion)], black, job.batches("render"))

    def frames_from(start: int) -> Iterator[RenderedFrame]:
        frames = shown_frames(footage, job)
        first, stop = footage.first, footage.stop
        for frame in islice(frames, first):
            if frame.index >= start:
                yield _as_it_is(renderer, frame)
        if start < stop:
            skipped = max(start - first, 0)
            spoken = islice(frames, stop - first)
            rendered = render_frames(plan, DrivingFrames(spoken), skipped, options.run, job.clock)
            yield from kept_where_failed(rendered, renderer, None)
        else:
            frames = islice(frames, start - first, None)
        for frame in frames:
            yield _as_it_is(renderer, frame)

    return frames_from


def _as_it_is(renderer: WholeFrameRenderer, frame: Frame) -> RenderedFrame:
    """Return a frame that nothing changes."""
    image = renderer.original_pixels(None, frame)
    return RenderedFrame(image, frame.pts, frame.time_base, frame.duration, True, frame)


def _sound(
    footage: Footage, speech: SpeechTrack, seconds: Fraction, options: SpeakOptions, job: Job
) -> tuple[media.WritePlan, OutputOptions]:
    """Return the sound of the result as the source of a write plan, and --audio in its terms.

    The video is what `media.write` calls the drive. What is not spoken keeps its own sound.
    """
    info, output = footage.info, swap_audio_roles(options.output, speech.info)
    plan = media.WritePlan(drive=info, span=footage.span, source=speech.info)
    if not options.footage.keeps_rest or output.audio != "source":
        return replace(plan, source_span=speech.span), output
    path = job.temp_dir() / "sound.wav"
    begin = int(footage.own_pts[0]) * info.time_base
    length, total = (round(value * placed.RATE) for value in (seconds, footage.seconds))
    recorded = speech.info.start + Fraction(repr(options.sound.start))
    with job.clock("sound"):
        placed.write_placed(
            path,
            placed.SoundPart(info.path, begin, total) if info.audio else None,
            placed.SoundPart(speech.info.path, recorded, length),
            Fraction(repr(options.footage.place or 0.0)),
            total,
        )
    return replace(plan, source=media.probe(path, options.read)), output


def _warn_of_length(footage: Footage, seconds: Fraction, options: SpeakOptions, job: Job) -> None:
    """Warn where the video ends before the speech."""
    begin = Fraction(repr(options.footage.place or 0.0))
    missing = float(begin + seconds - footage.seconds)
    if missing > LEAST_MISSING:
        loop = "" if options.footage.keeps_rest else " --loop pingpong continues it."
        job.warn(f"The video ends {missing:.1f} s before the speech, which ends there.{loop}")


def _count_unseen(shown: ShownMotion) -> int:
    """Count the spoken frames that do not show the face."""
    return sum(int((~window.valid).sum()) for window in windows(shown))

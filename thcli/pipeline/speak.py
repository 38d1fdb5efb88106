"""`thcli speak`: a face says what is heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import numpy as np

from thcli import __version__, media
from thcli.core.errors import OutputError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import OutputOptions, ReenactOptions, RenderOptions, SpeakOptions
from thcli.core.protocols import Engine, PictureVoice, Voice
from thcli.engines.backends import ENGINES
from thcli.faces.compositing.paste import paste
from thcli.media.atomic_file import SideFile
from thcli.motion.file import SUFFIX, MotionFile, MotionWriter
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import PICTURES, fingerprint, output_path
from thcli.pipeline.job.replayable_frames import FramesFrom
from thcli.pipeline.reenact import animate
from thcli.pipeline.render.frames import RenderedFrame, SourceFace, draw
from thcli.pipeline.render.postprocess import PostProcessor
from thcli.pipeline.sources.audio_source import Heard, hear
from thcli.pipeline.sources.framing import cut_source, framed, shown
from thcli.pipeline.sources.source_image import FaceFinder, SourceImage, read_source_image
from thcli.voices.backends import VOICES

DEFAULTS = SpeakOptions()
PUPPET = "mesh"  # whose pictures drive an engine that does not read the voice's motion


def speak(
    face: str | Path,
    audio: str | Path,
    output: str | Path | None = None,
    options: SpeakOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Makes the face say what is heard, from the sound's beginning to its end, with the sound as the video's own.

    face: a picture, or a video (one frame of it).  audio: any file with sound, or '-' for standard input.  output: a file, folder or
    '-' (see `media.write`), a *.motion.safetensors for the motion alone; None: beside the sound.
    Raises MediaError, NoFaceError, WeightsError, OutputError, UsageError.
    """
    with Job("speak", on) as job:
        heard = hear(job.enter(media.local(audio)), options, job)
        target = output_path(
            output, f"{Path(face).stem}_{Path(audio).stem}", audio, heard.info, "speak"
        )
        name = VOICES.resolve(options.voice, options.run)
        voice: Voice | PictureVoice = VOICES.backend(name).load(options.run)
        if str(target).endswith(SUFFIX):
            return _motion_alone(voice, name, heard, Path(target), options, job)
        post_processor = PostProcessor.load(
            options, FaceFinder.load(options.find.choosing(), options.run)
        )
        source_image = read_source_image(face, options, post_processor.face_finder, job)
        if isinstance(voice, PictureVoice):
            source_image, frames_from = in_pictures(voice, source_image, heard, options, job)
        else:
            engine: Engine = ENGINES.backend(options.engine).load(options.run, options)
            if engine.motion_kind != voice.motion_kind:
                return _by_puppet(
                    voice, name, engine, source_image, heard, target, options, post_processor, job
                )
            engine, source_image = framed(engine, source_image, options)
            frames_from = in_motion(voice, engine, source_image, heard, options, job)
        writer = media.write(
            target,
            source_image.size,
            replace(heard.info, colour=PICTURES),
            replace(options.output, fps=None),
            time_base=heard.time_base,
            rate=heard.rate,
            drive=heard.info,
            source=source_image.info,
            span=heard.span,
            frames=len(heard.pts),
            provenance=post_processor.provenance("speak", name),
            fingerprint=fingerprint((face, heard.info.path), options),
            on=on,
        )
        with writer as out:
            counter = post_processor.render(
                frames_from, len(heard.pts), out, source_image, source_image.size, job
            )
        by = name if isinstance(voice, PictureVoice) else options.engine
        details = {"voice": name, **post_processor.details}
        return job.report(
            target, counter, faces=len(source_image.faces), engine=by, details=details
        )


def in_motion(
    voice: Voice,
    engine: Engine,
    source_image: SourceImage,
    heard: Heard,
    options: SpeakOptions,
    job: Job,
) -> FramesFrom:
    """The sound becomes motion, on disk; the motion moves the source's faces."""
    path = job.temp_dir() / f"speech{SUFFIX}"
    _write_motion(voice, heard, path, options, job)
    said = MotionFile(path)
    source_faces = [
        SourceFace.prepare(engine, source_image.picture, face, said, options.motion)
        for face in source_image.faces
    ]
    return lambda start: draw(
        engine, source_faces, source_image.picture, None, start, options.run, job.clock
    )


def in_pictures(
    voice: PictureVoice, source_image: SourceImage, heard: Heard, options: SpeakOptions, job: Job
) -> tuple[SourceImage, FramesFrom]:
    """The voice's own pictures of the first face, put back into the portrait; with --framing crop as they are."""
    where, own, face = cut_source(voice, source_image.picture, source_image.faces[0])
    whole, soft = options.framing == "full", shown(voice)

    def frames_from(start: int) -> Iterator[RenderedFrame]:
        drawn = voice.pictures(own, heard.recording, heard.pts, heard.time_base, options.speech)
        made = job.clock.over("render", drawn)
        for pts, picture in islice(zip(heard.pts, made, strict=True), start, None):
            if whole:
                picture = np.asarray(paste(source_image.picture, picture, where, soft), np.uint8)
            yield RenderedFrame(
                picture, int(pts), heard.time_base, 1, seen=True, made=True, driving=None
            )

    return (
        source_image if whole else replace(source_image, picture=own, faces=(face,))
    ), frames_from


def speak_each(
    face: str | Path,
    sounds: Sequence[str | Path],
    folder: str | Path | None = None,
    options: SpeakOptions = DEFAULTS,
    on: Listener = silent,
) -> list[Report]:
    """One video for each sound, beside it or in a folder that is there. Raises as `speak` does; what was finished before stays."""
    if folder is not None and not Path(folder).is_dir():
        raise OutputError(
            f"{folder} is not a folder that exists, and several sounds make several videos.",
            f"Make it with 'mkdir -p {folder}'.",
        )
    names = [
        None if folder is None else Path(folder) / f"{Path(face).stem}_{Path(sound).stem}.mp4"
        for sound in sounds
    ]
    return [
        speak(face, sound, name, options, on) for sound, name in zip(sounds, names, strict=True)
    ]


def _write_motion(voice: Voice, heard: Heard, path: Path, options: SpeakOptions, job: Job) -> None:
    words = {"source": heard.info.path.name, "made_by": f"thcli {__version__}"}
    with MotionWriter(path, words) as writer, job.stage("speech", len(heard.pts)) as step:
        windows = voice.speak(heard.recording, heard.pts, heard.time_base, options.speech)
        for motion in job.clock.over("speech", windows):
            writer.append(motion)
            for _ in range(len(motion)):
                step()


def _motion_alone(
    voice: Voice | PictureVoice,
    name: str,
    heard: Heard,
    target: Path,
    options: SpeakOptions,
    job: Job,
) -> Report:
    if isinstance(voice, PictureVoice):
        raise UsageError(
            f"The voice {name} makes pictures, not motion.", "Give the output the name of a video."
        )
    with SideFile(target, options.output.overwrite) as place:
        _write_motion(voice, heard, place.partial, options, job)
    counter = FrameCounter()
    for pts in heard.pts:
        counter.add(int(pts), 1, heard.time_base)
    return job.report(target, counter, details={"voice": name})


def _by_puppet(
    voice: Voice,
    name: str,
    engine: Engine,
    source_image: SourceImage,
    heard: Heard,
    target: str | Path,
    options: SpeakOptions,
    post_processor: PostProcessor,
    job: Job,
) -> Report:
    """Engines that read another motion watch the mesh engine's picture of the same face: it says the words, they follow."""
    plain = replace(options, engine=PUPPET, background="keep", framing="full", refine=None)
    mesh: Engine = ENGINES.backend(PUPPET).load(options.run, plain)
    if mesh.motion_kind != voice.motion_kind:
        raise UsageError(
            f"No engine can be moved by the voice {name}.",
            f"Keep its motion: -o NAME{SUFFIX}; or take --voice auto.",
        )
    puppet = job.temp_dir() / "puppet.mkv"
    drawn, doll = framed(mesh, source_image, plain)
    lossless = OutputOptions(codec="ffv1")
    writer = media.write(
        puppet,
        doll.size,
        replace(heard.info, colour=PICTURES),
        lossless,
        time_base=heard.time_base,
        rate=heard.rate,
        drive=heard.info,
        span=heard.span,
        frames=len(heard.pts),
    )
    with writer as out:
        frames_from = in_motion(voice, drawn, doll, heard, plain, job)
        PostProcessor(plain, post_processor.face_finder, None).render(
            frames_from, len(heard.pts), out, doll, doll.size, job
        )
    shared = {item.name: getattr(options, item.name) for item in fields(RenderOptions)}
    driven = ReenactOptions(
        **{**shared, "output": replace(options.output, fps=None)}, faces=options.find.choosing()
    )
    report = animate(engine, source_image, media.probe(puppet), target, driven, post_processor, job)
    return replace(report, details={"voice": name, "by": PUPPET, **post_processor.details})
